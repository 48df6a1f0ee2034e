//! What a customer's mail programme and another mail server see, over plain TCP.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(10);

struct Line(BufReader<TcpStream>);

impl Line {
    async fn open(addr: SocketAddr) -> std::io::Result<Self> {
        Ok(Self(BufReader::new(TcpStream::connect(addr).await?)))
    }

    async fn hear(&mut self) -> std::io::Result<String> {
        let mut text = String::new();
        let read = tokio::time::timeout(PATIENCE, self.0.read_line(&mut text)).await;
        match read.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))?? {
            0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(text.trim_end().to_owned()),
        }
    }

    async fn say(&mut self, text: &str) -> std::io::Result<()> {
        self.0.write_all(format!("{text}\r\n").as_bytes()).await
    }
}

/// An IMAP session after its login, to be found open or closed later.
pub struct ImapSession(Line);

impl ImapSession {
    /// Logs in; the refusal is the server's own answer.
    pub async fn open(addr: SocketAddr, user: &str, pass: &str) -> Result<Self, String> {
        let mut line = Line::open(addr).await.map_err(|error| error.to_string())?;
        line.hear().await.map_err(|error| error.to_string())?;
        let mut session = Self(line);
        session.ask(&format!("LOGIN \"{user}\" \"{pass}\"")).await?;
        Ok(session)
    }

    /// The untagged answers to a command, or the server's refusal, or that the session has ended.
    pub async fn ask(&mut self, command: &str) -> Result<Vec<String>, String> {
        let line = &mut self.0;
        line.say(&format!("t {command}")).await.map_err(|error| error.to_string())?;
        let mut untagged = Vec::new();
        loop {
            let answer = line.hear().await.map_err(|error| error.to_string())?;
            match answer.strip_prefix("t ") {
                Some(done) if done.starts_with("OK") => return Ok(untagged),
                Some(refusal) => return Err(refusal.to_owned()),
                None => untagged.push(answer),
            }
        }
    }
}

/// Logs in by IMAP and says how many messages the inbox has, or how the server refused.
pub async fn imap_login(addr: SocketAddr, user: &str, pass: &str) -> Result<usize, String> {
    let mut session = ImapSession::open(addr, user, pass).await?;
    let inbox = session.ask("SELECT INBOX").await?;
    let count = inbox.iter().find_map(|line| line.strip_prefix("* ")?.strip_suffix(" EXISTS"));
    let count = count.and_then(|count| count.parse().ok()).ok_or("no EXISTS in the answer")?;
    session.ask("LOGOUT").await.ok();
    Ok(count)
}

/// How a client greets: LMTP servers want `LHLO`, SMTP servers `EHLO`.
#[derive(Debug, Clone, Copy)]
pub enum Hello {
    Lhlo,
    Ehlo,
}

/// Sends one message to one recipient; a refusal is the reply's code and text at the step that refused.
pub async fn lmtp_or_smtp_send(
    addr: SocketAddr,
    hello: Hello,
    from: &str,
    to: &str,
    body: &str,
) -> Result<(), (u16, String)> {
    let lost = |error: std::io::Error| (0, error.to_string());
    let mut line = Line::open(addr).await.map_err(lost)?;
    reply(&mut line).await?;
    let subject = format!("From: {from}\r\nTo: {to}\r\nSubject: probe\r\n\r\n{body}\r\n.");
    // As mail servers do, the size is told before the message, so that a full mailbox can be refused.
    let envelope = match hello {
        Hello::Lhlo => format!("MAIL FROM:<{from}>"),
        Hello::Ehlo => format!("MAIL FROM:<{from}> SIZE={}", body.len()),
    };
    let greeting = match hello {
        Hello::Lhlo => "LHLO probe.test",
        Hello::Ehlo => "EHLO probe.test",
    };
    let steps = [greeting, &envelope, &format!("RCPT TO:<{to}>"), "DATA", &subject];
    for step in steps {
        line.say(step).await.map_err(lost)?;
        reply(&mut line).await?;
    }
    line.say("QUIT").await.ok();
    Ok(())
}

async fn reply(line: &mut Line) -> Result<(), (u16, String)> {
    let mut text = line.hear().await.map_err(|error| (0, error.to_string()))?;
    while text.as_bytes().get(3) == Some(&b'-') {
        text = line.hear().await.map_err(|error| (0, error.to_string()))?;
    }
    match text.get(..3).and_then(|code| code.parse().ok()).unwrap_or(0) {
        200..400 => Ok(()),
        code => Err((code, text)),
    }
}

/// A body of about so many bytes, in lines that every server takes.
pub fn body_of(bytes: usize) -> String {
    "x".repeat(70).chars().chain("\r\n".chars()).cycle().take(bytes).collect::<String>().trim_end().to_owned()
}

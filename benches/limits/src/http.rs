//! As much of HTTP/1.1 as a load needs: requests put together once, answers found whole by their length.

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection that is kept until the other end says that it is its last answer; then another one is opened.
pub struct Connection {
    address: String,
    stream: TcpStream,
    ended: bool,
    buffer: Vec<u8>,
}

/// The status and where the body lies in the bytes read.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    body: usize,
    end: usize,
    is_last: bool,
}

impl Connection {
    pub async fn open(address: &str) -> anyhow::Result<Self> {
        let stream = connect(address).await?;
        let buffer = Vec::with_capacity(128 * 1024);
        Ok(Self { address: address.to_owned(), stream, ended: false, buffer })
    }

    /// Sends a request and waits for the whole of its answer.
    pub async fn ask(&mut self, request: &[u8]) -> anyhow::Result<(u16, &[u8])> {
        if self.ended {
            (self.stream, self.ended) = (connect(&self.address).await?, false);
        }
        self.buffer.clear();
        self.stream.write_all(request).await?;
        let mut head = None;
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the connection was closed in the middle of an answer");
            }
            if head.is_none() {
                head = read_head(&self.buffer)?;
            }
            match &head {
                Some(head) if self.buffer.len() >= head.end => {
                    self.ended = head.is_last;
                    return Ok((head.status, &self.buffer[head.body..head.end]));
                }
                _ => {}
            }
        }
    }
}

async fn connect(address: &str) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(address).await.with_context(|| address.to_owned())?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The head of an answer, once all of it is there.
fn read_head(bytes: &[u8]) -> anyhow::Result<Option<Head>> {
    let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&bytes[..at])?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("no status line")?.parse()?;
    let headers: Vec<_> = lines.filter_map(|line| line.split_once(':')).collect();
    let header = |wanted: &str| {
        let known = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        known.map(|(_, value)| value.trim())
    };
    let length = header("content-length").map_or(Ok(0), str::parse::<usize>)?;
    let is_last = header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    Ok(Some(Head { status, body: at + 4, end: at + 4 + length, is_last }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_where_its_head_says() {
        let answer = b"HTTP/1.1 202 Accepted\r\ncontent-type: text/plain\r\nContent-Length: 3\r\n\r\nyes";
        assert_eq!(
            read_head(answer).unwrap(),
            Some(Head { status: 202, body: answer.len() - 3, end: answer.len(), is_last: false })
        );
        assert_eq!(read_head(&answer[..40]).unwrap(), None);
        let empty = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
        assert_eq!(
            read_head(empty).unwrap(),
            Some(Head { status: 204, body: empty.len(), end: empty.len(), is_last: true })
        );
        assert!(read_head(b"nonsense\r\n\r\n").is_err());
    }
}

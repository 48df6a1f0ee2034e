//! A server that is told to end, told twice, and one that begins beside others.

use std::io::ErrorKind;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::hosting::Hosting;
use super::*;

/// A connection that is kept open, as a balancer keeps its own.
struct Kept {
    stream: TcpStream,
    key: String,
}

impl Kept {
    async fn open(to: SocketAddr, key: &str) -> std::io::Result<Self> {
        Ok(Self { stream: TcpStream::connect(to).await?, key: key.to_owned() })
    }

    async fn ask(&mut self, path: &str) -> std::io::Result<()> {
        let head =
            format!("GET /v1{path} HTTP/1.1\r\nhost: here\r\nauthorization: Bearer {}\r\n\r\n", self.key);
        self.stream.write_all(head.as_bytes()).await
    }

    /// The head of the next answer, with its body behind it.
    async fn answer(&mut self) -> std::io::Result<String> {
        let mut read = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&read).to_lowercase();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.split("content-length: ").nth(1).expect("it has a length");
                let length: usize = length.lines().next().unwrap().parse().unwrap();
                if body.len() >= length {
                    return Ok(text);
                }
            }
            if self.stream.read_buf(&mut read).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Whether the other end closes it now.
    async fn is_closed(&mut self) -> bool {
        let read = tokio::time::timeout(LONGEST, self.stream.read(&mut [0; 64])).await;
        matches!(read.expect("it is neither closed nor used"), Ok(0) | Err(_))
    }
}

/// SHUT-1, SHUT-2
async fn is_drained(installation: Installation) {
    let installation = installation.with("SERVER__DRAIN_DELAY_SECONDS", "3");
    let (listen, admin) = (installation.listen, installation.admin);
    let key = installation.key();
    // Nobody works, so that what waits for an operation waits as long as it said.
    let served = installation.serve_with(&["serve", "--no-workers"]).await;
    let hosting = Hosting::new(&installation, &key).await;
    let (_, id) = hosting.place(&[listen], "domain-last").await;
    let order = hosting.caller.get(&format!("/orders/{id}")).await;
    let waits = format!("/operations/{}?wait=8", order["operation_id"].as_str().unwrap());

    let mut kept = Kept::open(listen, &key).await.unwrap();
    let mut idle = Kept::open(listen, &key).await.unwrap();
    for connection in [&mut kept, &mut idle] {
        connection.ask("/orders").await.unwrap();
        let answer = connection.answer().await.unwrap();
        assert!(answer.starts_with("http/1.1 200") && !answer.contains("connection: close"), "{answer}");
    }
    let mut waiting = Kept::open(listen, &key).await.unwrap();
    waiting.ask(&waits).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;

    let begun = Instant::now();
    served.terminate();
    until("it says that it is not ready", async || probe(admin, "readyz").await.status == 503).await;
    assert_eq!(probe(admin, "readyz").await.body["status"], "draining");
    assert_eq!(probe(admin, "healthz").await.status, 200);
    // It serves still, those it knows and those it does not, and asks both to go elsewhere.
    let mut new = Kept::open(listen, &key).await.expect("it listens still");
    for connection in [&mut kept, &mut new] {
        connection.ask("/orders").await.unwrap();
        let answer = connection.answer().await.unwrap();
        assert!(answer.starts_with("http/1.1 200") && answer.contains("connection: close"), "{answer}");
        assert!(connection.is_closed().await);
    }
    let refused = loop {
        match TcpStream::connect(listen).await {
            Err(error) => break error,
            Ok(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
        assert!(begun.elapsed() < LONGEST, "it goes on listening");
    };
    // Reset, if it stopped listening while it was being connected with.
    let kinds = [ErrorKind::ConnectionRefused, ErrorKind::ConnectionReset];
    assert!(kinds.contains(&refused.kind()), "{refused}");
    assert!(begun.elapsed() >= Duration::from_secs(3), "it did not wait for the balancers");
    // Whoever asks on a connection from before is refused or finds it closed; nobody waits.
    let late = async {
        idle.ask("/orders").await?;
        idle.answer().await
    };
    match tokio::time::timeout(Duration::from_secs(5), late).await.expect("a late request hangs") {
        Ok(answer) => {
            assert!(answer.starts_with("http/1.1 503") && answer.contains("shutting_down"), "{answer}");
            assert!(answer.contains("connection: close"), "{answer}");
        }
        Err(error) => println!("the late request found its connection closed: {error}"),
    }
    // What was under way is answered after all of that.
    let answer = waiting.answer().await.unwrap();
    assert!(answer.starts_with("http/1.1 200") && answer.contains("\"queued\""), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    assert_eq!(served.ended().await.code(), Some(0), "{}", installation.said());
    println!("it ended {:?} after it was told to", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(45));
    installation.remove();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_told_to_end_lets_go_of_its_callers_one_after_the_other_on_sqlite() {
    is_drained(Installation::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_told_to_end_lets_go_of_its_callers_one_after_the_other_on_postgres() {
    let fresh = Fresh::postgres().await;
    is_drained(Installation::on(&fresh.url)).await;
    fresh.remove().await;
}

/// SHUT-1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_told_twice_ends_at_once() {
    for second in ["-TERM", "-INT"] {
        let installation = Installation::new().with("SERVER__DRAIN_DELAY_SECONDS", "60");
        let served = installation.serve().await;
        served.terminate();
        let admin = installation.admin;
        until("it drains", async || probe(admin, "readyz").await.body["status"] == "draining").await;
        let begun = Instant::now();
        served.send(second);
        // Its end is waited for at most 40 seconds, and one who drains takes 60.
        assert_eq!(served.ended().await.code(), Some(130), "{}", installation.said());
        println!("it ended {:?} after the second {second}", begun.elapsed());
        installation.remove();
    }
}

/// SHUT-3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_that_migrate_at_once_each_migration_is_applied_by_one() {
    let fresh = Fresh::postgres().await;
    let owner = common::database::owner_of(&fresh.url);
    fresh
        .tamper(
            "DO $$ DECLARE name text := current_schema(); BEGIN
             EXECUTE format('DROP SCHEMA %I CASCADE', name); EXECUTE format('CREATE SCHEMA %I', name); END $$",
        )
        .await;
    let installation = Installation::on(&fresh.url).with("DATABASE__MIGRATE_URL", owner);
    let all: Vec<_> = (0..6).map(|_| installation.start(&["migrate"])).collect();
    for one in all {
        assert_eq!(one.ended().await.code(), Some(0), "{}", installation.said());
    }
    let status = installation.run(&["migrate", "--status"]);
    assert!(status.stdout.starts_with(b"the schema is up to date"), "{status:?}");
    let key = installation.key();
    let served = installation.serve().await;
    assert_eq!(get(&Outsider::new(installation.listen, &key), "/orders").await.status, 200);
    served.kill();
    installation.remove();
    fresh.remove().await;
}

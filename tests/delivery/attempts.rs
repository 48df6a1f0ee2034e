use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tenantry::model::Subtree;
use tenantry::store::facts;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::on_both_engines;
use crate::receiver::{Answer, Receiver, status};
use crate::world::World;

on_both_engines! {
    /// WH-6
    async fn two_hundreds_are_taken_and_all_else_is_a_failure(world: &World) {
        let receiver = Receiver::start(|request, _| status(request.path[1..].parse().unwrap())).await;
        let codes = [200, 201, 202, 204, 226, 299, 300, 301, 303, 304, 307, 308, 400, 401, 404, 409, 429, 500, 503, 599];
        let mut endpoints = Vec::new();
        for code in codes {
            endpoints.push(world.endpoint(&world.tenant, receiver.url(&format!("/{code}"))).await.0);
        }
        world.happen(&world.tenant, 1).await;
        let running = world.deliver(&[&receiver]);
        for (code, endpoint) in codes.iter().zip(&endpoints) {
            let row = world.tried(endpoint, 1).await;
            let taken = (200..300).contains(code);
            assert_eq!(row.status.as_str(), if taken { "delivered" } else { "pending" }, "{code}");
            assert_eq!((row.attempts[0].status, row.attempts[0].error.is_some()), (Some(*code), !taken));
        }
        running.stop().await;
    }

    /// WH-6
    async fn a_pause_is_kept_for_an_hour_at_most_be_it_asked_for_in_seconds_or_by_a_date(world: &World) {
        // The clock of the test stands at 09:00.
        for (asked, due) in [
            ("120", 120), ("3600", 3_600), ("86400", 3_600), ("Sat, 21 Nov 2026 09:30:00 GMT", 1_800),
            ("Sat, 28 Nov 2026 09:00:00 GMT", 3_600), ("Fri, 20 Nov 2026 09:00:00 GMT", 5), ("soon", 5), ("0", 5),
        ] {
            let busy = format!("HTTP/1.1 503 X\r\nRetry-After: {asked}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            let receiver = Receiver::start(move |_, _| Answer::Now(busy.clone())).await;
            let (endpoint, _) = world.endpoint(&world.neighbour, receiver.url("/")).await;
            world.happen(&world.neighbour, 1).await;
            let running = world.deliver(&[&receiver]);
            let row = world.tried(&endpoint, 1).await;
            running.stop().await;
            let mut conn = world.db().read(Subtree::everything()).await.unwrap();
            let wait = row.due_at.unwrap().since(facts::database_time(&mut conn).await.unwrap());
            drop(conn);
            let (least, most) = (Duration::from_secs(due.max(25) - 25), Duration::from_secs(due + 1));
            assert!(least <= wait && wait <= most, "{asked}: {wait:?}");
            let mut work = world.work().await;
            let of = tenantry::model::Precondition::NONE;
            tenantry::domain::events::webhooks::delete(&mut work, endpoint.id, &of).await.unwrap();
            work.finish().await.unwrap();
        }
    }

    /// WH-6
    async fn of_an_answer_without_end_four_kib_are_read_and_one_is_kept(world: &World) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let sent = Arc::new(AtomicUsize::new(0));
        let count = sent.clone();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 8_192]).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n").await.unwrap();
            while stream.write_all(&[b'a'; 1_000]).await.is_ok() {
                count.fetch_add(1_000, Ordering::SeqCst);
            }
        });
        let (endpoint, _) = world.endpoint(&world.tenant, format!("http://127.0.0.1:{port}/")).await;
        world.happen(&world.tenant, 1).await;
        let running = world.deliver_to(&[port]);
        let row = world.tried(&endpoint, 1).await;
        running.stop().await;
        server.await.unwrap();
        assert_eq!((row.status.as_str(), row.attempts[0].body.as_ref().unwrap().len()), ("delivered", 1_024));
        // The rest is what the system's buffers took before the connection was closed.
        assert!(sent.load(Ordering::SeqCst) < 32_000_000);
        assert!(row.attempts[0].duration_ms < 10_000);
    }
}

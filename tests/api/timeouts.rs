//! Callers who take their time, and handlers that do.

use std::time::{Duration, Instant};

use tenantry::config::Timeouts;
use tenantry::model::Subtree;
use tokio::time::sleep;

use super::raw::{Raw, is_refusal};
use super::*;

const SHORT: Duration = Duration::from_millis(300);

/// With times that a test can wait for.
fn with(timeouts: Timeouts) -> With {
    With { timeouts, ..With::no_workers() }
}

fn body_times() -> Timeouts {
    Timeouts { body: 3 * SHORT, body_start: SHORT, ..Timeouts::default() }
}

fn post(path: &str, kind: &str, framing: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: here\r\nContent-Type: {kind}\r\n{framing}\r\n\r\n")
}

on_both_servers! {
    /// CFG-11: a body of which nothing comes, or too little, is waited for no longer, whoever reads it.
    async fn a_body_that_comes_too_slowly_is_refused_and_its_connection_closed(site: with(body_times())) {
        let (json, form) = ("application/json", "application/x-www-form-urlencoded");
        for (path, kind) in [("/v1/keys/report_leaked", json), ("/oauth/token", form)] {
            for (framing, part) in [("Content-Length: 1000", "x"), ("Transfer-Encoding: chunked", "1\r\nx\r\n")] {
                for drips in [false, true] {
                    let begun = Instant::now();
                    let mut raw = Raw::open(site).await;
                    raw.send(post(path, kind, framing)).await;
                    while drips && begun.elapsed() < 2 * SHORT {
                        raw.send(part).await;
                        sleep(SHORT / 10).await;
                    }
                    is_refusal(&raw.until_closed().await, 408, "request_timeout");
                    assert!(begun.elapsed() > SHORT && begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
                }
            }
        }
    }

    /// CFG-11: at 500 bytes in a second it is taken, for as long as a body may take.
    async fn a_body_that_keeps_its_pace_is_taken_until_the_time_for_bodies_is_up(site: with(body_times())) {
        let body = json!({"key": "x".repeat(700)}).to_string();
        let mut raw = Raw::open(site).await;
        let length = format!("Content-Length: {}", body.len());
        raw.send(post("/v1/keys/report_leaked", "application/json", &length)).await;
        for part in body.as_bytes().chunks(120) {
            raw.send(part).await;
            sleep(SHORT / 3).await;
        }
        let told = raw.answer().await;
        assert!(told.starts_with("HTTP/1.1 202 ") || told.starts_with("HTTP/1.1 422 "), "{told}");
        let (mut raw, begun) = (Raw::open(site).await, Instant::now());
        raw.send(post("/v1/keys/report_leaked", "application/json", "Content-Length: 200000")).await;
        while begun.elapsed() < 3 * SHORT {
            raw.send([b'x'; 100]).await;
            sleep(SHORT / 10).await;
        }
        is_refusal(&raw.until_closed().await, 408, "request_timeout");
    }

    /// CFG-11: of the first request on a connection as of each later one.
    async fn a_head_that_does_not_come_is_not_waited_for(site: with(Timeouts { head: SHORT, ..Timeouts::default() })) {
        let whole = "GET /v1/nowhere HTTP/1.1\r\nHost: here\r\n\r\n";
        for before in [0, 2] {
            let (mut raw, begun) = (Raw::open(site).await, Instant::now());
            for _ in 0..before {
                raw.send(whole).await;
                assert!(raw.answer().await.starts_with("HTTP/1.1 404 "));
            }
            for byte in &whole.as_bytes()[..whole.len() - 2] {
                raw.send([*byte]).await;
                sleep(SHORT / 20).await;
            }
            let told = raw.until_closed().await;
            is_refusal(&told, 408, "request_timeout");
            assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        }
        // Nor is a caller who says nothing at all.
        assert_eq!(Raw::open(site).await.until_closed().await, "");
    }

    /// CFG-11: who was refused before his body had come cannot keep the connection by sending it for ever.
    async fn a_body_that_nobody_reads_keeps_no_connection(site: with(Timeouts { head: SHORT, ..Timeouts::default() })) {
        let (mut raw, begun) = (Raw::open(site).await, Instant::now());
        raw.send(post("/v1/nowhere", "application/json", "Transfer-Encoding: chunked")).await;
        assert!(raw.answer().await.starts_with("HTTP/1.1 404 "));
        while begun.elapsed() < 3 * SHORT {
            raw.send("1\r\nx\r\n").await;
            sleep(SHORT / 10).await;
        }
        assert_eq!(raw.until_closed().await, "");
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }

    /// RL-9: whoever is refused and comes again, as he is told to, needs not open a connection for it.
    async fn a_refusal_of_a_small_body_that_nobody_read_leaves_the_connection_open(site: with(body_times())) {
        let mut raw = Raw::open(site).await;
        let body = "x".repeat(64 * 1024);
        let length = |bytes: usize| post("/v1/accounts", "application/json", &format!("Content-Length: {bytes}"));
        for _ in 0..3 {
            raw.send(length(body.len()) + &body).await;
            let answer = raw.answer().await;
            assert!(answer.starts_with("HTTP/1.1 401 ") && !answer.contains("connection: close"), "{answer}");
        }
        raw.send(length(body.len() + 1)).await;
        is_refusal(&raw.until_closed().await, 401, "unauthenticated");
        let mut raw = Raw::open(site).await;
        raw.send(length(100) + "x").await;
        let begun = Instant::now();
        is_refusal(&raw.until_closed().await, 401, "unauthenticated");
        assert!(begun.elapsed() > SHORT && begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }

    /// CFG-11: a connection on which nothing is asked is closed, and one on which something is stays.
    async fn a_connection_without_requests_is_closed_after_a_while(site: with(Timeouts { keep_alive: SHORT, ..Timeouts::default() })) {
        let mut raw = Raw::open(site).await;
        for _ in 0..4 {
            raw.send("GET /v1/nowhere HTTP/1.1\r\nHost: here\r\n\r\n").await;
            assert!(raw.answer().await.starts_with("HTTP/1.1 404 "));
            sleep(SHORT / 2).await;
        }
        assert_eq!(raw.until_closed().await, "");
    }

    /// CFG-11: the caller is told after a while, and what he asked for is done all the same, once.
    async fn a_handler_that_takes_too_long_answers_and_its_work_goes_on(site: with(Timeouts { handler: SHORT, ..Timeouts::default() })) {
        let world = site.world().await;
        let path = format!("/v1/accounts/{}", world.tenant.id);
        let rename = || site.patch(&path).key(&world.reseller.key).idem("late-1").json(json!({"name": "Late"})).send();
        let mut other = site.db.write(Subtree::everything()).await.unwrap();
        let held = other.query("UPDATE accounts SET version = version WHERE id = $1").bind(world.tenant.id.as_str());
        assert_eq!(held.execute().await.unwrap(), 1);
        let late = rename().await.refused(503, "dependency_unavailable");
        assert_eq!((&late.body["retryable"], late.header("retry-after")), (&json!(true), Some("1")));
        assert_eq!(late.header("cache-control"), Some("no-store"));
        other.undo().await.unwrap();
        until("it is done", async || site.get(&path).key(&world.reseller.key).send().await.is(200).body["name"] == "Late").await;
        let again = rename().await.is(200);
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
    }

    /// CFG-11: for what he wants to wait the caller is waited for.
    async fn a_caller_who_waits_is_not_cut_short(site: with(Timeouts { handler: SHORT, ..Timeouts::default() })) {
        let world = site.world().await;
        let order = add("hosted-mail", 1, json!([{"type": "domain", "spec": {"name": "acme.example"}}]));
        let begun = Instant::now();
        let placed = site.post("/v1/orders").key(&world.tenant.key).wait(1).json(order).send().await.is(202);
        assert!(begun.elapsed() > 2 * SHORT);
        let operation = placed.text_at("operation_id");
        let begun = Instant::now();
        site.get(&format!("/v1/operations/{operation}?wait=1")).key(&world.tenant.key).send().await.is(200);
        assert!(begun.elapsed() > 2 * SHORT);
    }

    /// CFG-11: whoever comes when all connections are taken is served once one is free.
    async fn no_more_connections_are_served_at_once_than_may_be(site: With { settings: &[("TENANTRY_SERVER__MAX_CONNECTIONS", "2")], ..With::no_workers() }) {
        let ask = "GET /v1/nowhere HTTP/1.1\r\nHost: here\r\n\r\n";
        let mut open = Vec::new();
        for _ in 0..2 {
            let mut raw = Raw::open(site).await;
            raw.send(ask).await;
            assert!(raw.answer().await.starts_with("HTTP/1.1 404 "));
            open.push(raw);
        }
        let mut third = Raw::open(site).await;
        third.send(ask).await;
        third.is_silent(SHORT).await;
        open.pop();
        assert!(third.answer().await.starts_with("HTTP/1.1 404 "));
    }
}

//! What would be one request to us and another one to whoever stands in front.

use super::raw::{Raw, is_refusal};
use super::*;

/// A head with these lines between its first and its last.
fn head(method: &str, lines: &str) -> String {
    format!("{method} /v1/nowhere HTTP/1.1\r\nHost: here\r\n{lines}\r\n")
}

/// The request that somebody would like to have answered beside the first.
const SECOND: &str = "GET /v1/second HTTP/1.1\r\nHost: here\r\n\r\n";

on_both_servers! {
    /// CFG-10, ERR-1, CFG-6: each is refused and the connection closed, and what stands behind it is answered to nobody.
    async fn what_is_not_clearly_one_request_is_refused_and_nothing_behind_it_is_answered(site: With::no_workers()) {
        let chunked = "Transfer-Encoding: chunked\r\n";
        let heads = [
            head("POST", &format!("Content-Length: 5\r\n{chunked}")) + "0\r\n\r\n",
            head("POST", &format!("{chunked}Content-Length: 5\r\n")) + "0\r\n\r\n",
            head("POST", "Content-Length: 5\r\nContent-Length: 6\r\n") + "abcde",
            head("POST", "Content-Length: 5\r\nContent-Length: 5\r\n") + "abcde",
            head("POST", "Content-Length: 5, 6\r\n") + "abcde",
            head("POST", "Content-Length: 5, 5\r\n") + "abcde",
            head("POST", "Content-Length: -5\r\n"),
            head("POST", "Content-Length: +5\r\n") + "abcde",
            head("POST", "Content-Length: 0x5\r\n") + "abcde",
            head("POST", "Content-Length: 5 5\r\n") + "abcde",
            head("POST", "Content-Length: 5a\r\n") + "abcde",
            head("POST", "Content-Length:\r\n"),
            head("POST", "Content-Length: 99999999999999999999999\r\n"),
            head("POST", "Content-Length : 5\r\n") + "abcde",
            head("POST", "Transfer-Encoding : chunked\r\n") + "0\r\n\r\n",
            head("POST", "Transfer-Encoding\t: chunked\r\n") + "0\r\n\r\n",
            head("POST", "Transfer-Encoding: xchunked\r\n") + "0\r\n\r\n",
            head("POST", "Transfer-Encoding: chunked, identity\r\n") + "0\r\n\r\n",
            head("POST", "Transfer-Encoding: identity\r\n") + "0\r\n\r\n",
            head("POST", "Transfer-Encoding: gzip, chunked\r\n") + "0\r\n\r\n",
            head("POST", "Transfer-Encoding: \"chunked\"\r\n") + "0\r\n\r\n",
            head("POST", "Transfer-Encoding:\u{b}chunked\r\n") + "0\r\n\r\n",
            head("POST", &format!("{chunked}{chunked}")) + "0\r\n\r\n",
            head("POST", "X: a\r\n folded\r\n"),
            head("POST", "X: a\r\n\tContent-Length: 5\r\n"),
            head("POST", " Content-Length: 5\r\n"),
            head("POST", "X: a\nContent-Length: 5\r\n") + "abcde",
            head("POST", "Content-Length: 5\n") + "abcde",
            head("POST", "X: a\rY: b\r\n"),
            head("POST", "X: a\0b\r\n"),
            head("POST", "X\0: a\r\n"),
            head("POST", "no colon\r\n"),
            head("POST", ": no name\r\n"),
            head("POST", "Host: there\r\n"),
            "GET /v1/nowhere HTTP/1.1\nHost: here\r\n\r\n".into(),
            "GET /v1/nowhere HTTP/1.1\r\nHost: here\n\n".into(),
            "GET /v1/nowhere HTTP/1.1\r\nHost: here\r\n\n".into(),
            "\nGET /v1/nowhere HTTP/1.1\r\nHost: here\r\n\r\n".into(),
            "GET /v1/nowhere HTTP/1.1\r\n\r\n".into(),
            "GET /v1/no\0where HTTP/1.1\r\nHost: here\r\n\r\n".into(),
            "GET /v1/no where HTTP/1.1\r\nHost: here\r\n\r\n".into(),
            "GET /v1/nowhere HTTP/2.0\r\nHost: here\r\n\r\n".into(),
            "GET /v1/nowhere\r\n\r\n".into(),
            "POST /v1/nowhere HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(),
            "\u{16}\u{3}\u{1}\u{2}\0".into(),
        ];
        for wrong in heads {
            // Alone, behind a good one in one piece, and behind a good one that has been answered.
            for (before, apart) in [("", false), (SECOND, false), (SECOND, true)] {
                let mut raw = Raw::open(site).await;
                raw.send(before).await;
                if apart {
                    assert!(raw.answer().await.starts_with("HTTP/1.1 404 "));
                }
                raw.send(format!("{wrong}{SECOND}")).await;
                let mut told = raw.until_closed().await;
                if !before.is_empty() && !apart {
                    let at = told.rfind("HTTP/1.1 ").unwrap_or_default();
                    assert!(told.starts_with("HTTP/1.1 404 "), "{wrong:?}: {told}");
                    told = told.split_off(at);
                }
                assert_eq!(told.matches("HTTP/1.1 ").count(), 1, "{wrong:?}: {told}");
                is_refusal(&told, 400, "malformed_request");
            }
        }
    }

    /// CFG-10: the same of the body that comes in chunks; there the connection is closed without a word, or with a refusal.
    async fn chunks_that_can_be_read_in_two_ways_end_the_connection(site: With::no_workers()) {
        for wrong in [
            "\r\n\r\n", "-1\r\na\r\n0\r\n\r\n", "+1\r\na\r\n0\r\n\r\n", "0x1\r\na\r\n0\r\n\r\n", "g\r\na\r\n0\r\n\r\n",
            "1\r\nab\r\n0\r\n\r\n", "1\na\r\n0\r\n\r\n", "1\r\na\n0\r\n\r\n", "1\r\na\r\n0\n\r\n", "1\r\na\r\n0\r\n\n",
            "1;\nx\r\na\r\n0\r\n\r\n", "1;x=\0\r\na\r\n0\r\n\r\n", "1 1\r\na\r\n0\r\n\r\n", "ffffffffffffffff1\r\na\r\n0\r\n\r\n",
            "1\r\na\r\n0\r\nX: y\nContent-Length: 1\r\n\r\n", "1\r\na\r\n0\r\nX: y\rZ: z\r\n\r\n",
        ] {
            // To a route that reads the body and to one that does not.
            for path in ["/v1/keys/report_leaked", "/v1/nowhere"] {
                let mut raw = Raw::open(site).await;
                let lines = "Host: here\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked";
                raw.send(format!("POST {path} HTTP/1.1\r\n{lines}\r\n\r\n{wrong}{SECOND}")).await;
                let told = raw.until_closed().await;
                assert!(!told.contains("HTTP/1.1 2") && told.matches("HTTP/1.1 ").count() <= 2, "{wrong:?}: {told}");
                assert!(!told.contains("/v1/second") && told.matches(r#""code":"route_not_found""#).count() <= usize::from(path == "/v1/nowhere"), "{wrong:?}: {told}");
            }
        }
    }

    /// What is clear is answered, one after the other on one connection.
    async fn what_is_clear_is_answered_each_in_its_turn(site: With::no_workers()) {
        let mut raw = Raw::open(site).await;
        let good = [
            head("POST", "Content-Length: 5\r\n") + "a\nb\nc",
            head("POST", "content-length:5 \r\n") + "GET /",
            head("POST", "Transfer-Encoding: chunked\r\n") + "5;x=y\r\na\nb\nc\r\n0\r\nX: y\r\n\r\n",
            head("POST", "transfer-encoding:CHUNKED\r\n") + "5 \r\nabcde\r\n00\r\n\r\n",
            head("GET", "X: a\tb\r\n"),
        ];
        raw.send(good.concat()).await;
        for _ in &good {
            assert!(raw.answer().await.starts_with("HTTP/1.1 404 "));
        }
        raw.send(SECOND.replace("Host: here", "Host: here\r\nConnection: close")).await;
        let last = raw.until_closed().await;
        assert!(last.starts_with("HTTP/1.1 404 ") && last.matches("HTTP/1.1 ").count() == 1, "{last}");
    }
}

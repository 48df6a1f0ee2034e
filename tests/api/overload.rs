//! More than the server can, and more at once than one account may: what is turned away and what still comes through.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::{join, join_all};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::*;

/// One worker takes on so many requests at once.
const CAPACITY: usize = 256;
/// Of which one account can have a quarter.
const SHARE: usize = CAPACITY / 4;

/// Sends the heads of so many requests and none of their bodies: each takes up a place until its connection is
/// dropped.
async fn hold(address: SocketAddr, head: &str, count: usize) -> Vec<TcpStream> {
    let mut held = Vec::new();
    for _ in 0..count {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let text = format!("POST {head}\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{{");
        stream.write_all(text.as_bytes()).await.unwrap();
        held.push(stream);
    }
    held
}

fn making(key: &str) -> String {
    format!("/v1/accounts HTTP/1.1\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json")
}

/// Takes up ever more places in the names of these, until the request is answered with this code.
async fn fill(
    site: &Site,
    held: &mut Vec<TcpStream>,
    keys: &[&str],
    call: impl Fn() -> Call,
    code: &str,
) -> Answer {
    for _ in 0..CAPACITY {
        for key in keys {
            held.extend(hold(site.address, &making(key), 8).await);
        }
        let answer = call().send().await;
        if answer.code() == code {
            return answer;
        }
    }
    panic!("in vain: {code}");
}

/// Waits until the request is answered with this code.
async fn comes_to(what: &str, call: impl Fn() -> Call, code: &str) -> Answer {
    let last = std::cell::RefCell::new(None);
    until(what, async || {
        let answer = call().send().await;
        let so = answer.code() == code;
        last.replace(Some(answer));
        so
    })
    .await;
    last.into_inner().unwrap()
}

on_both_servers! {
    /// ISO-7: an account that has its share under way is told so; nobody else notices, and it goes on when there is room.
    async fn an_account_has_a_quarter_of_the_server_under_way_and_no_more(site: With::no_workers()) {
        let by = &site.operator_key;
        let noisy = site.account(by, "reseller", "Noisy").await;
        let quiet = site.account(by, "reseller", "Quiet").await;
        let list = || site.get("/v1/orders").key(&noisy.key);
        let mut held = Vec::new();
        let refused = fill(site, &mut held, &[&noisy.key], list, "rate_limited").await.refused(429, "rate_limited");
        assert_eq!(refused.body["violated-policies"], json!(["acct-concurrency"]));
        assert_eq!(refused.header("retry-after"), Some("1"));
        for at in 0..SHARE {
            site.get("/v1/orders").key(&quiet.key).send().await.is(200);
            list().send().await.refused(429, "rate_limited");
            let body = json!({"type": "tenant", "name": format!("T{at}")});
            if at % 16 == 0 {
                site.post("/v1/accounts").key(&quiet.key).json(body).send().await.is(201);
            }
        }
        drop(held);
        comes_to("the account is answered", list, "").await.is(200);
        let limits = site.get("/v1/limits").key(&noisy.key).send().await.is(200);
        assert_eq!(limits.body["max_concurrent_requests"], SHARE);
    }

    /// RL-2: what is refused because too much is under way takes nothing of the limits.
    async fn what_is_refused_for_being_too_many_at_once_costs_nothing(site: With { settings: &[("TENANTRY_LIMITS__KEY_PER_MINUTE", "1000")], ..With::clock() }) {
        let noisy = site.account(&site.operator_key, "reseller", "Noisy").await;
        let before = left(&site.get("/v1/orders").key(&noisy.key).send().await.is(200));
        let list = || site.get("/v1/orders").key(&noisy.key);
        let mut held = Vec::new();
        fill(site, &mut held, &[&noisy.key], list, "rate_limited").await;
        for _ in 0..200 {
            list().send().await.refused(429, "rate_limited");
        }
        drop(held);
        let after = left(&comes_to("the account is answered", list, "").await);
        // What was held cost two each, and there were some reads before the share was full and after it was free.
        assert!(before - after <= 2 * SHARE as u64 + 60, "{before} and {after}");
    }

    /// RL-9: with ever more under way lists are turned away first, then all else but tokens, suspending and resuming.
    async fn lists_are_turned_away_first_and_suspending_last(site: With::no_workers()) {
        let world = site.world().await;
        let by = &site.operator_key;
        let mut parties = Vec::new();
        for at in 0..4 {
            parties.push(site.account(by, "reseller", &format!("R{at}")).await);
        }
        let list = || site.get("/v1/orders").key(by);
        let show = || site.get("/v1/me").key(by);
        let suspend = || {
            let path = format!("/v1/accounts/{}/suspend", world.tenant.id);
            site.post(&path).key(by).json(json!({"reason_code": "payment"}))
        };
        let id = format!("key_{}", by.split('_').nth(2).unwrap());
        let token = || site.post("/oauth/token").basic(&id, by).form(&[("grant_type", "client_credentials")]);

        let mut held = Vec::new();
        let keys: Vec<_> = parties.iter().map(|party| party.key.as_str()).collect();
        let refused = fill(site, &mut held, &keys[..3], list, "overloaded").await.refused(503, "overloaded");
        let kind = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity";
        assert_eq!(refused.body["type"], kind);
        assert_eq!(refused.header("retry-after"), Some("1"));
        assert!(refused.header("ratelimit").is_none());
        // Nothing is looked up, not even whose the credential is.
        site.get("/v1/orders").key(&format!("{by}x")).send().await.refused(503, "overloaded");
        show().send().await.is(200);
        suspend().send().await.is(202);

        fill(site, &mut held, &keys, show, "overloaded").await.refused(503, "overloaded");
        list().send().await.refused(503, "overloaded");
        assert!(suspend().send().await.status < 300);
        token().send().await.is(200);

        drop(held);
        comes_to("lists are answered", list, "").await.is(200);
    }

    /// RL-9, RL-10: where requests queue for the writer, or for a connection to write by.
    async fn what_would_write_is_turned_away_while_writes_wait_too_long_and_nothing_else_is(site: With {
        settings: &[("TENANTRY_SERVER__LONGEST_WAIT_MILLISECONDS", "100")],
        ..With::no_workers()
    }) {
        let world = site.world().await;
        let by = &site.operator_key;
        let (slow, quick) = match site.fresh.url.starts_with("sqlite") {
            true => (
                "CREATE TABLE many AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 800) SELECT i FROM n; \
                CREATE TRIGGER slow AFTER INSERT ON accounts BEGIN \
                SELECT COUNT(*) FROM many AS one, many AS other WHERE one.i * other.i < 0; END",
                "DROP TRIGGER slow; DROP TABLE many",
            ),
            false => (
                "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
                'BEGIN PERFORM pg_sleep(0.2); RETURN NULL; END'; \
                CREATE TRIGGER slow AFTER INSERT ON accounts FOR EACH ROW EXECUTE FUNCTION slow()",
                "DROP TRIGGER slow ON accounts; DROP FUNCTION slow",
            ),
        };
        site.fresh.tamper(slow).await;
        let make = || site.post("/v1/accounts").key(by).json(json!({"type": "tenant", "name": "T"}));
        let refused = AtomicUsize::new(0);
        let writers = join_all((0..24).map(async |_| {
            while refused.load(Ordering::Relaxed) < 20 {
                let answer = make().send().await;
                if answer.status != 201 {
                    answer.refused(503, "overloaded");
                    refused.fetch_add(1, Ordering::Relaxed);
                }
            }
        }));
        let others = async {
            until("some is refused", async || refused.load(Ordering::Relaxed) > 0).await;
            let path = format!("/v1/accounts/{}/suspend", world.tenant.id);
            let answer = site.post(&path).key(by).json(json!({"reason_code": "payment"})).send().await;
            assert!(answer.status < 300, "{}", answer.text);
            for _ in 0..20 {
                site.get("/v1/orders").key(by).send().await.is(200);
            }
        };
        join(writers, others).await;
        site.fresh.tamper(quick).await;
        until("all that is asked is done", async || {
            let asked = join_all((0..20).map(async |_| make().send().await.status)).await;
            asked.iter().all(|status| *status == 201)
        })
        .await;
    }

    /// RL-11, ISO-7: strangers who do not finish what they send take up no more than a quarter.
    async fn one_address_without_a_credential_takes_up_a_quarter(site: With::no_workers()) {
        let head = "/oauth/token HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded";
        let mut held = hold(site.address, head, SHARE).await;
        let token = || site.post("/oauth/token").form(&[("grant_type", "client_credentials")]);
        until("the address has its share", async || {
            held.extend(hold(site.address, head, 4).await);
            token().send().await.status == 429
        })
        .await;
        let refused = token().send().await.is(429);
        assert_eq!(refused.body["error"], "temporarily_unavailable");
        site.get("/v1/me").key(&site.operator_key).send().await.is(200);
        drop(held);
        until("it has room again", async || token().send().await.status == 401).await;
    }
}

/// How much is left of the key's limit.
fn left(answer: &Answer) -> u64 {
    let told = answer.header("ratelimit").expect("an authenticated answer tells it");
    let key = told.split(", ").find(|member| member.starts_with("\"key\"")).unwrap();
    key.split(';').find_map(|part| part.strip_prefix("r=")).unwrap().parse().unwrap()
}

//! A small hosting company on the files connector, what its callers do, and what must be true of it in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use reqwest::Method;

use super::*;

/// How long work may take to come to its end.
const LONGEST: Duration = Duration::from_secs(90);
/// More than any test takes.
const CEILING: i64 = 100_000;
/// What the plan gives for each unit.
const MAILBOXES: i64 = 3;

/// A tenant that orders mail.
pub struct Hosting {
    pub caller: Outsider,
    pub tenant: String,
    root: PathBuf,
}

/// The key of an order, with a mailbox or, much faster since no password is hashed, without.
pub fn key(mailbox: bool, name: String) -> String {
    format!("{}-{name}", if mailbox { "mailbox" } else { "domain" })
}

fn has_mailbox(key: &str) -> bool {
    key.starts_with("mailbox")
}

impl Hosting {
    /// Sets the company up on a server that runs. Mailboxes are taken when they are ordered, domains when
    /// they are made.
    pub async fn new(installation: &Installation, key: &str) -> Self {
        let caller = Outsider::new(installation.listen, key);
        let root = installation.folder.join("hosted");
        let id = |made: Value| made["id"].as_str().unwrap().to_owned();
        let server = json!({"name": "files", "connector": "files", "settings": {"root": root}});
        let server = id(caller.make("/servers", server).await);
        let placement = json!([{"service_type": "mail", "server_id": server}]);
        let virtual_server = json!({"name": "all", "placement": placement});
        let virtual_server = id(caller.make("/virtual_servers", virtual_server).await);
        let quota = |key: &str, per_unit: i64, mode: &str| json!({"key": key, "included": 0, "per_unit": per_unit, "mode": mode});
        let terms = json!({
            "virtual_server_id": virtual_server,
            "services": [{"type": "mail", "settings": {}}],
            "quotas": [
                quota("mail.domains", 2, "shared"),
                quota("mail.mailboxes", MAILBOXES, "allocated"),
                quota("mail.storage_mb", 1000, "shared"),
            ],
        });
        caller.make("/plans", json!({"code": "mail", "name": "Mail", "terms": terms})).await;
        let tenant = id(caller.make("/accounts", json!({"type": "tenant", "name": "Acme"})).await);
        for key in ["mail.domains", "mail.mailboxes"] {
            let put = caller.call(Method::PUT, &format!("/accounts/{tenant}/quotas/{key}"));
            let answer = put.header("If-Match", "*").json(&json!({"ceiling": CEILING})).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
        }
        Self { caller, tenant, root }
    }

    /// Places an order under a key until it is acknowledged; how often that was tried, and the order's
    /// identifier.
    pub async fn place(&self, addresses: &[std::net::SocketAddr], key: &str) -> (usize, String) {
        let domain = format!("{key}.example");
        let mut resources = vec![json!({"type": "domain", "spec": {"name": domain}})];
        if has_mailbox(key) {
            let spec = json!({"address": format!("info@{domain}"), "quota_mb": 5});
            resources.push(json!({"type": "mailbox", "spec": spec, "password": "a secret of nobody"}));
        }
        let order = json!({
            "account_id": self.tenant,
            "items": [{"action": "add", "plan": "mail", "resources": resources}],
            "metadata": {"key": key},
        });
        let begun = Instant::now();
        for attempt in 1.. {
            assert!(begun.elapsed() < LONGEST, "{key} is never acknowledged");
            let caller = self.caller.at(addresses[attempt % addresses.len()]);
            let request = caller.call(Method::POST, "/orders").header("Idempotency-Key", key).json(&order);
            if let Ok(answer) = request.send().await {
                let status = answer.status().as_u16();
                if let Ok(body) = answer.json::<Value>().await {
                    match (status, body["code"].as_str()) {
                        (202, _) => return (attempt, body["id"].as_str().unwrap().to_owned()),
                        (503, _) | (409, Some("idempotency_in_progress")) => {}
                        _ => panic!("{key}: {status} {body}"),
                    }
                }
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        unreachable!()
    }

    /// Waits until all orders are completed, and gives them by their keys, of which each has one.
    pub async fn completed(&self) -> BTreeMap<String, Value> {
        let begun = Instant::now();
        loop {
            let orders = self.caller.list("/orders").await;
            let open =
                |order: &&Value| ["queued", "in_progress"].contains(&order["status"].as_str().unwrap());
            let open = orders.iter().filter(open).count();
            if open == 0 {
                let mut by_key = BTreeMap::new();
                for order in orders {
                    assert_eq!(order["status"], "completed", "{order}");
                    let key = order["metadata"]["key"].as_str().unwrap().to_owned();
                    let double = by_key.insert(key, order);
                    assert!(double.is_none(), "two orders have one key: {double:?}");
                }
                return by_key;
            }
            assert!(begun.elapsed() < LONGEST, "{open} orders of {} do not end", orders.len());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Holds everything that is counted against everything that is there: subscriptions, services, quotas of
    /// both levels, and the files.
    pub async fn agrees(&self, orders: &BTreeMap<String, Value>) {
        let count = orders.len() as i64;
        let mailboxes = orders.keys().filter(|key| has_mailbox(key)).count() as i64;
        let ids = |values: &[Value]| -> BTreeSet<String> {
            values.iter().map(|value| value["id"].as_str().unwrap().to_owned()).collect()
        };
        let subscriptions = self.caller.list("/subscriptions").await;
        assert!(subscriptions.iter().all(|subscription| subscription["status"] == "active"));
        let ordered = |field: &str| -> BTreeSet<String> {
            let of = |order: &Value| order["items"][0][field].clone();
            let all = orders.values().map(of).flat_map(|value| match value {
                Value::Array(list) => list,
                one => vec![one],
            });
            all.map(|id| id.as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(ids(&subscriptions), ordered("subscription_id"));
        let services = self.caller.list("/services").await;
        assert_eq!(ids(&services), ordered("service_ids"));

        let mut sums: BTreeMap<String, (i64, i64)> = BTreeMap::new();
        for id in ids(&subscriptions) {
            for quota in self.quotas(&format!("/subscriptions/{id}/quotas")).await {
                let (used, ceiling) = (quota["used"].as_i64().unwrap(), quota["ceiling"].as_i64().unwrap());
                assert_eq!(quota["reserved"], 0, "{id}: {quota}");
                let sum = sums.entry(quota["key"].as_str().unwrap().to_owned()).or_default();
                *sum = (sum.0 + used, sum.1 + ceiling);
            }
        }
        assert_eq!(sums["mail.domains"], (count, 2 * count));
        assert_eq!(sums["mail.mailboxes"], (mailboxes, MAILBOXES * count));
        assert_eq!(sums["mail.storage_mb"].0, 5 * mailboxes);
        let tenant = self.quotas(&format!("/accounts/{}/quotas", self.tenant)).await;
        for (key, used) in [("mail.domains", count), ("mail.mailboxes", MAILBOXES * count)] {
            let quota = tenant.iter().find(|quota| quota["key"] == key).unwrap();
            assert_eq!((&quota["used"], &quota["reserved"]), (&json!(used), &json!(0)), "{key}");
        }

        let users = self.root.join("mail/users");
        let domains: BTreeSet<String> = std::fs::read_dir(&users)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let expected: BTreeSet<String> = orders.keys().map(|key| format!("{key}.example")).collect();
        assert_eq!(domains, expected);
        for domain in &domains {
            let text = std::fs::read_to_string(users.join(domain)).unwrap();
            let lines: Vec<&str> = text.lines().skip(1).collect();
            match has_mailbox(domain) {
                true => assert!(matches!(lines[..], [line] if line.starts_with("info:")), "{domain}: {text}"),
                false => assert!(lines.is_empty(), "{domain}: {text}"),
            }
        }
    }

    async fn quotas(&self, path: &str) -> Vec<Value> {
        self.caller.get(path).await["data"].as_array().unwrap().clone()
    }
}

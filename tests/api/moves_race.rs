//! Moves while everything goes on: at the end all stands where its account does, and all is counted there.

use tenantry::model::Subtree;
use tenantry::store::moves::MOVED;

use super::*;

const KEY: &str = "mail.mailboxes";

async fn used(site: &Site, holder: &str) -> i64 {
    let row = site.quota(&site.operator_key, holder, KEY).await.expect("there is a ceiling");
    assert_eq!(row["reserved"], 0, "{row}");
    row["used"].as_i64().unwrap()
}

/// Rows that do not stand where their account does.
async fn astray(site: &Site) -> Vec<(String, i64)> {
    let mut found = Vec::new();
    let mut conn = site.db.read(Subtree::everything()).await.unwrap();
    for (table, _) in MOVED {
        let of = match *table {
            "accounts" => continue,
            "plan_versions" => "(SELECT p.account_id FROM plans p WHERE p.id = t.plan_id)",
            "replies" => "t.subject_id",
            _ => "t.account_id",
        };
        let statement =
            format!("SELECT COUNT(*) FROM {table} t JOIN accounts a ON a.id = {of} WHERE a.path <> t.path");
        let (count,): (i64,) = conn.query(&*statement.leak()).one().await.unwrap();
        found.push(((*table).to_owned(), count));
    }
    let above = "SELECT COUNT(*) FROM accounts a JOIN accounts p ON p.id = a.parent_id
                 WHERE substr(a.path, 1, length(p.path)) <> p.path OR length(a.path) <> length(p.path) + 13";
    let (count,): (i64,) = conn.query(above).one().await.unwrap();
    found.push(("accounts".into(), count));
    found.retain(|(_, count)| *count > 0);
    found
}

/// Sends it again for as long as the server asks for that.
async fn insisted(call: impl Fn() -> Call) -> Answer {
    for _ in 0..100 {
        let answer = call().send().await;
        if answer.body["retryable"] != true || answer.status < 400 {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("nothing comes of it");
}

on_both_servers! {
    /// AUTHZ-8
    async fn whatever_goes_on_meanwhile_stands_where_its_account_does_and_is_counted_there(site: With::workers()) {
        let world = site.world().await;
        let mut sellers = vec![world.reseller.clone()];
        for name in ["Second", "Third"] {
            sellers.push(site.account(&site.operator_key, "reseller", name).await);
        }
        for account in sellers.iter().map(|seller| &seller.id).chain([&world.operator.id]) {
            let path = format!("/v1/accounts/{account}/quotas/{KEY}");
            site.put(&path).anyway().key(&site.operator_key).json(json!({"ceiling": 1000})).send().await.is(200);
        }
        // A reseller below, with a tenant: what moves is two deep.
        let middle = site.account(&sellers[0].key, "reseller", "Middle").await;
        let tenant = site.account(&middle.key, "tenant", "Below").await;
        let held = site.account(&middle.key, "tenant", "Held").await;
        let moves = async {
            let mut done = 0;
            for n in 0..13 {
                let path = format!("/v1/accounts/{}/move", middle.id);
                let to = json!({"parent_id": sellers[(n + 1) % 3].id});
                let answer = insisted(|| site.post(&path).key(&site.operator_key).json(to.clone())).await;
                done += i64::from(answer.is(200).body["parent_id"] == to["parent_id"]);
                tokio::time::sleep(Duration::from_millis(15)).await;
            }
            assert_eq!(done, 13);
        };
        // Half of them by itself, half for it by the operator, who stands where he did.
        let orders = (0..8).map(|task| {
            let (tenant, site) = (&tenant, &*site);
            async move {
                for n in 0..4 {
                    let (idem, mut order) = (format!("{task}-{n}"), add("hosted-mail", 1, json!([])));
                    order["account_id"] = json!(tenant.id);
                    let key = if task % 2 == 0 { &tenant.key } else { &site.operator_key };
                    let placed = || site.post("/v1/orders").key(key).idem(&idem).json(order.clone());
                    insisted(placed).await.is(202);
                }
            }
        });
        let accounts = async {
            for n in 0..12 {
                let asked = json!({"type": "tenant", "name": format!("Made {n}")});
                insisted(|| site.post("/v1/accounts").key(&middle.key).json(asked.clone())).await.is(201);
            }
        };
        let holds = async {
            for n in 0..6 {
                let verb = if n % 2 == 0 { "suspend" } else { "resume" };
                let path = format!("/v1/accounts/{}/{verb}", held.id);
                let answer = insisted(|| site.post(&path).key(&middle.key).json(json!({"reason_code": "policy"}))).await;
                assert!(answer.status < 300, "{}", answer.text);
            }
        };
        tokio::join!(moves, futures_util::future::join_all(orders), accounts, holds);
        until("all is done", async || {
            let list = site.all(&site.operator_key, "/v1/operations", 200).await;
            list.iter().all(|operation| operation["status"] == "succeeded")
        }).await;
        until("what is noted is written", async || astray(site).await.is_empty()).await;
        assert_eq!(astray(site).await, []);
        let mut counted = Vec::new();
        for seller in &sellers {
            counted.push(used(site, &seller.id).await);
        }
        assert_eq!((counted, used(site, &world.operator.id).await), (vec![0, 32, 0], 32));
        let verdict = tenantry::domain::accounts::audit::verify(&site.db).await.unwrap();
        assert!(verdict.broken.is_empty(), "{verdict:?}");
        let events = all_told(site, &tenant.key).await;
        let mut sequences: Vec<_> = events.iter().filter(|event| event["account_id"] == tenant.id.as_str()).map(|event| event["sequence"].as_i64().unwrap()).collect();
        sequences.sort_unstable();
        assert_eq!(sequences, (1..=sequences.len() as i64).collect::<Vec<_>>());
    }
}

//! Lists that change while somebody walks them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;

/// Walks a list once, and counts how often each row came.
async fn walk(site: &Site, key: &str, path: &str) -> BTreeMap<String, u32> {
    let mut seen = BTreeMap::new();
    for row in site.all(key, path, 3).await {
        *seen.entry(row["id"].as_str().unwrap().to_owned()).or_insert(0) += 1;
    }
    seen
}

on_both_servers! {
    /// PAGE-2: places have the accounts above in them.
    async fn a_cursor_tells_nothing_to_whoever_reads_it(site: With::no_workers()) {
        let world = site.world().await;
        site.plan(&world.virtual_server, "second", mail_quotas(1)).await;
        for _ in 0..2 {
            site.account(&world.reseller.key, "tenant", "One more").await;
        }
        for list in ["plans", "catalog", "accounts"] {
            let page = async || site.get(&format!("/v1/{list}?limit=1")).key(&world.reseller.key).send().await.is(200).text_at("next_cursor");
            let read = URL_SAFE_NO_PAD.decode(page().await).unwrap();
            let read = String::from_utf8_lossy(&read);
            assert!(!read.contains("after") && !read.contains("until"), "{list}: {read}");
            assert_ne!(page().await, page().await, "{list}: of two nobody sees that they are the same");
        }
    }

    /// PAGE-3: of what goes and of what only grows, while tasks beside the walk insert and delete.
    async fn what_was_there_all_along_comes_exactly_once_whatever_comes_and_goes(site: With::no_workers()) {
        let world = site.world().await;
        let key = &world.reseller.key;
        let endpoint = |n: usize| json!({"url": format!("https://hooks.example/{n}")});
        let make = async |n: usize| site.post("/v1/webhook_endpoints").key(key).json(endpoint(n)).send().await.is(201).id();
        let mut stays = Vec::new();
        let mut goes = Vec::new();
        for n in 0..15 {
            // Those that go lie between those that stay.
            if n % 3 == 0 { goes.push(make(n).await) } else { stays.push(make(n).await) }
        }
        let tenants: Vec<_> = {
            let mut made = Vec::new();
            for n in 0..8 {
                let tenant = json!({"type": "tenant", "name": format!("T{n}")});
                made.push(site.post("/v1/accounts").key(key).json(tenant).send().await.is(201).id());
            }
            made
        };
        // How much has come and gone, and what is enough of it.
        let (changes, enough) = (AtomicUsize::new(0), 24);
        let churn = async {
            let mut n = 1000;
            while changes.load(Ordering::Relaxed) < enough {
                if let Some(id) = goes.pop() {
                    site.delete(&format!("/v1/webhook_endpoints/{id}")).key(key).send().await.is(204);
                }
                goes.insert(0, make(n).await);
                let tenant = json!({"type": "tenant", "name": format!("new {n}"), "parent_id": world.reseller.id});
                site.post("/v1/accounts").key(key).json(tenant).send().await.is(201);
                n += 1;
                changes.fetch_add(1, Ordering::Relaxed);
            }
        };
        let walks = async {
            let mut round = 0;
            while changes.load(Ordering::Relaxed) < enough {
                round += 1;
                let (endpoints, accounts) =
                    futures_util::join!(walk(site, key, "/v1/webhook_endpoints"), walk(site, key, "/v1/accounts"));
                for id in &stays {
                    assert_eq!(endpoints.get(id), Some(&1), "round {round}");
                }
                for id in &tenants {
                    assert_eq!(accounts.get(id), Some(&1), "round {round}");
                }
                assert!(endpoints.values().chain(accounts.values()).all(|times| *times == 1));
            }
        };
        futures_util::join!(churn, walks);
    }
}

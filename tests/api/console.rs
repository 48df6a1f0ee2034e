//! How all accounts below a seller are, the ones with problems first.

use super::*;

async fn page(site: &Site, by: &str, of: &str, query: &str) -> Answer {
    site.get(&format!("/v1/accounts/{of}/console{query}")).key(by).send().await.is(200)
}

/// Names with their health, in the order shown, page by page.
async fn shown(site: &Site, by: &str, of: &str, limit: usize) -> Vec<(String, String)> {
    let rows = site.all(by, &format!("/v1/accounts/{of}/console"), limit).await;
    let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    rows.iter().map(|row| (text(row, "name"), text(row, "health"))).collect()
}

fn named(shown: &[(&str, &str)]) -> Vec<(String, String)> {
    shown.iter().map(|(name, health)| ((*name).to_owned(), (*health).to_owned())).collect()
}

async fn hold(site: &Site, by: &str, on: &str, verb: &str) {
    let asked = json!({"reason_code": "policy"});
    let answer = site.post(&format!("/v1/{on}/{verb}")).key(by).wait(20).json(asked).send().await;
    assert!(answer.status < 300, "{}", answer.text);
}

async fn ceiling(site: &Site, account: &str, ceiling: i64) {
    let path = format!("/v1/accounts/{account}/quotas/mail.mailboxes");
    site.put(&path).anyway().key(&site.operator_key).json(json!({"ceiling": ceiling})).send().await.is(200);
}

on_both_servers! {
    /// M7
    async fn what_is_wrong_below_comes_first_and_goes_when_it_is_mended(site: With::workers()) {
        let world = site.world().await;
        let (reseller, root) = (&world.reseller, &site.operator_key);
        let mut tenants = Vec::new();
        for n in 0..5 {
            tenants.push(site.account(&reseller.key, "tenant", &format!("Tenant {n}")).await);
        }
        let sub = site.account(&reseller.key, "reseller", "Below").await;
        let far = site.account(&sub.key, "tenant", "Far below").await;
        let elsewhere = site.account(root, "reseller", "Elsewhere").await;
        site.account(&elsewhere.key, "tenant", "Not here").await;
        let all = shown(site, &reseller.key, &reseller.id, 200).await;
        let healthy = ["Tenant", "Tenant 0", "Tenant 1", "Tenant 2", "Tenant 3", "Tenant 4", "Below", "Far below"];
        let mut names: Vec<_> = all.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        let mut due = healthy.to_vec();
        due.sort_unstable();
        assert_eq!(names, due);
        assert!(all.iter().all(|(_, health)| health == "ok"), "{all:?}");

        // One that is suspended, one that has passed its ceiling, and one far below whose order failed.
        hold(site, &reseller.key, &format!("accounts/{}", tenants[3].id), "suspend").await;
        site.ordered(&tenants[1], "passed.example", 2).await;
        ceiling(site, &tenants[1].id, 1).await;
        let (served, away) = (site.folder.join("served"), site.folder.join("away"));
        std::fs::rename(&served, &away).unwrap();
        std::fs::write(&served, "in the way").unwrap();
        let order = add("hosted-mail", 1, json!([{"type": "domain", "spec": {"name": "far.example"}}]));
        let failing = site.post("/v1/orders").key(&far.key).json(order).send().await.is(202);
        std::fs::remove_file(&served).unwrap();
        std::fs::rename(&away, &served).unwrap();
        let operation = failing.text_at("operation_id");
        until("it has come to an end", async || {
            let told = site.get(&format!("/v1/operations/{operation}")).key(root).send().await.is(200);
            ["succeeded", "failed"].contains(&told.body["status"].as_str().unwrap())
        }).await;
        let gave_up = "UPDATE operations SET status = 'needs_attention', due_at = NULL WHERE id = ";
        site.fresh.tamper(&format!("{gave_up}'{operation}'")).await;

        let first = page(site, &reseller.key, &reseller.id, "?limit=3").await;
        let rows = first.body["data"].as_array().unwrap();
        let of = |name: &str| rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("{name}: {}", first.text));
        let problem = |row: &Value| (row["health"].clone(), row["problems"][0]["kind"].clone(), row["problems"][0]["count"].clone());
        assert_eq!(problem(of("Tenant 3")), (json!("attention"), json!("held"), json!(1)));
        assert_eq!((&of("Tenant 3")["suspended"], &of("Tenant 1")["suspended"]), (&json!(true), &json!(false)));
        assert_eq!(problem(of("Tenant 1")), (json!("attention"), json!("quota_passed"), json!(1)));
        assert_eq!(problem(of("Far below")), (json!("failing"), json!("operation_needs_attention"), json!(1)));
        // Whatever the size of pages, each comes once, and those with problems first.
        let whole = shown(site, &reseller.key, &reseller.id, 200).await;
        assert_eq!(whole.len(), healthy.len());
        assert!(whole[3..].iter().all(|(_, health)| health == "ok"), "{whole:?}");
        for limit in 1..=4 {
            assert_eq!(shown(site, &reseller.key, &reseller.id, limit).await, whole, "pages of {limit}");
        }
        // The seller below sees his own only.
        assert_eq!(shown(site, &sub.key, &sub.id, 200).await, named(&[("Far below", "failing")]));
        assert_eq!(shown(site, &tenants[0].key, &tenants[0].id, 200).await, []);
        site.get(&format!("/v1/accounts/{}/console", reseller.id)).key(&elsewhere.key).send().await.refused(404, "account_not_found");

        hold(site, &reseller.key, &format!("accounts/{}", tenants[3].id), "resume").await;
        ceiling(site, &tenants[1].id, 2).await;
        let seen_to = "UPDATE operations SET status = 'failed' WHERE id = ";
        site.fresh.tamper(&format!("{seen_to}'{operation}'")).await;
        // What has come to its end is held, and nobody's problem.
        let ended = site.ordered(&tenants[0], "ended.example", 1).await.subscription;
        super::subscriptions::call(site, root, &ended, "cancel").json(json!({"when": "now"})).send().await.is(200);
        let mended = shown(site, &reseller.key, &reseller.id, 200).await;
        assert!(mended.iter().all(|(_, health)| health == "ok"), "{mended:?}");
    }

    async fn a_cursor_of_another_console_leads_nowhere(site: With::no_workers()) {
        let world = site.world().await;
        for n in 0..3 {
            site.account(&world.reseller.key, "tenant", &format!("Tenant {n}")).await;
        }
        let first = page(site, &site.operator_key, &world.reseller.id, "?limit=1").await;
        let cursor = first.text_at("next_cursor");
        let path = format!("/v1/accounts/{}/console?cursor={cursor}", world.operator.id);
        site.get(&path).key(&site.operator_key).send().await.refused(400, "invalid_cursor");
    }
}

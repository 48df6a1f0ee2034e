//! The feed and the rules for webhooks.

use super::*;

async fn feed(site: &Site, key: &str, limit: usize) -> Vec<Value> {
    let mut events = Vec::new();
    let mut next = format!("/v1/events?limit={limit}");
    loop {
        let part = site.get(&next).key(key).send().await.is(200);
        let data = part.body["data"].as_array().unwrap();
        if data.is_empty() {
            return events;
        }
        assert!(data.len() <= limit);
        events.extend(data.iter().cloned());
        next = format!("/v1/events?limit={limit}&after={}", part.text_at("next_after"));
    }
}

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

on_both_servers! {
    async fn the_feed_tells_all_of_the_subtree_in_order_once_and_without_a_gap(site: With::workers()) {
        let world = site.world().await;
        let ordered = site.ordered(&world.tenant, "acme.example", 1).await;
        let hold = json!({"reason_code": "payment"});
        site.post(&format!("/v1/services/{}/suspend", ordered.mail)).key(&world.reseller.key).wait(20).json(hold).send().await.is(200);
        let expected = "order.completed";
        // The feed holds back what another test's open transaction might still come before.
        until("the feed tells the end", async || types(&feed(site, &world.tenant.key, 200).await).contains(&"service.suspended")).await;
        let events = feed(site, &world.tenant.key, 200).await;
        for limit in [1, 3] {
            assert_eq!(feed(site, &world.tenant.key, limit).await, events, "in parts of {limit}");
        }
        let told = types(&events);
        let order: Vec<_> = ["account.created", "order.created", expected, "hold.placed", "service.suspended"].iter().map(|it| told.iter().position(|told| told == it)).collect();
        assert!(order.iter().all(Option::is_some) && order.is_sorted(), "{told:?}");
        for account in [&world.tenant.id, &world.reseller.id] {
            let all = feed(site, &site.operator_key, 200).await;
            let sequences: Vec<_> = all.iter().filter(|event| event["account_id"] == account.as_str()).map(|event| event["sequence"].as_i64().unwrap()).collect();
            assert_eq!(sequences, (1..=sequences.len() as i64).collect::<Vec<_>>());
        }
        assert!(events.iter().all(|event| event["account_id"] == world.tenant.id.as_str()));
        let placed = events.iter().find(|event| event["type"] == "hold.placed").unwrap();
        assert_eq!((&placed["cause"]["reason_code"], &placed["data"]["object"]["reason_class"]), (&json!("payment"), &json!("payment")));

        let last = site.get("/v1/events?limit=200").key(&world.tenant.key).send().await.text_at("next_after");
        let empty = site.get(&format!("/v1/events?after={last}")).key(&world.tenant.key).send().await.is(200);
        assert_eq!(empty.body["data"], json!([]));
        site.post(&format!("/v1/services/{}/resume", ordered.mail)).key(&world.reseller.key).wait(20).send().await.is(200);
        let next = format!("/v1/events?after={}", empty.text_at("next_after"));
        until("the feed goes on", async || {
            let more = site.get(&next).key(&world.tenant.key).send().await.is(200);
            types(more.body["data"].as_array().unwrap()).contains(&"service.resumed")
        }).await;
        site.get(&next).key(&world.reseller.key).send().await.refused(400, "invalid_cursor");
    }

    async fn whoever_was_away_for_weeks_goes_on_with_the_feed_where_he_was(site: With::clock()) {
        let world = site.world().await;
        let key = &world.reseller.key;
        all_told(site, key).await;
        let told = site.get("/v1/events?limit=200").key(key).send().await.is(200);
        let after = told.text_at("next_after");
        site.account(key, "tenant", "Meanwhile").await;
        site.clock.advance(Duration::from_secs(40 * 24 * 60 * 60));
        let path = format!("/v1/events?after={after}");
        let mut names = Vec::new();
        until("the feed tells what has happened", async || {
            let feed = site.get(&path).key(key).send().await.is(200);
            let objects = feed.body["data"].as_array().unwrap().iter().map(|event| event["data"]["object"]["name"].clone());
            names = objects.collect();
            !names.is_empty()
        }).await;
        assert_eq!(names[0], "Meanwhile");
        let refused = site.get("/v1/events?after=elsewhere").key(key).send().await.refused(400, "invalid_cursor");
        assert_eq!(refused.body["errors"][0]["parameter"], "after", "{}", refused.text);
    }

    async fn webhooks_go_to_public_https_addresses_only(site: With::no_workers()) {
        let world = site.world().await;
        let key = &world.reseller.key;
        let register = |url: &str| site.post("/v1/webhook_endpoints").key(key).json(json!({"url": url})).send();
        for url in [
            "http://hooks.example/in", "https://127.0.0.1/in", "https://10.0.0.8/in", "https://[::1]/in", "https://169.254.169.254/latest",
            "https://user:word@hooks.example/in", "https://hooks.example:22/in", "https://hooks.example/in#part", "ftp://hooks.example/in", "not a url",
            "https://2130706433/in", "https://0x7f.1/in",
        ] {
            let refused = register(url).await.refused(422, "webhook_url_rejected");
            assert_eq!(refused.faults(), [("/url".into(), "rejected".into())], "{url}");
        }
        let made = register("https://hooks.example/in").await.is(201);
        assert!(made.text_at("secret").starts_with("whsec_"));
        let path = format!("/v1/webhook_endpoints/{}", made.id());
        let read = site.get(&path).key(key).send().await.is(200);
        assert!(read.body["secret"].is_null() && !read.text.contains("whsec_"));
        site.patch(&path).key(key).json(json!({"url": "https://10.1.2.3/in"})).send().await.refused(422, "webhook_url_rejected");
        let changed = site.patch(&path).key(key).json(json!({"status": "disabled", "event_types": ["order.completed"]})).send().await.is(200);
        assert_eq!((&changed.body["status"], &changed.body["event_types"]), (&json!("disabled"), &json!(["order.completed"])));
        site.patch(&path).key(key).json(json!({"event_types": ["order.exploded"]})).send().await.refused(422, "validation_failed");
        site.get(&path).key(&world.tenant.key).send().await.refused(404, "not_found");
        site.delete(&path).key(key).send().await.is(204);
        site.get(&path).key(key).send().await.refused(404, "not_found");
    }
}

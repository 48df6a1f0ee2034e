//! A key that was found where others can read it.

use tenantry::model::Subtree;
use tenantry::store::audit;

use super::*;

const REPORT: &str = "/v1/keys/report_leaked";

/// Reports a text, as anybody can, and gives what is told of it.
async fn report(site: &Site, text: &str) -> (u16, String) {
    let answer = site.post(REPORT).json(json!({"key": text})).send().await;
    (answer.status, answer.text)
}

/// A key of the reseller's: its identifier and its secret.
async fn made(site: &Site, world: &World) -> (String, String) {
    let asked = json!({"name": "shop", "scopes": ["orders:read"]});
    let made = site.post("/v1/keys").key(&world.reseller.key).json(asked).send().await.is(201);
    (made.id(), made.text_at("secret"))
}

on_both_servers! {
    /// KEY-10
    async fn a_reported_key_is_revoked_at_once_and_its_account_is_told(site: With::no_workers()) {
        let world = site.world().await;
        let (id, secret) = made(site, &world).await;
        site.get("/v1/orders").key(&secret).send().await.is(200);
        assert_eq!(report(site, &secret).await.0, 202);
        site.get("/v1/orders").key(&secret).send().await.refused(401, "invalid_token");
        let shown = site.get(&format!("/v1/keys/{id}")).key(&world.reseller.key).send().await.is(200);
        assert_eq!(shown.body["status"], "revoked");
        report(site, &secret).await;
        for event_type in ["key.revoked", "key.leaked"] {
            let events = told(site, &world.reseller.key, event_type).await;
            assert_eq!(events.len(), 1, "{event_type}");
            assert_eq!(events[0]["resource"]["id"], id.as_str());
            assert!(!events[0].to_string().contains("tnk_"));
        }
        let account = world.reseller.id.parse().unwrap();
        let mut conn = site.db.read(Subtree::everything()).await.unwrap();
        let lines = audit::after(&mut conn, account, 0, 1000).await.unwrap();
        let lines: Vec<_> = lines.iter().filter(|line| line.action == "keys_report_leaked").collect();
        assert!(lines.len() == 1 && lines[0].resource.as_deref() == Some(&id) && lines[0].address.is_some());
    }

    /// KEY-10
    async fn a_reporter_is_told_the_same_of_every_text(site: With::clock()) {
        let world = site.world().await;
        let (_, good) = made(site, &world).await;
        let (id, revoked) = made(site, &world).await;
        site.delete(&format!("/v1/keys/{id}")).key(&world.reseller.key).send().await.is(200);
        let (id, rotated) = made(site, &world).await;
        let rotate = site.post(&format!("/v1/keys/{id}/rotate")).key(&world.reseller.key);
        let current = rotate.send().await.is(201).text_at("secret");
        let expires = site.clock.now().plus(Duration::from_secs(60));
        let asked = json!({"name": "short", "scopes": ["orders:read"], "expires_at": expires});
        let expired = site.post("/v1/keys").key(&world.reseller.key).json(asked).send().await.is(201).text_at("secret");
        site.clock.advance(Duration::from_secs(60));
        let cut = &good[..good.len() - 1];
        let texts = [cut, "", "nonsense", &revoked, &rotated, &expired, &good];
        let mut answers = Vec::new();
        for text in texts {
            answers.push(report(site, text).await);
        }
        assert!(answers.iter().all(|answer| *answer == (202, "{\"received\":true}".into())), "{answers:?}");
        assert_eq!(told(site, &world.reseller.key, "key.leaked").await.len(), 1, "only the one that worked");
        site.get("/v1/orders").key(&current).send().await.is(200);
    }

    /// KEY-10
    async fn the_secret_before_a_rotation_ends_the_key_while_it_still_works(site: With::no_workers()) {
        let world = site.world().await;
        let (id, first) = made(site, &world).await;
        let rotate = site.post(&format!("/v1/keys/{id}/rotate")).key(&world.reseller.key);
        let second = rotate.json(json!({"overlap_seconds": 600})).send().await.is(201).text_at("secret");
        report(site, &first).await;
        for secret in [&first, &second] {
            site.get("/v1/orders").key(secret).send().await.refused(401, "invalid_token");
        }
    }

    /// KEY-10
    async fn a_report_that_is_none_is_refused_like_any_other_body(site: With::no_workers()) {
        site.post(REPORT).json(json!({})).send().await.refused(422, "validation_failed");
        site.post(REPORT).json(json!({"key": "k", "more": 1})).send().await.refused(422, "validation_failed");
        site.post(REPORT).body("text/plain", "k").send().await.refused(415, "unsupported_media_type");
        site.post(REPORT).body("application/json", "{").send().await.refused(400, "malformed_json");
        site.post(REPORT).send().await.refused(422, "validation_failed");
        // CFG-7: though its path looks like that of a key.
        let refused = site.get(REPORT).key(&site.operator_key).send().await.refused(405, "method_not_allowed");
        assert_eq!(refused.header("allow"), Some("POST"));
    }
}

//! Rotation: a key gets a new secret, and the one before goes on working for as long as was asked.

use super::*;

/// A key of the reseller's: its identifier and its secret.
async fn made(site: &Site, world: &World) -> (String, String) {
    let asked = json!({"name": "shop", "scopes": ["orders:read"]});
    let made = site.post("/v1/keys").key(&world.reseller.key).json(asked).send().await.is(201);
    (made.id(), made.text_at("secret"))
}

/// The new secret of the key.
async fn rotated(site: &Site, world: &World, id: &str, overlap: u64) -> String {
    let asked = json!({"overlap_seconds": overlap});
    let path = format!("/v1/keys/{id}/rotate");
    site.post(&path).key(&world.reseller.key).json(asked).send().await.is(201).text_at("secret")
}

/// Asserts whether a secret opens the API and the token endpoint.
async fn works(site: &Site, id: &str, secret: &str, is_to: bool) {
    let bearer = site.get("/v1/orders").key(secret).send().await;
    let token = site.post("/oauth/token").basic(id, secret).form(&[("grant_type", "client_credentials")]);
    let token = token.send().await;
    match is_to {
        true => {
            bearer.is(200);
            token.is(200);
        }
        false => {
            bearer.refused(401, "invalid_token");
            assert_eq!((token.status, token.text_at("error").as_str()), (401, "invalid_client"));
        }
    }
}

on_both_servers! {
    /// KEY-6
    async fn both_secrets_of_a_rotated_key_work_until_the_overlap_ends(site: With::clock()) {
        let world = site.world().await;
        let (id, first) = made(site, &world).await;
        let second = rotated(site, &world, &id, 3600).await;
        assert_ne!(first, second);
        site.clock.advance(Duration::from_secs(3599));
        works(site, &id, &first, true).await;
        works(site, &id, &second, true).await;
        site.clock.advance(Duration::from_secs(1));
        works(site, &id, &first, false).await;
        works(site, &id, &second, true).await;
    }

    /// KEY-6
    async fn a_rotation_without_overlap_ends_the_secret_before_at_once(site: With::no_workers()) {
        let world = site.world().await;
        let (id, first) = made(site, &world).await;
        works(site, &id, &first, true).await;
        let second = rotated(site, &world, &id, 0).await;
        works(site, &id, &first, false).await;
        works(site, &id, &second, true).await;
        let path = format!("/v1/keys/{id}/rotate");
        let third = site.post(&path).key(&world.reseller.key).send().await.is(201).text_at("secret");
        works(site, &id, &second, false).await;
        works(site, &id, &third, true).await;
    }

    /// KEY-6
    async fn of_a_key_that_is_rotated_again_only_the_last_two_secrets_work(site: With::clock()) {
        let world = site.world().await;
        let (id, first) = made(site, &world).await;
        let second = rotated(site, &world, &id, 604_800).await;
        let third = rotated(site, &world, &id, 600).await;
        for (secret, is_to) in [(&first, false), (&second, true), (&third, true)] {
            works(site, &id, secret, is_to).await;
        }
        let fourth = rotated(site, &world, &id, 0).await;
        for (secret, is_to) in [(&second, false), (&third, false), (&fourth, true)] {
            works(site, &id, secret, is_to).await;
        }
    }

    /// KEY-3, KEY-6
    async fn the_new_secret_is_told_once_and_again_only_to_the_same_request(site: With::no_workers()) {
        let world = site.world().await;
        let (id, _) = made(site, &world).await;
        let path = format!("/v1/keys/{id}/rotate");
        let ask = || site.post(&path).key(&world.reseller.key).idem("rotate-1").json(json!({"overlap_seconds": 60}));
        let first = ask().send().await.is(201);
        let again = ask().send().await.is(201);
        assert_eq!((&first.text, again.header("idempotency-replayed")), (&again.text, Some("true")));
        works(site, &id, &first.text_at("secret"), true).await;
        assert!(first.body["overlap_ends_at"].is_string() && first.id() == id);
        let shown = site.get(&format!("/v1/keys/{id}")).key(&world.reseller.key).send().await.is(200);
        assert!(!shown.text.contains("tnk_") && !shown.text.contains("hash"), "{}", shown.text);
        assert_eq!(shown.header("etag"), first.header("etag"));
        let told = told(site, &world.reseller.key, "key.rotated").await;
        assert!(told.len() == 1 && told[0]["resource"]["id"] == id.as_str(), "{told:?}");
        assert!(!told[0].to_string().contains("tnk_"));
    }

    /// KEY-6
    async fn a_key_that_has_ended_is_not_rotated(site: With::clock()) {
        let world = site.world().await;
        let by = &world.reseller.key;
        let (id, _) = made(site, &world).await;
        let path = format!("/v1/keys/{id}/rotate");
        site.post(&path).key(by).json(json!({"overlap_seconds": 604_801})).send().await.refused(422, "validation_failed");
        site.post(&path).key(by).json(json!({"overlap_seconds": -1})).send().await.refused(422, "validation_failed");
        site.delete(&format!("/v1/keys/{id}")).key(by).send().await.is(200);
        let refused = site.post(&path).key(by).send().await.refused(409, "state_conflict");
        assert_eq!(refused.body["current_state"], "revoked");
        let expires = site.clock.now().plus(Duration::from_secs(60));
        let short = json!({"name": "short", "scopes": ["orders:read"], "expires_at": expires});
        let short = site.post("/v1/keys").key(by).json(short).send().await.is(201).id();
        site.clock.advance(Duration::from_secs(60));
        let refused = site.post(&format!("/v1/keys/{short}/rotate")).key(by).send().await.refused(409, "state_conflict");
        assert_eq!(refused.body["current_state"], "expired");
    }

    /// KEY-8
    async fn a_key_rotates_no_key_that_has_more_rights_or_is_out_of_its_reach(site: With::no_workers()) {
        let world = site.world().await;
        let narrow = json!({"name": "narrow", "scopes": ["keys:write", "orders:read"], "hold_classes": []});
        let narrow = site.post("/v1/keys").key(&world.reseller.key).json(narrow).send().await.is(201);
        let (narrow_id, narrow) = (narrow.id(), narrow.text_at("secret"));
        let rotate = |by: &str, secret: &str| {
            let id = secret.split('_').nth(2).unwrap().to_owned();
            site.post(&format!("/v1/keys/key_{id}/rotate")).key(by).send()
        };
        rotate(&narrow, &world.reseller.key).await.refused(403, "scope_escalation");
        rotate(&narrow, &world.operator.key).await.refused(404, "not_found");
        let grant = [("grant_type", "client_credentials"), ("scope", "keys:write")];
        let token = site.post("/oauth/token").basic(&narrow_id, &narrow).form(&grant).send().await.is(200);
        rotate(&token.text_at("access_token"), &narrow).await.refused(403, "scope_escalation");
        let own = rotate(&narrow, &narrow).await.is(201).text_at("secret");
        site.get("/v1/orders").key(&own).send().await.is(200);
        site.get("/v1/orders").key(&narrow).send().await.refused(401, "invalid_token");
        site.get("/v1/orders").key(&world.reseller.key).send().await.is(200);
    }
}

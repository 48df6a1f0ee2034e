//! From where and from when on a key is taken.

use secrecy::ExposeSecret;
use tenantry::access::principals::Principals;
use tenantry::access::secret::SecretKey;
use tenantry::model::accounts::accounts::Environment;

use super::*;

const GRANT: [(&str, &str); 1] = [("grant_type", "client_credentials")];
const INSIDE: &str = "203.0.113.77";
const OUTSIDE: &str = "203.0.114.77";

/// This machine is a proxy whose word is taken, so that a test comes from where it says.
fn behind_a_proxy() -> With {
    With { settings: &[("TENANTRY_SERVER__TRUSTED_PROXIES", "127.0.0.1")], ..With::no_workers() }
}

/// A key of the reseller's that is taken from two networks: its identifier and its secret.
async fn bound(site: &Site, world: &World) -> (String, String) {
    let asked = json!({
        "name": "bound",
        "scopes": ["orders:read", "keys:write"],
        "hold_classes": [],
        "allowed_addresses": ["203.0.113.0/24", "2001:db8::/48"],
    });
    let made = site.post("/v1/keys").key(&world.reseller.key).json(asked).send().await.is(201);
    assert_eq!(made.body["allowed_addresses"], json!(["203.0.113.0/24", "2001:db8::/48"]));
    (made.id(), made.text_at("secret"))
}

fn orders(site: &Site, credential: &str, from: &str) -> Call {
    site.get("/v1/orders").key(credential).header("X-Forwarded-For", from)
}

on_both_servers! {
    /// KEY-9
    async fn a_key_with_a_list_is_taken_from_its_addresses_only_and_the_list_is_not_told(site: behind_a_proxy()) {
        let world = site.world().await;
        let (id, secret) = bound(site, &world).await;
        for inside in [INSIDE, "2001:db8:0:7::1", "::ffff:203.0.113.1"] {
            orders(site, &secret, inside).send().await.is(200);
        }
        let token = site.post("/oauth/token").basic(&id, &secret).form(&GRANT).header("X-Forwarded-For", INSIDE);
        let token = token.send().await.is(200).text_at("access_token");
        orders(site, &token, INSIDE).send().await.is(200);
        for outside in [OUTSIDE, "2001:db8:1::1", "127.0.0.1", "unknown"] {
            for credential in [&secret, &token] {
                let refused = orders(site, credential, outside).send().await.refused(403, "ip_not_allowed");
                assert!(!refused.text.contains("203.0.113") && !refused.text.contains("2001:db8"), "{}", refused.text);
            }
            let asked = site.post("/oauth/token").basic(&id, &secret).form(&GRANT).header("X-Forwarded-For", outside);
            let refused = asked.send().await.is(403);
            assert_eq!(refused.text_at("error"), "ip_not_allowed");
            assert!(!refused.text.contains("203.0.113"), "{}", refused.text);
        }
        // Who has no right secret is not told that the address is wrong.
        let wrong = SecretKey::generate(Environment::Live, id.parse().unwrap());
        orders(site, wrong.text.expose_secret(), OUTSIDE).send().await.refused(401, "invalid_token");
        orders(site, &world.reseller.key, OUTSIDE).send().await.is(200);
    }

    /// KEY-9
    async fn a_stranger_does_not_come_from_where_it_says(site: With::no_workers()) {
        let world = site.world().await;
        let (_, secret) = bound(site, &world).await;
        orders(site, &secret, INSIDE).send().await.refused(403, "ip_not_allowed");
    }

    /// KEY-8
    async fn a_key_with_a_list_makes_and_rotates_only_keys_whose_list_lies_inside(site: behind_a_proxy()) {
        let world = site.world().await;
        let (_, secret) = bound(site, &world).await;
        let make = |list: Option<Value>| {
            let mut asked = json!({"name": "k", "scopes": ["orders:read"], "hold_classes": []});
            if let Some(list) = list {
                asked["allowed_addresses"] = list;
            }
            site.post("/v1/keys").key(&secret).header("X-Forwarded-For", INSIDE).json(asked).send()
        };
        for outside in [None, Some(json!(["203.0.112.0/23"])), Some(json!(["203.0.113.0/24", "::/0"]))] {
            let refused = make(outside).await.refused(403, "scope_escalation");
            assert!(!refused.text.contains("203.0.113"), "{}", refused.text);
        }
        make(Some(json!(["203.0.113.128/25", "2001:db8:0:1::/64"]))).await.is(201);
        let wide = json!({"name": "wide", "scopes": ["orders:read"], "hold_classes": []});
        let wide = site.post("/v1/keys").key(&world.reseller.key).json(wide).send().await.is(201).id();
        let rotate = site.post(&format!("/v1/keys/{wide}/rotate")).key(&secret).header("X-Forwarded-For", INSIDE);
        rotate.send().await.refused(403, "scope_escalation");
    }

    /// KEY-4
    async fn a_list_has_fifty_ranges_at_most_each_well_formed(site: With::no_workers()) {
        let make = |list: Value| {
            let asked = json!({"name": "k", "scopes": ["orders:read"], "allowed_addresses": list});
            site.post("/v1/keys").key(&site.operator_key).json(asked).send()
        };
        let many = |count: usize| (0..count).map(|n| json!(format!("10.{n}.0.0/16"))).collect::<Value>();
        make(many(50)).await.is(201);
        for wrong in [many(51), json!([]), json!("10.0.0.0/8")] {
            make(wrong).await.refused(422, "validation_failed");
        }
        for wrong in ["10.0.0.1/8", "10.0.0.1", "10.0.0.0/33", "::ffff:10.0.0.0/104", "everywhere"] {
            let refused = make(json!(["10.0.0.0/8", wrong])).await.refused(422, "validation_failed");
            assert_eq!(refused.faults(), [("/allowed_addresses/1".into(), "invalid".into())], "{wrong}");
        }
    }

    /// KEY-4
    async fn a_key_is_refused_until_its_time_has_come(site: With::clock()) {
        let world = site.world().await;
        let begins = site.clock.now().plus(Duration::from_secs(3600));
        let asked = json!({"name": "later", "scopes": ["orders:read"], "not_before": begins});
        let made = site.post("/v1/keys").key(&world.reseller.key).json(asked).send().await.is(201);
        let (id, secret) = (made.id(), made.text_at("secret"));
        site.clock.advance(Duration::from_secs(3599));
        site.get("/v1/orders").key(&secret).send().await.refused(401, "invalid_token");
        let token = site.post("/oauth/token").basic(&id, &secret).form(&GRANT).send().await;
        assert_eq!((token.status, token.text_at("error").as_str()), (401, "invalid_client"));
        site.clock.advance(Duration::from_secs(1));
        site.get("/v1/orders").key(&secret).send().await.is(200);
        let never = json!({"name": "never", "scopes": ["orders:read"], "not_before": begins, "expires_at": begins});
        site.clock.advance(Duration::from_secs(1));
        let ahead = site.clock.now().plus(Duration::from_secs(60));
        let never = [never, json!({"name": "never", "scopes": ["orders:read"], "not_before": ahead, "expires_at": ahead})];
        for (asked, at) in never.into_iter().zip(["/expires_at", "/not_before"]) {
            let refused = site.post("/v1/keys").key(&world.reseller.key).json(asked).send().await.refused(422, "validation_failed");
            assert_eq!(refused.faults()[0].0, at);
        }
    }

    /// KEY-4, KEY-5
    async fn of_where_a_key_was_used_last_only_the_network_is_kept(site: With::no_workers()) {
        let world = site.world().await;
        let (id, _) = bound(site, &world).await;
        let key = id.parse().unwrap();
        let principals = Principals::new();
        let mut at = site.clock.now();
        for (address, network) in [(INSIDE, "203.0.113.0/24"), ("2001:db8:0:7::1", "2001:db8::/48")] {
            at = at.plus(Duration::from_secs(60));
            principals.used(key, at.minus(Duration::from_secs(1)), None);
            principals.used(key, at, Some(address.parse().unwrap()));
            principals.write_back(&site.db).await.unwrap();
            let shown = site.get(&format!("/v1/keys/{id}")).key(&world.reseller.key).send().await.is(200);
            assert_eq!(shown.text_at("last_used_ip"), network);
            assert_eq!(shown.text_at("last_used_at"), at.to_string());
        }
    }
}

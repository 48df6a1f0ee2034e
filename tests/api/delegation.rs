//! What an account lets those above it do in it, and what stays theirs.

use super::*;
use crate::common::api::Ordered;

/// Has the account say how far those above it may act in it.
async fn says(site: &Site, of: &Party, allow: &str) {
    let asked = json!({"delegation": {"allow": allow}});
    let said = site.patch(&format!("/v1/accounts/{}", of.id)).key(&of.key).json(asked).send().await.is(200);
    assert_eq!(said.body["delegation"], json!({"allow": allow}));
}

/// What comes of exchanging it for one that acts for an account.
async fn exchanged(site: &Site, key: &str, token: &str, account: &str) -> Answer {
    let id = format!("key_{}", key.split('_').nth(2).unwrap());
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", token),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("account", account),
    ];
    site.post("/oauth/token").basic(&id, key).form(&form).send().await
}

/// Reads and changes in the tenant's account, by each way there is to name it.
fn reads(site: &Site, world: &World, made: &Ordered) -> Vec<Call> {
    let tenant = &world.tenant.id;
    vec![
        site.get(&format!("/v1/resources/{}", made.domain)),
        site.get(&format!("/v1/services/{}/resources", made.mail)).acting_for(tenant),
        site.get("/v1/keys").acting_for(tenant),
        site.get("/v1/audit").acting_for(tenant),
        site.get("/v1/webhook_endpoints").acting_for(tenant),
    ]
}

fn changes(site: &Site, world: &World, made: &Ordered) -> Vec<Call> {
    let tenant = &world.tenant.id;
    let key = json!({"name": "k", "scopes": ["orders:read"], "hold_classes": []});
    let mut named = key.clone();
    named["account_id"] = json!(tenant);
    let mut order = add("hosted-mail", 1, json!([]));
    let acting = order.clone();
    order["account_id"] = json!(tenant);
    let resources = format!("/v1/services/{}/resources", made.mail);
    let mailbox = mailbox("anna@acme.example");
    vec![
        site.post("/v1/keys").json(named),
        site.post("/v1/keys").json(key).acting_for(tenant),
        site.post("/v1/orders").json(order),
        site.post("/v1/orders").json(acting).acting_for(tenant),
        site.post(&resources).json(mailbox),
        site.delete(&format!("/v1/resources/{}", made.domain)),
        site.patch(&format!("/v1/accounts/{tenant}")).json(json!({"name": "Mine"})),
        site.patch(&format!("/v1/accounts/{tenant}")).json(json!({"delegation": {"allow": "full"}})),
    ]
}

/// AUTHZ-6: whoever mistypes what is to be withheld is told so, rather than withholding nothing
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[should_panic(expected = "delegation.withheld: there is no operation keys_make")]
async fn what_no_operation_is_called_is_refused_at_the_start() {
    let withheld = &[("TENANTRY_DELEGATION__WITHHELD", "keys_make")];
    Site::open(crate::common::Fresh::sqlite().await, With { settings: withheld, ..With::no_workers() }).await;
}

on_both_servers! {
    /// AUTHZ-6
    async fn with_none_nobody_above_acts_below_by_whatever_name(site: With::workers()) {
        let world = site.world().await;
        let made = site.ordered(&world.tenant, "acme.example", 1).await;
        let before = site.token(&world.reseller.key).await;
        let before = exchanged(site, &world.reseller.key, &before, &world.tenant.id).await.is(200).text_at("access_token");
        site.get("/v1/keys").key(&before).send().await.is(200);
        says(site, &world.tenant, "none").await;
        for by in [&world.reseller.key, &world.operator.key] {
            for call in reads(site, &world, &made).into_iter().chain(changes(site, &world, &made)) {
                call.key(by).send().await.refused(403, "delegation_denied");
            }
            let own = site.token(by).await;
            let refused = exchanged(site, by, &own, &world.tenant.id).await.is(403);
            assert_eq!(refused.text_at("error"), "delegation_denied");
            // Nobody is told of what is there by being refused: what is not there is not there as before.
            let nothing = format!("/v1/resources/{}0", &made.domain[..made.domain.len() - 1]);
            let named = site.get(&nothing).key(by).send().await;
            assert!(named.status == 404 || nothing.ends_with(&made.domain), "{}", named.text);
            let keys = site.all(by, "/v1/keys", 2).await;
            assert!(keys.iter().all(|key| key["account_id"] != world.tenant.id.as_str()) && !keys.is_empty(), "{keys:?}");
        }
        site.get("/v1/keys").key(&before).send().await.refused(403, "delegation_denied");
        // The account itself does all of it.
        for call in reads(site, &world, &made) {
            call.key(&world.tenant.key).send().await.is(200);
        }
        let account = world.reseller.id.parse().unwrap();
        until("the refusals are in the audit", async || {
            let mut conn = site.db.read(tenantry::model::Subtree::everything()).await.unwrap();
            let lines = tenantry::store::audit::after(&mut conn, account, 0, 1000).await.unwrap();
            let refused = |action: &str| lines.iter().any(|line| {
                line.outcome == "refused" && line.action == action && line.detail["code"] == "delegation_denied"
            });
            refused("keys_create") && refused("resources_get") && refused("oauth_token")
        })
        .await;
    }

    /// AUTHZ-6
    async fn the_sellers_side_of_a_sale_stays_with_the_seller(site: With::workers()) {
        let world = site.world().await;
        let made = site.ordered(&world.tenant, "acme.example", 1).await;
        says(site, &world.tenant, "none").await;
        for by in [&world.reseller.key, &world.operator.key] {
            for path in [
                format!("/v1/accounts/{}", world.tenant.id),
                format!("/v1/accounts/{}/holds", world.tenant.id),
                format!("/v1/accounts/{}/quotas", world.tenant.id),
                format!("/v1/orders/{}", made.order),
                format!("/v1/subscriptions/{}", made.subscription),
                format!("/v1/subscriptions/{}/quotas", made.subscription),
                format!("/v1/services/{}", made.mail),
            ] {
                site.get(&path).key(by).send().await.is(200);
            }
            let orders = site.get("/v1/orders").key(by).send().await.is(200).ids();
            assert!(orders.contains(&made.order));
            for target in [format!("accounts/{}", world.tenant.id), format!("subscriptions/{}", made.subscription)] {
                for class in ["payment", "abuse"] {
                    let placed = site.post(&format!("/v1/{target}/suspend")).key(by).json(json!({"reason_code": class})).send().await;
                    assert!([200, 202].contains(&placed.status) && placed.body["changed"] == true, "{}", placed.text);
                }
                let lifted = site.post(&format!("/v1/{target}/resume")).key(by).send().await;
                assert!([200, 202].contains(&lifted.status) && lifted.body["changed"] == true, "{}", lifted.text);
            }
            let ceiling = format!("/v1/accounts/{}/quotas/mail.mailboxes", world.tenant.id);
            site.put(&ceiling).anyway().key(by).json(json!({"ceiling": 100})).send().await.is(200);
        }
        // An account that was made under a name of one's own is found by it again.
        let named = json!({"type": "tenant", "name": "Named", "external_id": "crm:1"});
        let first = site.post("/v1/accounts").key(&world.reseller.key).json(named.clone()).send().await.is(201).id();
        let key = site.key(&world.reseller.key, &first, "tenant_admin").await;
        says(site, &Party { id: first.clone(), key }, "none").await;
        assert_eq!(site.post("/v1/accounts").key(&world.reseller.key).json(named).send().await.is(200).id(), first);
    }

    /// AUTHZ-6
    async fn an_order_can_be_cancelled_by_its_seller_whatever_the_account_says(site: With::no_workers()) {
        let world = site.world().await;
        let order = site.post("/v1/orders").key(&world.tenant.key).json(add("hosted-mail", 1, json!([]))).send().await.is(202).id();
        says(site, &world.tenant, "none").await;
        site.post(&format!("/v1/orders/{order}/cancel")).key(&world.reseller.key).send().await.is(200);
    }

    /// AUTHZ-6
    async fn with_read_those_above_read_and_change_nothing(site: With::workers()) {
        let world = site.world().await;
        let made = site.ordered(&world.tenant, "acme.example", 1).await;
        says(site, &world.tenant, "read").await;
        for by in [&world.reseller.key, &world.operator.key] {
            for call in reads(site, &world, &made) {
                call.key(by).send().await.is(200);
            }
            for call in changes(site, &world, &made) {
                call.key(by).send().await.refused(403, "delegation_denied");
            }
            let acting = site.token(by).await;
            let acting = exchanged(site, by, &acting, &world.tenant.id).await.is(200).text_at("access_token");
            site.get("/v1/keys").key(&acting).send().await.is(200);
            let change = json!({"name": "Mine"});
            site.patch(&format!("/v1/accounts/{}", world.tenant.id)).key(&acting).json(change).send().await.refused(403, "delegation_denied");
            let keys = site.all(by, "/v1/keys", 2).await;
            assert!(keys.iter().any(|key| key["account_id"] == world.tenant.id.as_str()));
        }
        says(site, &world.tenant, "full").await;
        let key = json!({"name": "k", "scopes": ["orders:read"], "hold_classes": [], "account_id": world.tenant.id});
        site.post("/v1/keys").key(&world.reseller.key).json(key).send().await.is(201);
    }

    /// AUTHZ-6
    async fn what_an_account_says_holds_for_all_below_it_and_against_those_above_it_only(site: With::no_workers()) {
        let world = site.world().await;
        says(site, &world.reseller, "none").await;
        let rename = |account: &str, by: &str| {
            site.patch(&format!("/v1/accounts/{account}")).key(by).json(json!({"name": "Other"})).send()
        };
        for account in [&world.reseller.id, &world.tenant.id] {
            rename(account, &world.operator.key).await.refused(403, "delegation_denied");
        }
        rename(&world.tenant.id, &world.reseller.key).await.is(200);
        rename(&world.tenant.id, &world.tenant.key).await.is(200);
        let below = json!({"type": "tenant", "name": "Below", "parent_id": world.reseller.id});
        site.post("/v1/accounts").key(&world.operator.key).json(below).send().await.refused(403, "delegation_denied");
        // A sibling is no matter of theirs.
        let other = site.account(&world.operator.key, "reseller", "Other").await;
        rename(&other.id, &world.operator.key).await.is(200);
        rename(&other.id, &world.reseller.key).await.refused(404, "account_not_found");
    }

    /// AUTHZ-6
    async fn somebody_above_can_tighten_what_it_may_do_and_not_loosen_it(site: With::no_workers()) {
        let world = site.world().await;
        let path = format!("/v1/accounts/{}", world.tenant.id);
        let say = |by: &str, allow: &str| {
            site.patch(&path).key(by).json(json!({"delegation": {"allow": allow}})).send()
        };
        say(&world.reseller.key, "read").await.is(200);
        for (by, allow) in [(&world.reseller.key, "full"), (&world.reseller.key, "none"), (&world.operator.key, "full")] {
            say(by, allow).await.refused(403, "delegation_denied");
        }
        say(&world.tenant.key, "none").await.is(200);
        say(&world.tenant.key, "full").await.is(200);
        say(&world.tenant.key, "some").await.refused(422, "validation_failed");
        site.patch(&path).key(&world.tenant.key).json(json!({"delegation": null})).send().await.refused(422, "validation_failed");
    }

    /// AUTHZ-6
    async fn the_operator_takes_the_making_of_keys_from_all_sellers(site: With {
        settings: &[("TENANTRY_DELEGATION__WITHHELD", "keys_create,keys_rotate")],
        ..With::no_workers()
    }) {
        let by = site.operator_key.clone();
        let reseller = site.account(&by, "reseller", "Reseller").await;
        let tenant = json!({"type": "tenant", "name": "Tenant"});
        let tenant = site.post("/v1/accounts").key(&reseller.key).json(tenant).send().await.is(201).id();
        let asked = json!({"account_id": tenant, "name": "k", "scopes": ["keys:write", "keys:read", "orders:read"], "hold_classes": []});
        let make = |by: &str| site.post("/v1/keys").key(by).json(asked.clone());
        make(&reseller.key).send().await.refused(403, "delegation_denied");
        let mut acting = asked.clone();
        acting.as_object_mut().unwrap().remove("account_id");
        site.post("/v1/keys").key(&reseller.key).json(acting.clone()).acting_for(&tenant).send().await.refused(403, "delegation_denied");
        let made = make(&by).send().await.is(201);
        let rotate = format!("/v1/keys/{}/rotate", made.id());
        site.post(&rotate).key(&reseller.key).send().await.refused(403, "delegation_denied");
        make(&made.text_at("secret")).send().await.is(201);
        site.post("/v1/keys").key(&reseller.key).json(acting).send().await.is(201);
        // What leaked is ended by whoever comes first.
        site.delete(&format!("/v1/keys/{}", made.id())).key(&reseller.key).send().await.is(200);
    }
}

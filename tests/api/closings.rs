//! Closing accounts and opening them again: what stands in the way, what a closed one still is, and what comes back.

use super::subscriptions::call;
use super::*;

async fn close(site: &Site, by: &str, account: &str) -> Answer {
    site.delete(&format!("/v1/accounts/{account}")).key(by).send().await
}

async fn reopen(site: &Site, by: &str, account: &str) -> Answer {
    site.post(&format!("/v1/accounts/{account}/reopen")).key(by).send().await
}

async fn ended(site: &Site, by: &str, subscription: &str) {
    call(site, by, subscription, "cancel").wait(20).json(json!({"when": "now"})).send().await.is(200);
}

/// Whom the key lets in.
async fn me(site: &Site, key: &str) -> u16 {
    site.get("/v1/me").key(key).send().await.status
}

on_both_servers! {
    async fn an_account_is_closed_once_nothing_runs_in_it_and_all_below_it_is_closed(site: With::workers()) {
        let world = site.world().await;
        let (by, reseller, tenant) = (&site.operator_key, &world.reseller, &world.tenant);
        let ordered = site.ordered(tenant, "acme.example", 1).await;
        let refused = close(site, by, &tenant.id).await.refused(409, "account_not_empty");
        assert_eq!((&refused.body["open_accounts"], &refused.body["subscriptions"]), (&json!(0), &json!(1)));
        let refused = close(site, by, &reseller.id).await.refused(409, "account_not_empty");
        assert_eq!((&refused.body["open_accounts"], &refused.body["subscriptions"]), (&json!(1), &json!(0)));
        assert_eq!(site.get(&format!("/v1/accounts/{}", tenant.id)).key(by).send().await.is(200).body["status"], "active");

        ended(site, &tenant.key, &ordered.subscription).await;
        for own in [(&tenant.key, &tenant.id), (&reseller.key, &reseller.id), (by, &world.operator.id)] {
            let refused = close(site, own.0, own.1).await.refused(409, "state_conflict");
            assert_eq!(refused.text_at("current_state"), "the caller's own account");
        }
        let closed = close(site, &reseller.key, &tenant.id).await.is(200);
        assert_eq!((closed.id(), &closed.body["status"]), (tenant.id.clone(), &json!("closed")));
        let again = close(site, &reseller.key, &tenant.id).await.is(200);
        assert_eq!(again.header("etag"), closed.header("etag"), "closing it again does no harm");
        close(site, by, &reseller.id).await.is(200);
        // It stays to be looked at, with what was in it.
        let list = site.get("/v1/accounts").key(by).send().await.is(200);
        assert!(list.ids().contains(&tenant.id));
        site.get(&format!("/v1/subscriptions/{}", ordered.subscription)).key(by).send().await.is(200);
        let events = told(site, by, "account.closed").await;
        assert_eq!(events.iter().map(|event| &event["account_id"]).collect::<Vec<_>>(), [&json!(tenant.id), &json!(reseller.id)]);
        assert_eq!(events[0]["data"]["previous"]["status"], "active");
    }

    /// AUTHZ-7
    async fn a_closed_account_lets_nobody_in_and_nothing_begins_in_it_until_it_is_reopened(site: With::workers()) {
        let world = site.world().await;
        let (by, reseller, tenant) = (&site.operator_key, &world.reseller, &world.tenant);
        let ordered = site.ordered(tenant, "acme.example", 1).await;
        let token = site.token(&tenant.key).await;
        let acting = moves::exchanged(site, &reseller.key, &tenant.id).await;
        let shop = json!({"account_id": tenant.id, "name": "shop", "origins": ["https://shop.example"]});
        let shop = site.post("/v1/storefront_keys").key(&reseller.key).json(shop).send().await.is(201);
        let revoked = site.key(&tenant.key, &tenant.id, "billing_system").await;
        let id = format!("key_{}", revoked.split('_').nth(2).unwrap());
        site.delete(&format!("/v1/keys/{id}")).key(&tenant.key).send().await.is(200);
        ended(site, &tenant.key, &ordered.subscription).await;
        close(site, by, &tenant.id).await.is(200);

        for credential in [&tenant.key, &token, &acting, &revoked] {
            site.get("/v1/me").key(credential).send().await.refused(401, "invalid_token");
        }
        let shop = || site.get("/v1/catalog").key(shop.body["key"].as_str().unwrap()).header("Origin", "https://shop.example").send();
        shop().await.refused(401, "invalid_token");
        let order = json!({"account_id": tenant.id, "items": [{"action": "add", "plan": "hosted-mail"}]});
        for (path, body) in [
            ("/v1/orders".to_owned(), order.clone()),
            ("/v1/quotes".to_owned(), order),
            (format!("/v1/subscriptions/{}/renew", ordered.subscription), json!({})),
            ("/v1/keys".to_owned(), json!({"account_id": tenant.id, "name": "k", "scopes": ["orders:read"], "hold_classes": []})),
            (format!("/v1/accounts/{}/move", tenant.id), json!({"parent_id": world.operator.id})),
        ] {
            let refused = site.post(&path).key(by).json(body).send().await.refused(409, "state_conflict");
            assert_eq!(refused.text_at("current_state"), "closed", "{path}");
        }
        site.patch(&format!("/v1/accounts/{}", tenant.id)).key(by).json(json!({"name": "Else"})).send().await.refused(409, "state_conflict");
        // What it was given is taken back.
        let quota = format!("/v1/accounts/{}/quotas/mail.mailboxes", tenant.id);
        site.put(&quota).anyway().key(by).json(json!({"mode": "shared", "ceiling": 1})).send().await.is(200);

        let opened = reopen(site, &reseller.key, &tenant.id).await.is(200);
        assert_eq!(opened.body["status"], "active");
        let again = reopen(site, &reseller.key, &tenant.id).await.is(200);
        assert_eq!(again.header("etag"), opened.header("etag"), "reopening it again does no harm");
        for credential in [&tenant.key, &token, &acting] {
            assert_eq!(me(site, credential).await, 200);
        }
        assert_eq!(me(site, &revoked).await, 401, "what was revoked stays so");
        shop().await.is(200);
        call(site, by, &ordered.subscription, "renew").wait(20).send().await.is(200);
        holds::settles(site, &ordered.mail, "full").await;
        assert_eq!(told(site, by, "account.reopened").await.len(), 1);
    }

    async fn nothing_is_opened_below_a_closed_account_before_that_is(site: With::no_workers()) {
        let world = site.world().await;
        let (by, reseller, tenant) = (&site.operator_key, &world.reseller, &world.tenant);
        for account in [tenant, reseller] {
            close(site, by, &account.id).await.is(200);
        }
        let refused = reopen(site, by, &tenant.id).await.refused(409, "state_conflict");
        assert_eq!(refused.text_at("current_state"), "below a closed account");
        let below = json!({"type": "tenant", "parent_id": reseller.id, "name": "New"});
        site.post("/v1/accounts").key(by).json(below).send().await.refused(409, "state_conflict");
        reopen(site, by, &reseller.id).await.is(200);
        assert_eq!((me(site, &reseller.key).await, me(site, &tenant.key).await), (200, 401));
        // Also by a key that sees no more than the account itself.
        let narrow = json!({"name": "narrow", "scopes": ["accounts:read", "accounts:write"], "hold_classes": [], "roots": [tenant.id]});
        let narrow = site.post("/v1/keys").key(&reseller.key).json(narrow).send().await.is(201).text_at("secret");
        reopen(site, &narrow, &tenant.id).await.is(200);
        assert_eq!(me(site, &tenant.key).await, 200);
    }

    async fn a_test_account_is_closed_and_reopened_with_the_account_whose_it_is(site: With::no_workers()) {
        let world = site.world().await;
        let (by, reseller) = (&site.operator_key, &world.reseller);
        let asked = json!({"type": "reseller", "name": "Sandbox", "environment": "test"});
        let sandbox = site.post("/v1/accounts").key(&reseller.key).json(asked).send().await.is(201).id();
        let key = site.key(&reseller.key, &sandbox, "reseller_admin").await;
        // Not by those who stand above it on its own side.
        let above = json!({"type": "operator", "name": "Sandbox", "environment": "test"});
        let above = site.post("/v1/accounts").key(by).json(above).send().await.is(201).id();
        let above = site.key(by, &above, "operator_admin").await;
        for refused in [close(site, &above, &sandbox).await, close(site, &key, &sandbox).await] {
            refused.refused(409, "state_conflict");
        }
        let below = site.account(&key, "tenant", "Tried").await;
        for account in [&world.tenant, reseller] {
            close(site, by, &account.id).await.is(200);
        }
        assert_eq!((me(site, &key).await, me(site, &below.key).await), (401, 401));
        reopen(site, by, &reseller.id).await.is(200);
        assert_eq!((me(site, &key).await, me(site, &below.key).await), (200, 401));
        reopen(site, &key, &below.id).await.is(200);
        assert_eq!(me(site, &below.key).await, 200);
        assert_eq!(told(site, &key, "account.closed").await.len(), 2, "its own side tells of it");
    }

    /// Whoever comes first: no account is closed with a subscription in it or an open account below it.
    async fn what_is_begun_while_an_account_is_closed_is_in_the_way_or_too_late(site: With::no_workers()) {
        let world = site.world().await;
        let (by, reseller) = (&site.operator_key, &world.reseller);
        for round in 0..12 {
            let (customer, path, asked) = match round % 2 {
                0 => {
                    let customer = site.account(by, "reseller", "Customer").await.id;
                    let below = json!({"type": "tenant", "parent_id": customer, "name": "Below"});
                    (customer, "/v1/accounts", below)
                }
                _ => {
                    let customer = site.account(&reseller.key, "tenant", "Customer").await.id;
                    let order = json!({"account_id": customer, "items": [{"action": "add", "plan": "hosted-mail"}]});
                    (customer, "/v1/orders", order)
                }
            };
            let begin = async {
                tokio::time::sleep(Duration::from_millis(round)).await;
                site.post(path).key(by).json(asked).send().await
            };
            let (begun, closed) = tokio::join!(begin, close(site, by, &customer));
            match (begun.status, closed.status) {
                (201 | 202, 409) => assert_eq!(closed.code(), "account_not_empty"),
                (409, 200) => assert_eq!(begun.text_at("current_state"), "closed"),
                _ => panic!("{} and {}", begun.text, closed.text),
            }
        }
    }
}

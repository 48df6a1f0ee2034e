//! What the audit says of those who were refused.

use std::time::Duration;

use secrecy::ExposeSecret;
use tenantry::access::secret::SecretKey;
use tenantry::model::accounts::accounts::Environment;
use tenantry::store::audit::Line;

use super::lines::lines;
use super::*;

/// Two resellers of the operator's.
async fn two(site: &Site) -> (Party, Party) {
    let one = site.account(&site.operator_key, "reseller", "One").await;
    (one, site.account(&site.operator_key, "reseller", "Two").await)
}

/// The account's lines of refusals, once there are so many.
async fn refusals(site: &Site, account: &str, count: usize) -> Vec<Line> {
    let refused = async || {
        let mut lines = lines(site, account).await;
        lines.retain(|line| line.outcome == "refused");
        lines
    };
    until("the refusals are written", async || refused().await.len() >= count).await;
    refused().await
}

async fn is_whole(site: &Site) {
    let verdict = tenantry::domain::accounts::audit::verify(&site.db).await.unwrap();
    assert!(verdict.broken.is_empty() && verdict.lines > 0, "{verdict:?}");
}

on_both_servers! {
    /// AUD-1, AUD-2
    async fn who_is_refused_is_in_the_audit_of_the_account_whose_credential_it_was(site: With::no_workers()) {
        let (one, two) = two(site).await;
        let theirs = lines(site, &two.id).await.len();
        let key = json!({"name": "narrow", "scopes": ["orders:read"], "hold_classes": []});
        let narrow = site.post("/v1/keys").key(&one.key).json(key.clone()).send().await.is(201);
        let wrong = SecretKey::generate(Environment::Live, narrow.id().parse().unwrap());
        let gone = site.post("/v1/keys").key(&one.key).json(key).send().await.is(201);
        site.delete(&format!("/v1/keys/{}", gone.id())).key(&one.key).send().await.is(200);
        let path = format!("/v1/accounts/{}", two.id);
        let refused = [
            (site.get("/v1/orders").key(wrong.text.expose_secret()), 401, "invalid_token", "orders_list", narrow.id(), None),
            (site.get("/v1/plans").key(&gone.text_at("secret")), 401, "invalid_token", "plans_list", gone.id(), None),
            (site.get("/v1/keys").key(&narrow.text_at("secret")), 403, "insufficient_scope", "keys_list", narrow.id(), None),
            (site.get(&path).key(&one.key), 404, "account_not_found", "accounts_get", String::new(), Some(two.id.clone())),
            (site.get("/v1/me").key(&one.key).acting_for(&two.id), 404, "account_not_found", "me_get", String::new(), Some(two.id.clone())),
            (site.get("/v1/orders/%0d%0anew%20line").key(&one.key), 404, "not_found", "orders_get", String::new(), None),
        ];
        let mut due = Vec::new();
        for (call, status, code, action, key, resource) in refused {
            let answer = call.send().await.refused(status, code);
            due.push((answer.text_at("request_id"), status, code, action, key, resource));
        }
        let told = refusals(site, &one.id, due.len()).await;
        assert_eq!(told.len(), due.len(), "{told:?}");
        for (line, (request, status, code, action, key, resource)) in told.iter().zip(due) {
            assert_eq!((&line.request_id, line.action.as_str(), &line.resource), (&request, action, &resource));
            assert_eq!((&line.detail["status"], &line.detail["code"]), (&json!(status), &json!(code)));
            assert_eq!(line.principal_id.to_string(), one.id);
            assert!(line.address.as_deref().is_some_and(|address| address.starts_with("a1.")), "{line:?}");
            assert!(key.is_empty() || line.key_id.to_string() == key, "{line:?}");
        }
        assert_eq!(lines(site, &two.id).await.len(), theirs, "whose things were reached for is told nothing");
        is_whole(site).await;
    }

    /// AUD-1: at the token endpoint as well
    async fn a_client_that_is_refused_a_token_is_in_the_audit(site: With::no_workers()) {
        let (one, _) = two(site).await;
        let key = json!({"name": "client", "scopes": ["orders:read"], "hold_classes": []});
        let id = site.post("/v1/keys").key(&one.key).json(key).send().await.is(201).id();
        let wrong = SecretKey::generate(Environment::Live, id.parse().unwrap());
        let form = [("grant_type", "client_credentials")];
        site.post("/oauth/token").basic(&id, wrong.text.expose_secret()).form(&form).send().await.is(401);
        site.post("/oauth/token").basic(&id, "no key at all").form(&form).send().await.is(401);
        let told = refusals(site, &one.id, 1).await;
        assert_eq!((told.len(), told[0].action.as_str(), &told[0].detail["code"]), (1, "oauth_token", &json!("invalid_client")));
        assert_eq!((told[0].key_id.to_string(), told[0].principal_id.to_string()), (id, one.id.clone()));
    }

    /// AUD-1, AUD-2: a flood of one kind is two lines, and the requests do not wait for them
    async fn a_flood_of_the_same_refusals_is_counted_into_one_line(site: With::clock()) {
        let (one, two) = two(site).await;
        let path = format!("/v1/accounts/{}", two.id);
        for _ in 0..15 {
            let flood = (0..20).map(|_| site.get(&path).key(&one.key).send());
            for answer in futures_util::future::join_all(flood).await {
                answer.refused(404, "account_not_found");
            }
        }
        assert_eq!(refusals(site, &one.id, 1).await.len(), 1, "the first is there at once, and no other");
        site.clock.advance(Duration::from_secs(61));
        let told = refusals(site, &one.id, 2).await;
        assert_eq!((told.len(), &told[1].detail["count"]), (2, &json!(299)), "{told:?}");
        assert_eq!(told[1].detail["resources"], json!([two.id]));
        is_whole(site).await;
    }

    /// AUD-2: a change without its line does not happen; a refusal is answered all the same, and its line is written later
    async fn without_an_audit_nothing_changes_and_refusals_wait_for_it(site: With::no_workers()) {
        let (one, two) = two(site).await;
        let before = site.all(&one.key, "/v1/accounts", 200).await;
        site.fresh.tamper("ALTER TABLE audit RENAME TO audit_away").await;
        let make = || site.post("/v1/accounts").key(&one.key).idem("once").json(json!({"type": "tenant", "name": "N"})).send();
        make().await.refused(503, "dependency_unavailable");
        for _ in 0..5 {
            site.get(&format!("/v1/accounts/{}", two.id)).key(&one.key).send().await.refused(404, "account_not_found");
        }
        assert_eq!(site.all(&one.key, "/v1/accounts", 200).await, before);
        site.fresh.tamper("ALTER TABLE audit_away RENAME TO audit").await;
        refusals(site, &one.id, 1).await;
        make().await.is(201);
        assert_eq!(site.all(&one.key, "/v1/accounts", 200).await.len(), before.len() + 1);
        is_whole(site).await;
    }

    /// AUD-5
    async fn an_account_reads_who_was_refused_with_its_keys_and_others_do_not(site: With::no_workers()) {
        let (one, two) = two(site).await;
        site.get(&format!("/v1/accounts/{}", two.id)).key(&one.key).send().await.refused(404, "account_not_found");
        let admin = site.key(&site.operator_key, &one.id, "operator_admin").await;
        refusals(site, &one.id, 1).await;
        let refused = async |key: &str, of: &str| {
            let told = site.get("/v1/audit?limit=200").key(key).acting_for(of).send().await;
            told.body["data"].as_array().map(|lines| lines.iter().filter(|line| line["outcome"] == "refused").count())
        };
        assert_eq!(refused(&admin, &one.id).await, Some(1));
        assert_eq!(refused(&site.operator_key, &one.id).await, Some(1));
        assert_eq!(refused(&two.key, &two.id).await, Some(0));
        assert_eq!(refused(&two.key, &one.id).await, None);
    }

    /// AUD-1, AUD-5: the export has all lines in order, each on one line, and is a line itself
    async fn an_export_has_every_line_and_is_one_itself(site: With::no_workers()) {
        let one = site.account(&site.operator_key, "reseller", "One").await;
        // More than are read at a time.
        let named = |number: usize| json!({"type": "tenant", "name": format!("Line {number} \"{{}}\"")});
        // Fewer at once than there are connections.
        for part in 0..102 {
            let made = (0..5).map(|number| {
                site.post("/v1/accounts").key(&one.key).json(named(5 * part + number)).send()
            });
            futures_util::future::join_all(made).await.into_iter().for_each(|made| drop(made.is(201)));
        }
        let listed = site.all(&one.key, "/v1/audit", 200).await;
        let export = site.get("/v1/audit/export").key(&one.key).send().await.is(200);
        assert_eq!(export.header("content-type"), Some("application/x-ndjson"));
        let told: Vec<Value> = export.text.split_terminator('\n').map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(told[..listed.len()], listed[..]);
        let last = &told[listed.len()..];
        assert_eq!((last.len(), &last[0]["action"], &last[0]["acted_as"]), (1, &json!("audit_export"), &json!("account")));
        assert_eq!(last[0]["request_id"].as_str(), export.header("x-request-id"));
        // Whoever exports from above is told below as the operator, and no more.
        site.get("/v1/audit/export").key(&site.operator_key).acting_for(&one.id).send().await.is(200);
        let line = site.all(&one.key, "/v1/audit", 200).await.pop().unwrap();
        assert_eq!((&line["acted_as"], &line["principal_id"]), (&json!("operator"), &Value::Null));
        is_whole(site).await;
    }
}

//! A batch for all of a kind: seen first, then left exactly as it was seen.

use std::time::Duration;

use super::batches::{ended, items};
use super::*;

fn preview(site: &Site, by: &str, asked: Value) -> Call {
    site.post("/v1/batches/preview").key(by).json(asked)
}

fn suspend_all(more: Value) -> Value {
    let mut asked = json!({"request": {"method": "POST", "path": "/v1/services/{id}/suspend", "body": {"reason_code": "payment"}}});
    asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    asked
}

fn leave(site: &Site, by: &str, token: &str) -> Call {
    site.post("/v1/batches/previewed").key(by).json(json!({"preview_token": token}))
}

async fn access(site: &Site, by: &str, service: &str) -> String {
    site.get(&format!("/v1/services/{service}")).key(by).send().await.is(200).text_at("access")
}

on_both_servers! {
    async fn all_services_of_a_reseller_on_a_plan_are_seen_and_then_suspended(site: With::workers()) {
        let world = site.world().await;
        site.plan(&world.virtual_server, "other-mail", mail_quotas(1)).await;
        let second = site.account(&world.reseller.key, "tenant", "Second").await;
        let (one, two) = (site.ordered(&world.tenant, "one.example", 1).await, site.ordered(&second, "two.example", 1).await);
        let other = add("other-mail", 1, json!([{"type": "domain", "spec": {"name": "other.example"}}]));
        let other = site.post("/v1/orders").key(&second.key).wait(20).json(other).send().await.is(201);
        let apart = site.account(&site.operator_key, "reseller", "Apart").await;
        let apart = site.account(&apart.key, "tenant", "Apart").await;
        let apart = site.ordered(&apart, "apart.example", 1).await;

        let by = &site.operator_key;
        let mail = suspend_all(json!({"account_id": world.reseller.id, "plan": "hosted-mail", "service_type": "mail"}));
        let seen = preview(site, by, mail).send().await.is(200);
        assert_eq!(seen.body["count"], 2);
        let mut sample: Vec<_> = seen.body["sample"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
        sample.sort_unstable();
        let mut expected = [one.mail.as_str(), two.mail.as_str()];
        expected.sort_unstable();
        assert_eq!(sample, expected);
        for (narrowed, count) in [
            (json!({}), 8),
            (json!({"plan": world.plan, "service_type": "dns"}), 3),
            (json!({"account_id": world.tenant.id}), 2),
            (json!({"account_id": world.reseller.id}), 6),
            (json!({"plan": "no-such-plan"}), 0),
        ] {
            let seen = preview(site, by, suspend_all(narrowed.clone())).send().await.is(200);
            assert_eq!(seen.body["count"], count, "{narrowed}");
        }
        let left = leave(site, by, &seen.text_at("preview_token")).send().await.is(202);
        let batch = ended(site, by, &left.id()).await;
        assert_eq!(batch["items"], json!({"total": 2, "pending": 0, "succeeded": 2, "failed": 0, "cancelled": 0}));
        for item in items(site, by, &left.id()).await {
            let operation = item["answer"]["operation_id"].as_str().unwrap();
            site.get(&format!("/v1/operations/{operation}?wait=20")).key(by).send().await.is(200);
        }
        for (service, expected) in [
            (&one.mail, "suspended"),
            (&two.mail, "suspended"),
            (&one.dns, "full"),
            (&apart.mail, "full"),
            (&other.text_of("/items/0/service_ids/0"), "full"),
        ] {
            assert_eq!(access(site, by, service).await, expected);
        }
    }

    async fn subscriptions_are_selected_as_well_and_those_that_have_ended_are_not(site: With::workers()) {
        let world = site.world().await;
        let by = &world.reseller.key;
        let (stays, goes) = (site.ordered(&world.tenant, "one.example", 1).await, site.ordered(&world.tenant, "two.example", 1).await);
        let cancel = format!("/v1/subscriptions/{}/cancel", goes.subscription);
        site.post(&cancel).key(by).wait(20).json(json!({"when": "now"})).send().await;
        let asked = json!({"request": {"method": "POST", "path": "/v1/subscriptions/{id}/cancel", "body": {"when": "period_end"}}});
        let seen = preview(site, by, asked.clone()).send().await.is(200);
        assert_eq!((&seen.body["count"], &seen.body["sample"]), (&json!(1), &json!([stays.subscription])));
        let dry = json!({"preview_token": seen.text_at("preview_token"), "dry_run": true});
        let dry = site.post("/v1/batches/previewed").key(by).json(dry).send().await.is(202);
        assert_eq!(ended(site, by, &dry.id()).await["items"]["succeeded"], 1);
        let read = site.get(&format!("/v1/subscriptions/{}", stays.subscription)).key(by).send().await.is(200);
        assert_eq!(read.body["cancel_at"], Value::Null, "it was tried");
        let of_services = json!({"service_type": "mail", "request": asked["request"]});
        for (length, fits) in [(2020, true), (2100, false)] {
            let mut long = asked.clone();
            long["request"]["body"] = json!({"when": "z".repeat(length)});
            let seen = preview(site, by, long).send().await;
            match fits {
                true => { leave(site, by, &seen.is(200).text_at("preview_token")).send().await.is(202); }
                false => { seen.refused(422, "validation_failed"); }
            }
        }
        let refused = preview(site, by, of_services).send().await.refused(422, "validation_failed");
        assert_eq!(refused.faults(), [("/service_type".to_owned(), "only_of_services".to_owned())]);
    }

    async fn a_preview_is_good_for_what_was_seen_by_whom_for_a_quarter_of_an_hour(site: With::clock()) {
        let world = site.world().await;
        let by = &world.reseller.key;
        site.ordered(&world.tenant, "one.example", 1).await;
        let token = async || preview(site, by, suspend_all(json!({}))).send().await.is(200).text_at("preview_token");
        let seen = token().await;
        let outdated = async |by: &str, token: &str| {
            leave(site, by, token).send().await.refused(409, "preview_outdated");
        };
        let another = site.key(by, &world.reseller.id, "reseller_admin").await;
        outdated(&another, &seen).await;
        outdated(&site.operator_key, &seen).await;
        outdated(&world.tenant.key, &seen).await;
        outdated(by, "AAAA").await;
        outdated(by, "not base64").await;
        let mut altered = seen.clone().into_bytes();
        altered[70] = if altered[70] == b'A' { b'B' } else { b'A' };
        outdated(by, &String::from_utf8(altered).unwrap()).await;
        leave(site, by, &seen).acting_for(&world.tenant.id).send().await.refused(409, "preview_outdated");
        site.clock.advance(Duration::from_secs(14 * 60));
        leave(site, by, &seen).send().await.is(202);
        site.clock.advance(Duration::from_secs(60));
        outdated(by, &seen).await;
        let seen = token().await;
        site.ordered(&world.tenant, "two.example", 1).await;
        outdated(by, &seen).await;
        let lists = site.get("/v1/batches").key(by).send().await.is(200);
        assert_eq!(lists.ids().len(), 1, "nothing was left of what was refused");
    }

    async fn a_selection_goes_as_far_as_its_caller_sees_and_needs_the_scope_to_see(site: With::workers()) {
        let world = site.world().await;
        site.ordered(&world.tenant, "one.example", 1).await;
        let other = site.account(&site.operator_key, "reseller", "Other").await;
        let seen = preview(site, &other.key, suspend_all(json!({}))).send().await.is(200);
        assert_eq!(seen.body["count"], 0);
        let elsewhere = suspend_all(json!({"account_id": world.tenant.id}));
        preview(site, &other.key, elsewhere.clone()).send().await.refused(404, "account_not_found");
        let blind = json!({"account_id": world.reseller.id, "name": "blind", "scopes": ["batches:read", "batches:write"]});
        let blind = site.post("/v1/keys").key(&world.reseller.key).json(blind).send().await.is(201).text_at("secret");
        preview(site, &blind, elsewhere.clone()).send().await.refused(403, "insufficient_scope");
        // What an account below lets nobody see of it is the seller's to suspend.
        let wall = json!({"delegation": {"allow": "none"}});
        site.patch(&format!("/v1/accounts/{}", world.tenant.id)).key(&world.tenant.key).json(wall).send().await.is(200);
        let seen = preview(site, &world.reseller.key, elsewhere).send().await.is(200);
        assert_eq!(seen.body["count"], 2);
        let left = leave(site, &world.reseller.key, &seen.text_at("preview_token")).send().await.is(202);
        assert_eq!(ended(site, &world.reseller.key, &left.id()).await["items"]["succeeded"], 2);
        for path in ["/v1/services/{id}", "/v1/accounts/{id}/suspend", "/v1/services/svc_01jq3v8z0kf5n9d2t7x4m6c1ab/suspend"] {
            let asked = json!({"request": {"method": "POST", "path": path}});
            preview(site, &world.reseller.key, asked).send().await.refused(422, "validation_failed");
        }
    }
}

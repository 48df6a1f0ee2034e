//! Moving an account: what goes with it, and what those whom it leaves keep.

use tenantry::model::{Path, Subtree};
use tenantry::program::Roles;
use tenantry::telemetry;

use super::*;
use crate::common::api::Ordered;

const KEY: &str = "mail.mailboxes";

async fn moved(site: &Site, by: &str, account: &str, to: &str) -> Answer {
    let asked = json!({"parent_id": to});
    site.post(&format!("/v1/accounts/{account}/move")).key(by).json(asked).send().await
}

async fn ceiling(site: &Site, account: &str, ceiling: Value) -> Answer {
    let path = format!("/v1/accounts/{account}/quotas/{KEY}");
    site.put(&path).anyway().key(&site.operator_key).json(ceiling).send().await.is(200)
}

/// Used and reserved.
async fn taken(site: &Site, holder: &str) -> (i64, i64) {
    let row = site.quota(&site.operator_key, holder, KEY).await.expect("there is a ceiling");
    (row["used"].as_i64().unwrap(), row["reserved"].as_i64().unwrap())
}

/// A token of the key's, exchanged for one that acts for the account.
pub async fn exchanged(site: &Site, key: &str, account: &str) -> String {
    let id = format!("key_{}", key.split('_').nth(2).unwrap());
    let grant = [("grant_type", "client_credentials")];
    let token =
        site.post("/oauth/token").basic(&id, key).form(&grant).send().await.is(200).text_at("access_token");
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", token.as_str()),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("account", account),
    ];
    site.post("/oauth/token").basic(&id, key).form(&form).send().await.is(200).text_at("access_token")
}

/// Reads of the tenant's by those above it, by each way there is to name it.
fn reads(site: &Site, tenant: &str, made: &Ordered) -> Vec<Call> {
    vec![
        site.get(&format!("/v1/accounts/{tenant}")),
        site.get(&format!("/v1/orders/{}", made.order)),
        site.get(&format!("/v1/subscriptions/{}", made.subscription)),
        site.get(&format!("/v1/services/{}", made.mail)),
        site.get(&format!("/v1/resources/{}", made.domain)),
        site.get("/v1/keys").acting_for(tenant),
        site.get("/v1/audit").acting_for(tenant),
        site.get("/v1/events").acting_for(tenant),
    ]
}

async fn answers(reads: Vec<Call>, key: &str) -> Vec<u16> {
    let mut answers = Vec::new();
    for read in reads {
        answers.push(read.key(key).send().await.status);
    }
    answers
}

/// The access that the service is to have, and the one that has been brought about.
async fn access(site: &Site, service: &str) -> [String; 2] {
    let told = site.get(&format!("/v1/services/{service}")).key(&site.operator_key).send().await.is(200);
    [told.text_at("access"), told.text_at("applied_access")]
}

on_both_servers! {
    /// AUTHZ-8
    async fn those_who_stood_above_reach_nothing_any_more_and_those_who_stand_there_now_reach_all(site: With::workers()) {
        let world = site.world().await;
        let (tenant, old) = (&world.tenant.id, &world.reseller);
        let new = site.account(&site.operator_key, "reseller", "New").await;
        let made = site.ordered(&world.tenant, "acme.example", 1).await;
        let named = site.account(&old.key, "tenant", "Stays").await;
        let token = exchanged(site, &old.key, tenant).await;
        let narrow = json!({"name": "narrow", "bundle": "reseller_admin", "roots": [tenant, named.id]});
        let narrow = site.post("/v1/keys").key(&old.key).json(narrow).send().await.is(201).text_at("secret");
        let follows = json!({"name": "follows", "scopes": ["accounts:read", "orders:read"], "roots": [tenant]});
        let follows = site.post("/v1/keys").key(&site.operator_key).json(follows).send().await.is(201).text_at("secret");
        let all = answers(reads(site, tenant, &made), &old.key).await;
        assert_eq!((all, answers(reads(site, tenant, &made), &new.key).await), (vec![200; 8], vec![404; 8]));
        site.get("/v1/orders").key(&token).send().await.is(200);

        let done = moved(site, &site.operator_key, tenant, &new.id).await.is(200);
        assert_eq!((done.id(), done.text_at("parent_id")), (tenant.clone(), new.id.clone()));
        assert_eq!(done.body["operation_id"], Value::Null);

        for key in [&old.key, &narrow] {
            assert_eq!(answers(reads(site, tenant, &made), key).await, vec![404; 8]);
            for noun in ["accounts", "orders", "subscriptions", "services", "resources", "operations", "keys", "events"] {
                let list = site.get(&format!("/v1/{noun}?limit=200")).key(key).send().await.is(200);
                for id in [&made.order, &made.subscription, &made.mail, &made.domain] {
                    assert!(!list.text.contains(id.as_str()), "{noun}: {}", list.text);
                }
            }
        }
        site.get("/v1/orders").key(&token).send().await.refused(401, "invalid_token");
        site.get(&format!("/v1/accounts/{}", named.id)).key(&narrow).send().await.is(200);
        assert_eq!(answers(reads(site, tenant, &made), &new.key).await, vec![200; 8]);
        let followed = site.get("/v1/orders").key(&follows).send().await.is(200);
        assert_eq!(followed.ids(), vec![made.order.clone()]);
        // Its own go on as they are, with all that was.
        for noun in ["orders", "subscriptions", "services", "resources"] {
            let list = site.get(&format!("/v1/{noun}")).key(&world.tenant.key).send().await.is(200);
            assert!(!list.ids().is_empty(), "{noun}");
        }
        let completed = told(site, &world.tenant.key, "order.completed").await;
        assert_eq!(completed[0]["data"]["object"]["id"], made.order.as_str());
        let out = told(site, &old.key, "account.moved_out").await;
        assert_eq!((&out[0]["account_id"], &out[0]["data"]["object"]["id"]), (&json!(old.id), &json!(tenant)));
        let here = told(site, &new.key, "account.moved").await;
        assert_eq!((&here[0]["account_id"], &here[0]["data"]["object"]["id"]), (&json!(tenant), &json!(tenant)));
    }

    /// S3: one account holds a thing for one reason once.
    async fn two_equal_holds_that_come_into_one_hand_are_one(site: With::workers()) {
        let world = site.world().await;
        let (root, tenant) = (&site.operator_key, &world.tenant.id);
        let made = site.ordered(&world.tenant, "acme.example", 1).await;
        let place = format!("/v1/accounts/{tenant}");
        for by in [root, &world.reseller.key] {
            site.post(&format!("{place}/suspend")).key(by).wait(20).json(json!({"reason_code": "payment"})).send().await;
        }
        moved(site, root, tenant, &world.operator.id).await.is(200);
        let holds = site.all(root, &format!("{place}/holds"), 50).await;
        let active: Vec<_> = holds.iter().filter(|hold| hold["status"] == "active").collect();
        assert_eq!((holds.len(), active.len()), (2, 1), "{holds:?}");
        site.post(&format!("{place}/resume")).key(root).wait(20).json(json!({})).send().await.is(200);
        assert_eq!(access(site, &made.mail).await, ["full", "full"]);
    }

    /// AUTHZ-8, AUD-2: what was done before is read where the account stands now, and not who did it from above then
    async fn the_audit_goes_with_the_account_and_its_chain_stays_whole(site: With::workers()) {
        let world = site.world().await;
        let (tenant, old) = (&world.tenant, &world.reseller);
        let new = site.account(&site.operator_key, "reseller", "New").await;
        let rename = async |by: &str, name: &str| {
            let path = format!("/v1/accounts/{}", tenant.id);
            site.patch(&path).key(by).acting_for(&tenant.id).json(json!({"name": name})).send().await.is(200)
        };
        rename(&old.key, "By the old one").await;
        rename(&tenant.key, "By itself").await;
        let lines = async |by: &str| {
            let audit = site.get("/v1/audit?limit=200").key(by).acting_for(&tenant.id).send().await.is(200);
            let changes: Vec<_> = audit.body["data"].as_array().unwrap().iter().filter(|line| line["action"] == "accounts_update").cloned().collect();
            changes
        };
        let actors = |lines: &[Value]| lines.iter().map(|line| line["acted_as"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
        assert_eq!(actors(&lines(&old.key).await), ["account", "account"]);
        moved(site, &site.operator_key, &tenant.id, &new.id).await.is(200);
        rename(&new.key, "By the new one").await;
        let (own, above) = (lines(&tenant.key).await, lines(&new.key).await);
        assert_eq!(actors(&own), ["operator", "account", "operator"]);
        assert_eq!(actors(&above), ["operator", "account", "account"]);
        assert!(!json!(above).to_string().contains(&old.id), "{above:?}");
        let exported = site.get("/v1/audit/export").key(&new.key).acting_for(&tenant.id).send().await.is(200);
        assert!(exported.text.lines().count() >= 3 && !exported.text.contains(&old.id));
        site.get("/v1/audit").key(&old.key).acting_for(&tenant.id).send().await.refused(404, "account_not_found");
        // The second wall as well, which only PostgreSQL has.
        if site.fresh.url.starts_with("postgres") {
            let path = "SELECT path FROM accounts WHERE id = $1";
            let everything = &mut site.db.read(Subtree::everything()).await.unwrap();
            let (above,): (Path,) = everything.query(path).bind(&old.id).one().await.unwrap();
            let (now,): (Path,) = everything.query(path).bind(&tenant.id).one().await.unwrap();
            for (subtree, seen) in [(Subtree::of(&above), false), (Subtree::of(&now), true)] {
                let mut conn = site.db.read(subtree).await.unwrap();
                let lines = conn.query("SELECT COUNT(*) FROM audit l WHERE l.account_id = $1").bind(&tenant.id);
                let (count,): (i64,) = lines.one().await.unwrap();
                assert_eq!(count > 0, seen);
            }
        }
        let verdict = tenantry::domain::accounts::audit::verify(&site.db).await.unwrap();
        assert!(verdict.broken.is_empty() && verdict.lines > 5, "{verdict:?}");
    }

    /// AUD-1: what was noted where the account stood is told where it stands
    async fn reads_from_before_the_move_are_in_the_audit_after_it(site: With::clock()) {
        let world = site.world().await;
        let (tenant, old) = (&world.tenant, &world.reseller);
        let new = site.account(&site.operator_key, "reseller", "New").await;
        let read = async || site.get(&format!("/v1/accounts/{}", tenant.id)).key(&old.key).send().await.is(200);
        let counts = async || -> Vec<Value> {
            let audit = site.get("/v1/audit?limit=200").key(&tenant.key).send().await.is(200);
            let lines = audit.body["data"].as_array().unwrap().iter();
            lines.filter(|line| line["outcome"] == "read" && line["action"] == "accounts_get").map(|line| line["detail"]["count"].clone()).collect()
        };
        read().await;
        until("the first is a line", async || counts().await == [Value::Null]).await;
        for _ in 0..2 {
            read().await;
        }
        moved(site, &site.operator_key, &tenant.id, &new.id).await.is(200);
        site.clock.advance(Duration::from_secs(61));
        until("those that followed are one", async || counts().await == [Value::Null, json!(2)]).await;
    }

    /// AUTHZ-8
    async fn what_the_old_seller_had_begun_is_finished_and_told_to_the_new_one(site: With::no_workers()) {
        let world = site.world().await;
        let (tenant, old) = (&world.tenant.id, &world.reseller);
        let new = site.account(&site.operator_key, "reseller", "New").await;
        for account in [&world.operator.id, &old.id, &new.id] {
            ceiling(site, account, json!({"ceiling": 100})).await;
        }
        let mut endpoints = Vec::new();
        for seller in [old, &new] {
            let asked = json!({"url": "https://hooks.example/in", "event_types": ["order.completed"]});
            let made = site.post("/v1/webhook_endpoints").key(&seller.key).json(asked).send().await.is(201);
            endpoints.push((made.id(), seller.key.clone()));
        }
        let mut order = add("hosted-mail", 3, json!([{"type": "domain", "spec": {"name": "acme.example"}}]));
        order["account_id"] = json!(tenant);
        let order = site.post("/v1/orders").key(&old.key).json(order).send().await.is(202);
        assert_eq!((taken(site, &old.id).await, taken(site, &new.id).await), ((0, 3), (0, 0)));
        moved(site, &site.operator_key, tenant, &new.id).await.is(200);
        assert_eq!((taken(site, &old.id).await, taken(site, &new.id).await), ((0, 0), (0, 3)));
        assert_eq!(taken(site, &world.operator.id).await, (0, 3), "who stands above both notices nothing");

        let metrics = telemetry::detached_metrics().unwrap().handle();
        let roles = Roles { api: false, workers: true };
        let workers = site.program().await.start(roles, metrics).await.unwrap();
        until("the order is done", async || {
            let told = site.get(&format!("/v1/orders/{}", order.id())).key(&new.key).send().await.is(200);
            told.body["status"] == "completed"
        }).await;
        let deliveries = async |(id, key): &(String, String)| {
            site.get(&format!("/v1/webhook_endpoints/{id}/deliveries")).key(key).send().await.is(200).ids().len()
        };
        until("the new seller is told", async || deliveries(&endpoints[1]).await == 1).await;
        assert_eq!(deliveries(&endpoints[0]).await, 0);
        workers.stop().await;
        assert_eq!((taken(site, &old.id).await, taken(site, &new.id).await), ((0, 0), (3, 0)));
        assert_eq!(taken(site, &world.operator.id).await, (3, 0));
    }

    async fn what_it_uses_is_counted_where_it_stands_or_it_does_not_move(site: With::workers()) {
        let world = site.world().await;
        let (tenant, old) = (&world.tenant, &world.reseller);
        let new = site.account(&site.operator_key, "reseller", "New").await;
        for account in [&world.operator.id, &old.id] {
            ceiling(site, account, json!({"ceiling": 100})).await;
        }
        ceiling(site, &new.id, json!({"ceiling": 2})).await;
        let made = site.ordered(tenant, "acme.example", 3).await;
        let before = site.get(&format!("/v1/accounts/{}", tenant.id)).key(&old.key).send().await.is(200);
        let refused = moved(site, &site.operator_key, &tenant.id, &new.id).await.refused(409, "quota_exceeded");
        let violation = json!({"key": KEY, "level": "account", "holder": new.id, "requested": 3, "available": 2});
        assert_eq!(refused.body["violations"], json!([violation]));
        let after = site.get(&format!("/v1/accounts/{}", tenant.id)).key(&old.key).send().await.is(200);
        assert_eq!((after.body, taken(site, &old.id).await, taken(site, &new.id).await), (before.body, (3, 0), (0, 0)));

        ceiling(site, &new.id, json!({"ceiling": 5})).await;
        let rehearsed = format!("/v1/accounts/{}/move?dry_run=true", tenant.id);
        site.post(&rehearsed).key(&site.operator_key).json(json!({"parent_id": new.id})).send().await.is(200);
        assert_eq!(taken(site, &old.id).await, (3, 0));
        moved(site, &site.operator_key, &tenant.id, &new.id).await.is(200);
        assert_eq!((taken(site, &old.id).await, taken(site, &new.id).await), ((0, 0), (3, 0)));
        let grow = |quantity: i64| change(&made.subscription, json!({"quantity": quantity}));
        site.post("/v1/orders").key(&tenant.key).json(grow(6)).send().await.refused(409, "quota_exceeded");
        site.post("/v1/orders").key(&tenant.key).wait(20).json(grow(5)).send().await.is(201);
        assert_eq!((taken(site, &old.id).await, taken(site, &new.id).await), ((0, 0), (5, 0)));
        // A ceiling that was allocated to it is drawn as a whole, used or not.
        ceiling(site, &new.id, json!({"ceiling": 20})).await;
        ceiling(site, &tenant.id, json!({"ceiling": 12, "mode": "allocated"})).await;
        moved(site, &site.operator_key, &tenant.id, &old.id).await.is(200);
        assert_eq!((taken(site, &old.id).await, taken(site, &new.id).await), ((12, 0), (0, 0)));
        assert_eq!((taken(site, &tenant.id).await, taken(site, &world.operator.id).await), ((5, 0), (12, 0)));
    }

    async fn holds_above_it_end_with_the_move_begin_with_it_and_those_on_it_can_be_lifted_by_the_new_seller(site: With::workers()) {
        let world = site.world().await;
        let (tenant, old) = (&world.tenant, &world.reseller);
        let new = site.account(&site.operator_key, "reseller", "New").await;
        let made = site.ordered(tenant, "acme.example", 1).await;
        let suspend = async |by: &str, account: &str, reason: Value| {
            let path = format!("/v1/accounts/{account}/suspend");
            site.post(&path).key(by).wait(20).json(reason).send().await.is(200)
        };
        suspend(&site.operator_key, &old.id, json!({"reason_code": "payment"})).await;
        until("it is held", async || access(site, &made.mail).await == ["suspended", "suspended"]).await;
        let done = site.post(&format!("/v1/accounts/{}/move", tenant.id)).key(&site.operator_key);
        let done = done.wait(20).json(json!({"parent_id": new.id})).send().await.is(200);
        assert_eq!(done.body["operation"]["status"], "succeeded", "{}", done.text);
        assert_eq!(access(site, &made.mail).await, ["full", "full"]);

        suspend(&new.key, &tenant.id, json!({"reason_code": "abuse", "reason": "Spam"})).await;
        let third = site.account(&site.operator_key, "reseller", "Third").await;
        let path = format!("/v1/accounts/{}/suspend", third.id);
        site.post(&path).key(&site.operator_key).json(json!({"reason_code": "payment"})).send().await.is(202);
        moved(site, &site.operator_key, &tenant.id, &third.id).await.is(200);
        assert_eq!(access(site, &made.mail).await, ["suspended", "suspended"]);
        let lifted = site.post(&format!("/v1/accounts/{}/resume", third.id)).key(&site.operator_key);
        lifted.wait(20).json(json!({"reason_code": "payment"})).send().await.is(200);
        let holds = site.get(&format!("/v1/accounts/{}/holds", tenant.id)).key(&third.key).send().await.is(200);
        let hold = &holds.body["data"][0];
        assert_eq!((&hold["placed_by"], &hold["reason"], &hold["reason_code"]), (&json!(third.id), &Value::Null, &json!("abuse")));
        let path = format!("/v1/accounts/{}/resume", tenant.id);
        let lifted = site.post(&path).key(&third.key).wait(20).send().await.is(200);
        assert_eq!((&lifted.body["changed"], &lifted.body["access"]), (&json!(true), &json!("full")), "{}", lifted.text);
        assert_eq!(access(site, &made.mail).await, ["full", "full"]);
    }

    async fn of_equal_holds_of_those_it_leaves_one_stays_and_the_others_are_told_to_be_released(site: With::no_workers()) {
        let world = site.world().await;
        let by = &site.operator_key;
        let distributor = site.account(by, "distributor", "Distributor").await;
        let reseller = site.account(&distributor.key, "reseller", "Below").await;
        let tenant = site.account(&reseller.key, "tenant", "Tenant").await;
        let path = |verb: &str| format!("/v1/accounts/{}/{verb}", tenant.id);
        for key in [&reseller.key, &distributor.key] {
            site.post(&path("suspend")).key(key).json(json!({"reason_code": "payment"})).send().await;
        }
        moved(site, by, &tenant.id, &world.reseller.id).await.is(200);
        let holds = site.get(&path("holds")).key(&world.reseller.key).send().await.is(200);
        let told: Vec<_> = holds.body["data"].as_array().unwrap().iter().map(|hold| (&hold["status"], &hold["placed_by"])).collect();
        assert_eq!(told, [(&json!("active"), &json!(world.reseller.id)), (&json!("released"), &Value::Null)]);
        assert_eq!(self::told(site, by, "hold.released").await.len(), 1);
        let lifted = site.post(&path("resume")).key(&world.reseller.key).send().await;
        assert_eq!((lifted.status, &lifted.body["access"]), (202, &json!("full")), "{}", lifted.text);
    }

    async fn an_account_moves_within_the_callers_reach_to_where_it_may_stand(site: With::no_workers()) {
        let world = site.world().await;
        let by = &site.operator_key;
        let distributor = site.account(by, "distributor", "Distributor").await;
        let reseller = site.account(&distributor.key, "reseller", "Below").await;
        let (tenant, old) = (&world.tenant.id, &world.reseller);
        let fault = |answer: Answer| answer.refused(422, "validation_failed").faults();
        let at = |code: &str| vec![("/parent_id".to_owned(), code.to_owned())];
        assert_eq!(fault(moved(site, by, &distributor.id, &reseller.id).await), at("below_itself"));
        assert_eq!(fault(moved(site, by, &distributor.id, &distributor.id).await), at("below_itself"));
        assert_eq!(fault(moved(site, by, &reseller.id, tenant).await), at("not_allowed_here"));
        assert_eq!(fault(moved(site, by, &distributor.id, &old.id).await), at("not_allowed_here"));
        moved(site, by, &world.operator.id, &old.id).await.refused(409, "state_conflict");
        moved(site, &old.key, &old.id, tenant).await.refused(409, "state_conflict");
        // The account, the one that it leaves and the one below which it is to stand.
        moved(site, &distributor.key, tenant, &reseller.id).await.refused(404, "account_not_found");
        moved(site, &old.key, tenant, &reseller.id).await.refused(404, "account_not_found");
        moved(site, by, tenant, "acc_00000000000000000000000000").await.refused(404, "account_not_found");
        let narrow = json!({"name": "narrow", "bundle": "operator_admin", "roots": [tenant, reseller.id]});
        let narrow = site.post("/v1/keys").key(by).json(narrow).send().await.is(201).text_at("secret");
        moved(site, &narrow, tenant, &reseller.id).await.refused(404, "account_not_found");

        let mut chain = vec![reseller.clone()];
        for depth in 4..=8 {
            let above = chain.last().unwrap();
            chain.push(site.account(&above.key, "reseller", &format!("At {depth}")).await);
        }
        let deepest = chain.last().unwrap();
        assert_eq!(fault(moved(site, by, tenant, &deepest.id).await), at("too_deep"));
        // With a line of two below it, it would end one too deep.
        assert_eq!(fault(moved(site, by, &old.id, &chain[chain.len() - 2].id).await), at("too_deep"));
        let same = moved(site, by, tenant, &old.id).await.is(200);
        assert_eq!(same.body["parent_id"], old.id.as_str());
        assert_eq!(told(site, by, "account.moved").await, Vec::<Value>::new(), "nothing happened");

        let account = site.get(&format!("/v1/accounts/{tenant}")).key(by).send().await.is(200);
        let tag = account.header("etag").unwrap();
        let path = format!("/v1/accounts/{tenant}/move");
        let there = || site.post(&path).key(by).json(json!({"parent_id": reseller.id}));
        let done = there().header("if-match", tag).send().await.is(200);
        assert_ne!(done.header("etag"), Some(tag));
        there().header("if-match", tag).send().await.refused(412, "precondition_failed");
        let named = site.get(&format!("/v1/accounts/{tenant}")).key(&distributor.key).send().await.is(200);
        assert_eq!(named.header("etag"), done.header("etag"));
        let alone = json!({"delegation": {"allow": "none"}});
        site.patch(&format!("/v1/accounts/{tenant}")).key(&world.tenant.key).json(alone).send().await.is(200);
        moved(site, by, tenant, &old.id).await.refused(403, "delegation_denied");
    }

    async fn names_that_the_old_seller_gave_are_free_again_and_all_else_that_it_says_stays(site: With::no_workers()) {
        let world = site.world().await;
        let new = site.account(&site.operator_key, "reseller", "New").await;
        let asked = json!({"type": "tenant", "name": "Acme", "external_id": "crm:1", "metadata": {"a": "b"}});
        let open = async || site.post("/v1/accounts").key(&world.reseller.key).json(asked.clone()).send().await.is(201);
        let first = open().await;
        moved(site, &site.operator_key, &first.id(), &new.id).await.is(200);
        let there = site.get(&format!("/v1/accounts/{}", first.id())).key(&new.key).send().await.is(200);
        assert_eq!((&there.body["external_id"], &there.body["metadata"]), (&Value::Null, &json!({"a": "b"})));
        assert_ne!(open().await.id(), first.id());
    }

    /// KEY-11: on the other side of the tree, too
    async fn its_test_account_moves_along(site: With::workers()) {
        let world = site.world().await;
        let new = site.account(&site.operator_key, "reseller", "New").await;
        let asked = json!({"type": "reseller", "name": "Sandbox", "environment": "test"});
        let test = site.post("/v1/accounts").key(&world.reseller.key).json(asked).send().await.is(201);
        let key = site.key(&world.reseller.key, &test.id(), "reseller_admin").await;
        let below = site.account(&key, "tenant", "Tried").await;
        moved(site, &site.operator_key, &world.reseller.id, &new.id).await.is(200);
        let list = site.get("/v1/accounts").key(&key).send().await.is(200);
        assert_eq!(list.ids().len(), 2);
        let made = site.key(&world.reseller.key, &test.id(), "reseller_admin").await;
        site.get(&format!("/v1/accounts/{}", below.id)).key(&made).send().await.is(200);
        moved(site, &site.operator_key, &world.reseller.id, &test.id()).await.refused(403, "environment_mismatch");
        // It stands where it did before, seen from its new seller's test account.
        let asked = json!({"type": "reseller", "name": "Sandbox", "environment": "test"});
        let above = site.post("/v1/accounts").key(&new.key).json(asked).send().await.is(201);
        let key = site.key(&new.key, &above.id(), "reseller_admin").await;
        let list = site.get("/v1/accounts").key(&key).send().await.is(200).ids();
        assert!(list.contains(&test.id()) && list.contains(&below.id), "{list:?}");
    }
}

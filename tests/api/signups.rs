//! Signing up: what is opened in one call, what it waits for, and what is refused.

use super::subscriptions::{DAY, plan};
use super::*;

/// What somebody asks for who is known to the seller.
pub fn asked(plan: &str, name: &str) -> Value {
    let email = format!("{}@mail.example", name.to_lowercase());
    json!({"account": {"name": name}, "administrator": {"name": "Alice Ames", "email": email, "email_verified": true}, "plan": plan})
}

/// The same, of whom the seller does not know the address.
pub fn unknown(plan: &str, name: &str) -> Value {
    let mut asked = asked(plan, name);
    asked["administrator"].as_object_mut().unwrap().remove("email_verified");
    asked
}

pub fn send(site: &Site, by: &str, asked: Value) -> Call {
    site.post("/v1/signups").key(by).wait(20).json(asked)
}

pub fn step(site: &Site, by: &str, id: &str, verb: &str) -> Call {
    site.post(&format!("/v1/signups/{id}/{verb}")).key(by).wait(20)
}

pub async fn token(site: &Site, by: &str, id: &str) -> String {
    step(site, by, id, "verification_token").send().await.is(201).text_at("token")
}

pub fn verify(site: &Site, by: &str, id: &str, token: &str) -> Call {
    step(site, by, id, "verify").json(json!({"token": token}))
}

async fn asks(site: &Site, of: &Party, policy: Value) {
    let asked = json!({"signup_policy": policy});
    let said = site.patch(&format!("/v1/accounts/{}", of.id)).key(&of.key).json(asked).send().await.is(200);
    assert_eq!(said.body["signup_policy"], policy);
}

/// Everything of the seller's that a sign-up adds to.
async fn all(site: &Site, by: &str) -> Vec<usize> {
    let mut counts = Vec::new();
    for list in ["accounts", "members", "orders", "subscriptions", "signups"] {
        counts.push(site.all(by, &format!("/v1/{list}"), 200).await.len());
    }
    counts
}

on_both_servers! {
    /// P1
    async fn one_call_opens_an_account_with_its_owner_its_domain_and_its_first_plan(site: With::clock()) {
        let world = site.world().await;
        let by = &world.reseller.key;
        plan(site, &world, "tried", json!({"trial": {"unit": "day", "count": 14}})).await;
        let mut wanted = asked("tried", "Acme");
        wanted["domain"] = json!("Acme.example");
        wanted["quantity"] = json!(3);
        wanted["metadata"] = json!({"source": "fair"});
        wanted["account"].as_object_mut().unwrap().extend([
            ("external_id".to_owned(), json!("crm:1")), ("country".into(), json!("DE")), ("currency".into(), json!("EUR")),
        ]);
        let dry = site.post("/v1/signups?dry_run=true").key(by).json(wanted.clone()).send().await.is(202);
        assert_eq!(dry.body["status"], "accepted");
        let before = all(site, by).await;
        let done = send(site, by, wanted.clone()).idem("one").send().await.is(201);
        assert_eq!((&done.body["status"], &done.body["awaits"], &done.body["operation"]["status"]), (&json!("accepted"), &json!([]), &json!("succeeded")), "{}", done.text);
        assert_eq!((done.text_at("parent_id"), done.text_at("domain")), (world.reseller.id.clone(), "acme.example".into()));
        let again = send(site, by, wanted.clone()).idem("one").send().await;
        assert_eq!((again.id(), again.header("idempotency-replayed")), (done.id(), Some("true")));
        let added: Vec<_> = all(site, by).await.iter().zip(&before).map(|(now, then)| now - then).collect();
        assert_eq!(added, [1, 1, 1, 1, 1]);

        let id = done.text_at("opened_account_id");
        let account = site.get(&format!("/v1/accounts/{id}")).key(by).send().await.is(200).body;
        for (member, is) in [("type", "tenant"), ("name", "Acme"), ("external_id", "crm:1"), ("country", "DE"), ("currency", "EUR"), ("contact_email", "acme@mail.example")] {
            assert_eq!(account[member], is, "{member}");
        }
        assert_eq!((&account["parent_id"], &account["metadata"]), (&json!(world.reseller.id), &json!({"source": "fair"})));
        let member = site.get(&format!("/v1/members/{}", done.text_at("member_id"))).key(by).send().await.is(200).body;
        assert_eq!((&member["account_id"], &member["role"], &member["email"]), (&json!(id), &json!("owner"), &json!("acme@mail.example")));
        let order = site.get(&format!("/v1/orders/{}", done.text_at("order_id"))).key(by).send().await.is(200);
        assert_eq!((order.text_at("account_id"), order.text_at("status")), (id.clone(), "completed".into()));
        let subscription = site.get(&format!("/v1/subscriptions/{}", order.text_of("/items/0/subscription_id"))).key(by).send().await.is(200).body;
        assert_eq!((&subscription["status"], &subscription["quantity"]), (&json!("trialing"), &json!(3)));
        let domain = site.get(&format!("/v1/resources/{}", order.text_of("/items/0/resource_ids/0"))).key(by).send().await.is(200).body;
        assert_eq!((&domain["name"], &domain["lifecycle"]), (&json!("acme.example"), &json!("active")));

        let told = all_told(site, by).await;
        let types: Vec<_> = told.iter().filter_map(|event| event["type"].as_str()).collect();
        let begun = types.iter().position(|it| *it == "signup.created").expect("it is told");
        let expected = ["signup.created", "account.created", "member.added", "order.created", "signup.accepted"];
        assert_eq!(types[begun..begun + 5], expected);
        let created = told.iter().find(|event| event["type"] == "signup.created").unwrap();
        assert_eq!((&created["data"]["object"]["status"], &created["data"]["object"]["opened_account_id"]), (&json!("pending"), &Value::Null));
        // The name is taken now: the same is there, and another cannot have it.
        assert_eq!((done.header("location"), done.text_at("operation_id")), (Some(format!("/v1/signups/{}", done.id()).as_str()), done.text_of("/operation/id")));
        assert_eq!(send(site, by, wanted.clone()).send().await.is(200).id(), done.id());
        let mut other = wanted;
        other["domain"] = json!("other.example");
        send(site, by, other).send().await.refused(409, "external_id_conflict");
    }

    /// P1
    async fn a_sign_up_waits_for_its_address_and_for_the_seller(site: With::workers()) {
        let world = site.world().await;
        let by = &world.reseller.key;
        let waits = send(site, by, unknown("hosted-mail", "Acme")).send().await.is(201);
        let place = format!("/v1/signups/{}", waits.id());
        assert_eq!((&waits.body["status"], &waits.body["awaits"]), (&json!("pending"), &json!(["email_verification"])));
        assert_eq!(waits.header("location"), Some(place.as_str()));
        assert_eq!(site.get(&place).key(by).send().await.is(200).body, waits.body);
        let issue = step(site, by, &waits.id(), "verification_token").send().await.is(201);
        assert_eq!((issue.text_at("email"), issue.text_at("signup_id"), issue.text_at("token").len()), ("acme@mail.example".into(), waits.id(), 43));
        let second = token(site, by, &waits.id()).await;
        for wrong in [issue.text_at("token"), second.to_uppercase(), "x".into()] {
            let refused = verify(site, by, &waits.id(), &wrong).send().await.refused(422, "validation_failed");
            assert_eq!(refused.faults(), [("/token".into(), "wrong_token".into())]);
        }
        let done = verify(site, by, &waits.id(), &second).send().await.is(200);
        assert_eq!((&done.body["status"], &done.body["operation"]["status"]), (&json!("accepted"), &json!("succeeded")), "{}", done.text);
        let again = verify(site, by, &waits.id(), &second).send().await.is(200);
        assert_eq!(again.body["opened_account_id"], done.body["opened_account_id"]);
        step(site, by, &waits.id(), "verification_token").send().await.refused(409, "state_conflict");
        step(site, by, &waits.id(), "reject").send().await.refused(409, "state_conflict");

        asks(site, &world.reseller, json!({"verify_email": true, "approval": true})).await;
        for approved_first in [true, false] {
            let waits = send(site, by, unknown("hosted-mail", "Both")).send().await.is(201);
            assert_eq!(waits.body["awaits"], json!(["email_verification", "approval"]));
            let (id, accounts) = (waits.id(), site.all(by, "/v1/accounts", 200).await.len());
            let sent = token(site, by, &id).await;
            let approve = || step(site, by, &id, "approve");
            if approved_first {
                let half = approve().send().await.is(200);
                assert_eq!((&half.body["status"], &half.body["awaits"]), (&json!("pending"), &json!(["email_verification"])));
                assert_eq!(approve().send().await.is(200).body, half.body);
                verify(site, by, &id, &sent).send().await.is(200);
            } else {
                let half = verify(site, by, &id, &sent).send().await.is(200);
                assert_eq!((&half.body["status"], &half.body["awaits"]), (&json!("pending"), &json!(["approval"])));
                approve().header("If-Match", waits.header("etag").unwrap()).send().await.refused(412, "precondition_failed");
                approve().header("If-Match", half.header("etag").unwrap()).send().await.is(200);
            }
            let now = site.get(&format!("/v1/signups/{id}")).key(by).send().await.is(200).body;
            assert_eq!((&now["status"], site.all(by, "/v1/accounts", 200).await.len()), (&json!("accepted"), accounts + 1));
        }
        let unwanted = send(site, by, asked("hosted-mail", "Unwanted")).send().await.is(201).id();
        let reject = || step(site, by, &unwanted, "reject").json(json!({"reason": "not ours"}));
        let rejected = reject().send().await.is(200);
        assert_eq!((&rejected.body["status"], &rejected.body["reason"], &rejected.body["opened_account_id"]), (&json!("rejected"), &json!("not ours"), &Value::Null));
        assert_eq!(reject().send().await.is(200).body, rejected.body);
        step(site, by, &unwanted, "approve").send().await.refused(409, "state_conflict");
        let approved = send(site, by, unknown("hosted-mail", "Approved")).send().await.is(201).id();
        step(site, by, &approved, "approve").send().await.is(200);
        step(site, by, &approved, "reject").send().await.is(200);
        step(site, by, &approved, "approve").send().await.refused(409, "state_conflict");
    }

    async fn what_an_account_above_asks_is_asked_whatever_those_below_say(site: With::no_workers()) {
        let world = site.world().await;
        let sub = site.account(&world.reseller.key, "reseller", "Sub").await;
        let awaits = async || {
            let made = site.post("/v1/signups?dry_run=true").key(&sub.key).json(unknown("hosted-mail", "Acme")).send().await;
            assert!(made.status < 300, "{}", made.text);
            made.body["awaits"].clone()
        };
        let policy = |verify_email, approval| json!({"verify_email": verify_email, "approval": approval});
        assert_eq!(awaits().await, json!(["email_verification"]));
        asks(site, &sub, policy(false, false)).await;
        assert_eq!(awaits().await, json!([]));
        asks(site, &world.operator, policy(false, true)).await;
        assert_eq!(awaits().await, json!(["approval"]));
        asks(site, &world.reseller, policy(true, false)).await;
        assert_eq!(awaits().await, json!(["email_verification", "approval"]));
        asks(site, &sub, Value::Null).await;
        asks(site, &world.reseller, Value::Null).await;
        assert_eq!(awaits().await, json!(["approval"]));
    }

    async fn what_could_not_be_opened_is_refused_when_it_is_asked_for(site: With::workers()) {
        let world = site.world().await;
        let by = &world.reseller.key;
        site.ordered(&world.tenant, "taken.example", 1).await;
        let unmailed = json!({"code": "names", "name": "names", "terms": {
            "virtual_server_id": world.virtual_server, "services": [{"type": "dns"}], "max_quantity": 5, "quotas": []}});
        site.post("/v1/plans").key(&site.operator_key).json(unmailed).send().await.is(201);
        let before = all(site, by).await;
        for asked in [asked, unknown] {
            let with = |plan: &str, more: Value| {
                let mut wanted = asked(plan, "Acme");
                wanted.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                send(site, by, wanted)
            };
            for (plan, more, place, code) in [
                ("nothing", json!({}), "/plan", "plan_not_applicable"),
                ("names", json!({"domain": "acme.example"}), "/domain", "not_in_plan"),
                ("names", json!({"quantity": 6}), "/quantity", "too_large"),
                ("hosted-mail", json!({"domain": "acme"}), "/domain", "domain"),
                ("hosted-mail", json!({"parent_id": world.tenant.id}), "/parent_id", "not_allowed_here"),
            ] {
                let refused = with(plan, more).send().await.refused(422, "validation_failed");
                assert_eq!(refused.faults(), [(place.into(), code.into())], "{}", refused.text);
            }
            with("hosted-mail", json!({"domain": "taken.example"})).send().await.refused(409, "name_taken");
            with("hosted-mail", json!({"parent_id": world.operator.id})).send().await.refused(404, "account_not_found");
        }
        let ceiling = format!("/v1/accounts/{}/quotas/mail.domains", world.reseller.id);
        site.put(&ceiling).anyway().key(&site.operator_key).json(json!({"ceiling": 1})).send().await.is(200);
        for asked in [asked, unknown] {
            let mut wanted = asked("hosted-mail", "Acme");
            wanted["domain"] = json!("acme.example");
            let refused = send(site, by, wanted).send().await.refused(409, "quota_exceeded");
            assert_eq!(refused.body["violations"][0]["key"], "mail.domains");
        }
        assert_eq!(all(site, by).await, before);
    }

    async fn what_nobody_sees_to_in_time_expires(site: With::clock()) {
        let world = site.world().await;
        let by = &world.reseller.key;
        asks(site, &world.reseller, json!({"verify_email": true, "approval": true})).await;
        let first = send(site, by, unknown("hosted-mail", "First")).send().await.is(201);
        let second = send(site, by, unknown("hosted-mail", "Second")).send().await.is(201);
        assert_eq!(first.body["expires_at"], json!(site.clock.now().plus(7 * DAY)));
        let (unused, used) = (token(site, by, &first.id()).await, token(site, by, &second.id()).await);
        site.clock.advance(7 * DAY - Duration::from_secs(1));
        let half = verify(site, by, &second.id(), &used).send().await.is(200);
        assert_eq!(half.body["expires_at"], json!(site.clock.now().plus(30 * DAY)));
        site.clock.advance(Duration::from_secs(1));
        let status = async |id: String| site.get(&format!("/v1/signups/{id}")).key(by).send().await.is(200).text_at("status");
        until("it has expired", async || status(first.id()).await == "expired").await;
        verify(site, by, &first.id(), &unused).send().await.refused(409, "state_conflict");
        step(site, by, &first.id(), "approve").send().await.refused(409, "state_conflict");
        site.clock.advance(30 * DAY - Duration::from_secs(2));
        assert_eq!(status(second.id()).await, "pending");
        site.clock.advance(Duration::from_secs(1));
        until("it has expired", async || status(second.id()).await == "expired").await;
        until("both are told", async || told(site, by, "signup.expired").await.len() == 2).await;
        // Who never became a customer is forgotten a month later.
        site.clock.advance(7 * DAY + Duration::from_secs(2));
        until("it is gone", async || site.all(by, "/v1/signups", 200).await.len() == 1).await;
        assert_eq!(status(second.id()).await, "expired");
        site.clock.advance(23 * DAY);
        until("the other is gone", async || site.all(by, "/v1/signups", 200).await.is_empty()).await;
    }

    async fn what_waits_for_the_seller_alone_waits_for_a_month(site: With::no_workers()) {
        let world = site.world().await;
        let by = &world.reseller.key;
        asks(site, &world.reseller, json!({"verify_email": false, "approval": true})).await;
        let now = || site.clock.now();
        let made = site.post("/v1/signups").key(by).json(unknown("hosted-mail", "Acme")).send().await.is(201);
        let left = made.text_at("expires_at").parse::<tenantry::model::Time>().unwrap().since(now());
        assert!(left > 29 * DAY, "{left:?}");
    }

    async fn what_cannot_be_opened_any_more_waits_for_the_seller(site: With::no_workers()) {
        let world = site.world().await;
        let by = &world.reseller.key;
        let mut wanted = unknown("hosted-mail", "Acme");
        wanted["domain"] = json!("acme.example");
        let first = send(site, by, wanted.clone()).send().await.is(201).id();
        let second = send(site, by, wanted).send().await.is(201).id();
        let sent = token(site, by, &first).await;
        assert_eq!(site.post(&format!("/v1/signups/{first}/verify")).key(by).json(json!({"token": sent})).send().await.is(202).body["status"], "accepted");
        let sent = token(site, by, &second).await;
        let half = verify(site, by, &second, &sent).send().await.is(200);
        assert_eq!((&half.body["status"], &half.body["awaits"]), (&json!("pending"), &json!(["approval"])));
        assert!(half.body["email_verified_at"].is_string());
        step(site, by, &second, "approve").send().await.refused(409, "name_taken");
        step(site, by, &second, "reject").send().await.is(200);
    }

    async fn one_external_name_is_one_sign_up(site: With::no_workers()) {
        let world = site.world().await;
        let by = &world.reseller.key;
        let wanted = |name: &str| {
            let mut wanted = unknown("hosted-mail", name);
            wanted["account"]["external_id"] = json!("crm:7");
            site.post("/v1/signups").key(by).json(wanted)
        };
        let calls = futures_util::future::join_all((0..6).map(|_| wanted("Acme").send())).await;
        let made: Vec<_> = calls.iter().filter(|answer| answer.status < 300).map(|answer| answer.id()).collect();
        assert!(!made.is_empty() && made.iter().all(|id| *id == made[0]), "{made:?}");
        assert_eq!(calls.iter().filter(|answer| answer.status == 201).count(), 1);
        assert_eq!(wanted("Acme").send().await.is(200).id(), made[0]);
        wanted("Other").send().await.refused(409, "external_id_conflict");
        step(site, by, &made[0], "reject").send().await.is(200);
        assert_ne!(wanted("Other").send().await.is(201).id(), made[0]);
    }

    /// KEY-8
    async fn who_could_not_order_or_review_does_neither_by_signing_up(site: With::no_workers()) {
        let world = site.world().await;
        let key = async |more: Value| {
            let mut asked = json!({"name": "k", "scopes": ["signups:create"], "hold_classes": []});
            asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            site.post("/v1/keys").key(&world.reseller.key).json(asked).send().await.is(201).text_at("secret")
        };
        let blind = key(json!({})).await;
        let refused = send(site, &blind, asked("hosted-mail", "Acme")).send().await.refused(403, "scope_escalation");
        assert!(refused.text_at("detail").ends_with("signups:review, to vouch for an address"), "{}", refused.text);
        send(site, &blind, unknown("hosted-mail", "Acme")).send().await.is(201);
        // What is ordered later would count for nobody's cap.
        let capped = key(json!({"scopes": ["signups:create", "signups:review"], "spend_cap": {"per_day": 100, "currency": "EUR"}})).await;
        send(site, &capped, unknown("hosted-mail", "Acme")).send().await.refused(403, "spend_cap_exceeded");
        let refused = send(site, &capped, asked("hosted-mail", "Acme")).send().await.refused(403, "spend_cap_exceeded");
        assert!(refused.text.contains("no price"), "{}", refused.text);
    }

    async fn several_who_say_yes_at_once_open_one_account(site: With::no_workers()) {
        let world = site.world().await;
        let by = &world.reseller.key;
        let id = site.post("/v1/signups").key(by).json(unknown("hosted-mail", "Acme")).send().await.is(201).id();
        let sent = token(site, by, &id).await;
        let before = site.all(by, "/v1/accounts", 200).await.len();
        let calls = (0..8).map(|_| site.post(&format!("/v1/signups/{id}/verify")).key(by).json(json!({"token": sent})).send());
        let answers = futures_util::future::join_all(calls).await;
        for answer in &answers {
            assert!([200, 202, 409].contains(&answer.status), "{}", answer.text);
        }
        assert_eq!(answers.iter().filter(|answer| answer.status == 202).count(), 1);
        assert_eq!(site.all(by, "/v1/accounts", 200).await.len(), before + 1);
        assert_eq!(site.all(by, "/v1/members", 200).await.len(), 1);
    }

    async fn of_yes_and_no_at_once_one_is_said(site: With::no_workers()) {
        let world = site.world().await;
        let by = &world.reseller.key;
        for name in ["One", "Two", "Three", "Four"] {
            let id = site.post("/v1/signups").key(by).json(unknown("hosted-mail", name)).send().await.is(201).id();
            let sent = token(site, by, &id).await;
            let before = site.all(by, "/v1/accounts", 200).await.len();
            let yes = site.post(&format!("/v1/signups/{id}/verify")).key(by).json(json!({"token": sent}));
            let no = site.post(&format!("/v1/signups/{id}/reject")).key(by).json(json!({}));
            let (yes, no) = tokio::join!(yes.send(), no.send());
            assert_ne!(yes.status == 202, no.status == 200, "{} {}", yes.text, no.text);
            let opened = site.all(by, "/v1/accounts", 200).await.len() - before;
            assert_eq!(opened, usize::from(yes.status == 202));
        }
    }

    /// AUTHZ-8
    async fn a_sign_up_moves_with_its_seller_and_is_opened_where_he_stands_then(site: With::no_workers()) {
        let world = site.world().await;
        let by = &world.reseller.key;
        let id = site.post("/v1/signups").key(by).json(unknown("hosted-mail", "Acme")).send().await.is(201).id();
        let sent = token(site, by, &id).await;
        let new = site.account(&site.operator_key, "distributor", "New").await;
        let place = format!("/v1/accounts/{}/move", world.reseller.id);
        site.post(&place).key(&site.operator_key).json(json!({"parent_id": new.id})).send().await.is(200);
        site.get(&format!("/v1/signups/{id}")).key(&new.key).send().await.is(200);
        let verified = || site.post(&format!("/v1/signups/{id}/verify")).key(by).json(json!({"token": sent})).send();
        // Its credential is known for a moment yet as it stood.
        until("it is known where it stands", async || verified().await.status == 202).await;
        let opened = site.get(&format!("/v1/signups/{id}")).key(&new.key).send().await.is(200).text_at("opened_account_id");
        let account = site.get(&format!("/v1/accounts/{opened}")).key(&new.key).send().await.is(200);
        assert_eq!(account.text_at("parent_id"), world.reseller.id);
    }
}

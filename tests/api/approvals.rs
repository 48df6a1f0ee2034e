//! Orders that somebody above has to approve of.

use super::prices::{Channel, fixed, list, set};
use super::quotas::taken;
use super::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn eur(amount: i64) -> Value {
    json!({"amount": amount, "currency": "EUR"})
}

async fn asks(site: &Site, by: &str, account: &str, policy: Value) {
    let path = format!("/v1/accounts/{account}");
    let said = site.patch(&path).key(by).json(json!({"order_policy": policy})).send().await.is(200);
    assert_eq!(said.body["order_policy"], policy);
}

fn decide(site: &Site, by: &str, order: &str, verb: &str) -> Call {
    site.post(&format!("/v1/orders/{order}/{verb}")).key(by).wait(20)
}

async fn order(site: &Site, by: &str, plan: &str, quantity: i64) -> Answer {
    site.post("/v1/orders").key(by).wait(20).json(add(plan, quantity, json!([]))).send().await
}

async fn read(site: &Site, order: &str) -> Value {
    site.get(&format!("/v1/orders/{order}")).key(&site.operator_key).send().await.is(200).body
}

async fn awaiting(site: &Site, by: &str) -> Vec<String> {
    site.get("/v1/orders?status=pending_approval").key(by).send().await.is(200).ids()
}

/// A plan of the operator's of which it wants to approve.
async fn asked_for(site: &Site, world: &World) -> String {
    let terms = json!({"virtual_server_id": world.virtual_server, "services": [{"type": "mail"}], "requires_approval": true,
        "quotas": [{"key": "mail.mailboxes", "per_unit": 1}]});
    let plan = json!({"code": "asked-for", "name": "Asked for", "terms": terms});
    site.post("/v1/plans").key(&site.operator_key).json(plan).send().await.is(201).id()
}

async fn ceiling(site: &Site, account: &str, ceiling: i64) {
    let path = format!("/v1/accounts/{account}/quotas/mail.mailboxes");
    site.put(&path).anyway().key(&site.operator_key).json(json!({"ceiling": ceiling})).send().await.is(200);
}

on_both_servers! {
    async fn an_order_of_such_a_plan_waits_for_the_plans_owner_with_its_quota_reserved(site: With::workers()) {
        let world = site.world().await;
        let (tenant, reseller, operator) = (&world.tenant.key, &world.reseller, &world.operator.key);
        asked_for(site, &world).await;
        ceiling(site, &reseller.id, 10).await;
        let tried = site.post("/v1/orders?dry_run=true").key(tenant).json(add("asked-for", 4, json!([]))).send().await.is(202);
        assert_eq!(tried.body["status"], "pending_approval");
        let placed = order(site, tenant, "asked-for", 4).await.is(202);
        assert_eq!((&placed.body["status"], &placed.body["approval"]["reasons"]), (&json!("pending_approval"), &json!(["plan"])), "{}", placed.text);
        assert_eq!((&placed.body["approval"]["decided_at"], placed.body["approval"]["expires_at"].is_string()), (&Value::Null, true));
        assert_eq!(taken(site, operator, &reseller.id).await, (10, 0, 4));
        let operation = site.get(&format!("/v1/operations/{}", placed.text_at("operation_id"))).key(tenant).send().await.is(200);
        assert_eq!(operation.body["status"], "waiting_input");
        for by in [tenant, &reseller.key, operator] {
            assert_eq!(awaiting(site, by).await, [placed.id()]);
        }
        let asked = format!("/v1/operations/{}?wait=30", placed.text_at("operation_id"));
        let looked = tokio::time::timeout(Duration::from_secs(20), site.get(&asked).key(tenant).send()).await;
        looked.expect("what waits for somebody is not waited for").is(200);
        // Not whoever placed it, nor the seller in between: it is the operator's plan.
        for by in [tenant, &reseller.key] {
            let refused = decide(site, by, &placed.id(), "approve").send().await;
            match by == tenant {
                true => drop(refused.refused(403, "insufficient_scope")),
                false => assert_eq!(refused.refused(409, "state_conflict").text_at("current_state"), "waiting for an account further above"),
            }
        }
        let done = decide(site, operator, &placed.id(), "approve").json(json!({"note": "A good customer."})).send().await.is(200);
        assert_eq!((&done.body["status"], &done.body["approval"]["note"]), (&json!("completed"), &json!("A good customer.")), "{}", done.text);
        assert_eq!((&done.body["approval"]["expires_at"], done.body["approval"]["decided_at"].is_string()), (&Value::Null, true));
        assert_eq!(taken(site, operator, &reseller.id).await, (10, 4, 0));
        assert_eq!(awaiting(site, operator).await, [] as [String; 0]);
        // Repeated, it changes nothing; it cannot be rejected any more.
        let again = decide(site, operator, &placed.id(), "approve").send().await;
        assert_eq!((again.status / 100, &again.body["status"]), (2, &json!("completed")));
        decide(site, operator, &placed.id(), "reject").send().await.refused(409, "state_conflict");
        assert_eq!(told(site, tenant, "order.approved").await.len(), 1);
        // Whose word it is that is asked for waits for nobody.
        let mut own = add("asked-for", 1, json!([]));
        own["account_id"] = json!(world.tenant.id);
        let placed = site.post("/v1/orders").key(operator).wait(20).json(own).send().await.is(201);
        assert_eq!((&placed.body["status"], &placed.body["approval"]), (&json!("completed"), &Value::Null));
    }

    async fn a_seller_approves_of_what_is_dear_and_of_all_if_it_wants(site: With::workers()) {
        let Channel { sub, tenant, plan, world, .. } = Channel::new(site).await;
        let (root, wholesale) = (&site.operator_key, list(site, &site.operator_key, json!({})).await);
        set(site, root, &wholesale, &plan, fixed(json!([{"from": 1, "amount": 500}]), 1_000, 7)).send().await.is(200);
        asks(site, &sub.key, &sub.id, json!({"approval": false, "approval_above": eur(5_000)})).await;
        // 8 times 5 and 10 for setting it up are 50.
        assert_eq!(order(site, &tenant.key, "seats", 8).await.is(201).body["approval"], Value::Null);
        let dear = order(site, &tenant.key, "seats", 9).await.is(202);
        assert_eq!((&dear.body["status"], &dear.body["approval"]["reasons"]), (&json!("pending_approval"), &json!(["amount"])));
        // Nor does it slip through by a change of what is there.
        let (cheap, _) = super::subscriptions::subscribed(site, &tenant.key, "seats").await;
        let change = site.post(&format!("/v1/subscriptions/{cheap}/change_quantity"));
        let refused = change.key(&tenant.key).json(json!({"quantity": 100})).send().await.refused(422, "plan_not_applicable");
        assert!(refused.text_at("detail").contains("approve"), "{}", refused.text);
        let change = site.post(&format!("/v1/subscriptions/{cheap}/change_quantity"));
        change.key(&sub.key).json(json!({"quantity": 100})).send().await.is(201);
        // A key of the seller's that approves of nothing has it wait as well.
        let narrow = json!({"name": "narrow", "scopes": ["orders:place"], "hold_classes": []});
        let narrow = site.post("/v1/keys").key(&sub.key).json(narrow).send().await.is(201).text_at("secret");
        let mut for_tenant = add("seats", 9, json!([]));
        for_tenant["account_id"] = json!(tenant.id);
        let waits = site.post("/v1/orders").key(&narrow).json(for_tenant.clone()).send().await.is(202);
        assert_eq!(waits.body["status"], "pending_approval");
        let done = site.post("/v1/orders").key(&sub.key).wait(20).json(for_tenant).send().await.is(201);
        assert_eq!(done.body["status"], "completed");

        let rejected = decide(site, &sub.key, &dear.id(), "reject").json(json!({"note": "Too much."})).send().await.is(200);
        assert_eq!((&rejected.body["status"], &rejected.body["approval"]["note"]), (&json!("rejected"), &json!("Too much.")));
        assert_eq!(decide(site, &sub.key, &dear.id(), "reject").send().await.is(200).body["status"], "rejected");
        decide(site, &sub.key, &dear.id(), "approve").send().await.refused(409, "state_conflict");
        let subscription = dear.text_of("/items/0/subscription_id");
        let told_of = site.get(&format!("/v1/subscriptions/{subscription}")).key(&tenant.key).send().await.is(200);
        assert_eq!(told_of.body["status"], "cancelled");
        assert_eq!(told(site, &tenant.key, "order.rejected").await.len(), 1);

        // All of them, of a seller above: what the one below says is not enough.
        asks(site, &sub.key, &sub.id, Value::Null).await;
        asks(site, root, &world.operator.id, json!({"approval": true, "approval_above": null})).await;
        let waits = order(site, &tenant.key, "seats", 1).await.is(202);
        assert_eq!(waits.body["approval"]["reasons"], json!(["account"]));
        decide(site, &sub.key, &waits.id(), "approve").send().await.refused(409, "state_conflict");
        decide(site, root, &waits.id(), "approve").send().await.is(200);
    }

    async fn an_order_that_nobody_decides_on_expires_and_whoever_placed_it_can_cancel_it(site: With::clock()) {
        let world = site.world().await;
        asked_for(site, &world).await;
        ceiling(site, &world.reseller.id, 10).await;
        let [first, second] = [(); 2].map(|()| order(site, &world.tenant.key, "asked-for", 3));
        let (first, second) = (first.await.is(202).id(), second.await.is(202).id());
        assert_eq!(taken(site, &site.operator_key, &world.reseller.id).await, (10, 0, 6));
        let cancelled = site.post(&format!("/v1/orders/{first}/cancel")).key(&world.tenant.key).send().await.is(200);
        assert_eq!(cancelled.body["status"], "cancelled");
        assert_eq!(taken(site, &site.operator_key, &world.reseller.id).await, (10, 0, 3));
        site.clock.advance(30 * DAY - Duration::from_secs(1));
        super::subscriptions::passes(site, &world.tenant.key).await;
        assert_eq!(read(site, &second).await["status"], "pending_approval");
        site.clock.advance(Duration::from_secs(1));
        until("it has expired", async || read(site, &second).await["status"] == "expired").await;
        assert_eq!(told(site, &world.tenant.key, "order.expired").await.len(), 1);
        decide(site, &site.operator_key, &second, "approve").send().await.refused(409, "state_conflict");
        let pending = site.get("/v1/orders?status=completed").key(&world.tenant.key).send().await.refused(422, "validation_failed");
        assert_eq!(pending.body["errors"][0]["parameter"], "status");
    }

    async fn of_an_account_that_has_moved_away_meanwhile_its_new_seller_decides(site: With::workers()) {
        let world = site.world().await;
        let (root, tenant) = (&site.operator_key, &world.tenant);
        asks(site, &world.reseller.key, &world.reseller.id, json!({"approval": true, "approval_above": null})).await;
        let placed = order(site, &tenant.key, "hosted-mail", 1).await.is(202).id();
        let new = site.account(root, "reseller", "New").await;
        let path = format!("/v1/accounts/{}/move", tenant.id);
        site.post(&path).key(root).json(json!({"parent_id": new.id})).send().await.is(200);
        until("the new seller has the order", async || awaiting(site, &new.key).await == [placed.clone()]).await;
        decide(site, &world.reseller.key, &placed, "approve").send().await.refused(404, "not_found");
        decide(site, &tenant.key, &placed, "approve").send().await.refused(403, "insufficient_scope");
        let done = decide(site, &new.key, &placed, "approve").send().await.is(200);
        assert_eq!(done.body["status"], "completed", "{}", done.text);
    }

    async fn of_a_yes_and_a_no_at_once_one_is_heard(site: With::workers()) {
        let world = site.world().await;
        asked_for(site, &world).await;
        ceiling(site, &world.reseller.id, 100).await;
        for _ in 0..6 {
            let placed = order(site, &world.tenant.key, "asked-for", 1).await.is(202).id();
            let decided = ["approve", "reject"].map(|verb| decide(site, &site.operator_key, &placed, verb).send());
            let [yes, no] = decided;
            let (yes, no) = tokio::join!(yes, no);
            let heard = [yes.status / 100, no.status / 100];
            assert!(heard == [2, 4] || heard == [4, 2], "{} {}", yes.text, no.text);
            let status = if heard[0] == 2 { "completed" } else { "rejected" };
            assert_eq!(read(site, &placed).await["status"], status);
        }
        let (_, used, reserved) = taken(site, &site.operator_key, &world.reseller.id).await;
        let orders = site.all(&site.operator_key, "/v1/orders", 50).await;
        let done = orders.iter().filter(|order| order["status"] == "completed").count();
        assert_eq!((used, reserved), (i64::try_from(done).unwrap(), 0));
    }
}

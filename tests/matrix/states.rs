//! What the state of an account makes of its keys, for every operation.

use super::document::{operations, scopes, served};
use super::ground::Ground;
use super::walk::{As, Step, steps};
use super::*;

/// The operation as it is good, of the owner's own key.
fn own(site: &Site, ground: &Ground, step: &Step<'_>) -> Call {
    step.call(site, ground, &As::key(&ground.owner.key), step.row.on.map(|object| ground.id(object)))
}

on_both_servers! {
    /// AUTHZ-7: from above as well
    async fn the_keys_of_a_suspended_account_read_and_those_of_a_closed_one_do_nothing(site: With::no_workers()) {
        let document = served(site).await;
        let all = operations(&document);
        let ground = Ground::new(site, &scopes(&document)).await;
        let suspend = format!("/v1/accounts/{}/suspend", ground.above.id);
        let hold = json!({"reason_code": "payment"});
        site.post(&suspend).key(&site.operator_key).json(hold).send().await.is(202);
        for step in steps(&all) {
            let answer = own(site, &ground, &step).send().await;
            match step.operation.mutates() {
                false => drop(answer.is(200)),
                true => drop(answer.refused(403, "account_suspended")),
            }
        }
        let resume = format!("/v1/accounts/{}/resume", ground.above.id);
        site.post(&resume).key(&site.operator_key).json(json!({})).send().await.is(202);
        let made = json!({"type": "tenant", "name": "After all"});
        site.post("/v1/accounts").key(&ground.owner.key).json(made).send().await.is(201);
        // The API closes no accounts yet.
        site.fresh.tamper(&format!("UPDATE accounts SET status = 'closed' WHERE id = '{}'", ground.owner.id)).await;
        until("the replica has noticed", async || site.get("/v1/me").key(&ground.owner.key).send().await.status == 401).await;
        for step in steps(&all) {
            own(site, &ground, &step).send().await.refused(401, "invalid_token");
        }
    }

    /// AUTHZ-7
    async fn the_operators_own_account_cannot_be_suspended_as_nobody_could_resume_it(site: With::no_workers()) {
        let id = site.get("/v1/me").key(&site.operator_key).send().await.is(200).text_of("/account/id");
        let path = format!("/v1/accounts/{id}/suspend");
        let hold = |effect: &str| json!({"reason_code": "voluntary", "effect": effect});
        let refused = site.post(&path).key(&site.operator_key).json(hold("suspend")).send().await.refused(409, "state_conflict");
        assert_eq!(refused.body["allowed_actions"], json!([]));
        site.post(&path).key(&site.operator_key).json(hold("freeze_changes")).send().await.is(200);
        site.post("/v1/keys").key(&site.operator_key).json(json!({"name": "k", "scopes": ["keys:read"]})).send().await.is(201);
    }
}

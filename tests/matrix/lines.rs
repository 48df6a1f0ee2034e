//! What the walk leaves in the audit where it succeeds: a line for each change, and none for what only reads.

use tenantry::model::Subtree;
use tenantry::store::audit::{self, Line};

use super::document::{operations, scopes, served};
use super::ground::Ground;
use super::table::{By, GRANTING};
use super::walk::{As, steps};
use super::*;

/// All lines of an account.
pub async fn lines(site: &Site, account: &str) -> Vec<Line> {
    let mut conn = site.db.read(Subtree::everything()).await.unwrap();
    audit::after(&mut conn, account.parse().unwrap(), 0, 10_000).await.unwrap()
}

on_both_servers! {
    /// AUD-1, AUD-6, AUTHZ-1: with a key that has the documented scope and no other, each operation succeeds
    async fn each_change_leaves_its_line_and_needs_the_documented_scope_alone(site: With::no_workers()) {
        let document = served(site).await;
        let all = operations(&document);
        let ground = Ground::new(site, &scopes(&document)).await;
        let mut changes = 0;
        for step in steps(&all) {
            let name = &step.operation.name;
            let (own, above) = &ground.alone[step.scope()];
            let (party, key) = match step.row.by {
                By::Owner if GRANTING.contains(&name.as_str()) => (&ground.owner, &ground.owner.key),
                By::Owner => (&ground.owner, own),
                By::Above => (&ground.above, above),
            };
            let answer = step.call(site, &ground, &As::key(key), step.row.on.map(|object| ground.id(object))).send().await;
            assert!((200..300).contains(&answer.status), "{name}: {}", answer.text);
            assert_eq!(answer.header("idempotency-replayed"), None, "{name}");
            let request = answer.header("x-request-id").expect("a request has an identifier");
            let left: Vec<_> = lines(site, &party.id).await.into_iter().filter(|line| line.request_id == request).collect();
            if !step.operation.mutates() && name != "audit_export" {
                // A list that goes beyond the reader's account is told as read, and not as done.
                let left: Vec<_> = left.iter().filter(|line| line.outcome != "read").collect();
                assert!(left.is_empty(), "{name} only reads: {left:?}");
                continue;
            }
            changes += 1;
            assert_eq!(left.len(), 1, "{name} leaves one line: {left:?}");
            let line = &left[0];
            assert_eq!((line.action.as_str(), line.outcome.as_str()), (name.as_str(), "done"));
            assert_eq!((line.principal_id.to_string(), line.detail["status"].as_u64()), (party.id.clone(), Some(answer.status.into())), "{name}");
            assert!(line.resource.as_deref().is_some_and(|resource| !resource.is_empty()), "{name} names no object");
            assert!(line.address.as_deref().is_some_and(|address| address.starts_with("a1.")), "{name}: {line:?}");
        }
        assert!(changes >= 34, "{changes}");
        let whole = tenantry::domain::accounts::audit::verify(&site.db).await.unwrap();
        assert!(whole.broken.is_empty(), "{whole:?}");
    }

    /// AUD-1, AUD-6
    async fn what_anybody_may_change_leaves_its_line_with_whom_it_concerns(site: With::no_workers()) {
        let asked = json!({"name": "found", "scopes": ["orders:read"], "hold_classes": []});
        let found = site.post("/v1/keys").key(&site.operator_key).json(asked).send().await.is(201);
        let report = json!({"key": found.text_at("secret")});
        let answer = site.post("/v1/keys/report_leaked").json(report).send().await.is(202);
        let line = lines(site, &found.text_at("account_id")).await.pop().expect("there is a line");
        assert_eq!((line.action.as_str(), line.resource.as_deref()), ("keys_report_leaked", Some(found.id().as_str())));
        assert_eq!(Some(line.request_id.as_str()), answer.header("x-request-id"));
    }
}

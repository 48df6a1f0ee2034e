//! Members of objects that are not for callers to write, and those that are not for all callers to read.

use std::collections::BTreeSet;

use super::document::{members, operations, scopes, served};
use super::ground::Ground;
use super::walk::{As, steps};
use super::*;

on_both_servers! {
    /// AUTHZ-10
    async fn members_that_are_only_read_are_refused_where_they_are_and_nothing_is_written(site: With::no_workers()) {
        let document = served(site).await;
        let all = operations(&document);
        let ground = Ground::new(site, &scopes(&document)).await;
        let (by, schemas) = (&ground.owner.key, &document["components"]["schemas"]);
        let mut tried = BTreeSet::new();
        for step in steps(&all) {
            let operation = step.operation;
            let (Some(body), Some(answer)) = (&operation.body, &operation.answer) else { continue };
            let told = members(&document, &schemas[answer]);
            if !told.contains_key("id") {
                continue;
            }
            let taken = members(&document, &schemas[body]);
            // An object as it is told, so that each member has a value that it could have.
            let noun = operation.path.rsplit('/').find(|part| step.row.on.is_none() || step.row.on.unwrap().starts_with(part));
            let noun = match (operation.name.as_str(), answer.as_str()) {
                ("resources_create", _) => "resources",
                (_, "Order") => "orders",
                (_, "Batch") => "batches",
                _ => noun.expect("a path has a noun"),
            };
            let object = site.get(&format!("/v1/{noun}?limit=1")).key(by).send().await.is(200).body["data"][0].clone();
            let object = object.as_object().expect("there is one").clone();
            let read: BTreeSet<_> = told.iter().filter(|(_, member)| member["readOnly"] == true).map(|(name, _)| name).collect();
            for name in ["id", "created_at"] {
                assert!(told.get(name).is_none_or(|member| member["readOnly"] == true), "{answer} {name} is not marked");
            }
            assert!(read.iter().all(|name| !taken.contains_key(*name)), "{answer} {body}: {read:?}");
            let before = site.get(&format!("/v1/{noun}?limit=200")).key(by).send().await.is(200).text;
            let fixed: BTreeSet<_> = object.keys().chain(read).filter(|name| !taken.contains_key(*name)).cloned().collect();
            assert!(!fixed.is_empty(), "{}", operation.name);
            for name in fixed {
                let mut body = (step.row.body)(&ground);
                body[&name] = object.get(&name).cloned().unwrap_or(Value::Null);
                let object = step.row.on.map(|object| ground.id(object));
                let refused = step.bare(site, &ground, &As::key(by), object).json(body).send().await;
                let refused = refused.refused(422, "field_not_writable");
                assert_eq!(refused.faults(), [(format!("/{name}"), "field_not_writable".to_owned())], "{}", operation.name);
                tried.insert((operation.name.clone(), name));
            }
            assert_eq!(site.get(&format!("/v1/{noun}?limit=200")).key(by).send().await.is(200).text, before, "{}", operation.name);
        }
        // What the specification names.
        for (operation, member) in [
            ("accounts_create", "status"), ("accounts_update", "parent_id"), ("accounts_update", "type"), ("orders_place", "status"),
            ("keys_create", "status"), ("plans_create", "account_id"), ("servers_update", "account_id"), ("resources_update", "service_id"),
        ] {
            assert!(tried.contains(&(operation.to_owned(), member.to_owned())), "{operation} {member}");
        }
    }

    /// AUTHZ-10, ERR-5: with other faults beside it
    async fn each_member_is_told_at_its_own_place(site: With::no_workers()) {
        let asked = json!({"type": "tenant", "name": "N", "id": "acc_1", "status": "closed", "colour": "red", "a/b~c": 1});
        let refused = site.post("/v1/accounts").key(&site.operator_key).json(asked).send().await.refused(422, "validation_failed");
        let due = [("/a~1b~0c", "unknown_field"), ("/colour", "unknown_field"), ("/id", "field_not_writable"), ("/status", "field_not_writable")];
        assert_eq!(refused.faults(), due.map(|(place, code)| (place.to_owned(), code.to_owned())));
    }
}

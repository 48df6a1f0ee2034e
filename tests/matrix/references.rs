//! What bodies name: an object of somebody else's is as good as none.

use std::collections::BTreeSet;

use super::document::{operations, scopes, served};
use super::ground::{Ground, nothing, plan, signup, terms};
use super::*;
use crate::walk::told;

/// A member of a body that names an object.
struct Reference {
    operation: &'static str,
    /// Where it stands in the body; an item of an array is `*`.
    member: &'static str,
    /// The owner's object that others name there.
    of: &'static str,
    /// A body that is good but for that.
    body: fn(&str) -> Value,
    /// Whether the owner's customers may name it: what it sells, and what they build their own plans on.
    sold: bool,
}

const REFERENCES: &[Reference] = &[
    Reference {
        operation: "accounts_create",
        member: "/parent_id",
        of: "accounts.owner",
        body: |id| json!({"type": "tenant", "name": "Made", "parent_id": id}),
        sold: false,
    },
    Reference {
        operation: "members_create",
        member: "/account_id",
        of: "accounts.owner",
        body: |id| json!({"role": "peer", "name": "M", "email": "m@m.example", "scopes": ["members:write"], "account_id": id}),
        sold: false,
    },
    Reference {
        operation: "signups_create",
        member: "/parent_id",
        of: "accounts.owner",
        body: |id| {
            let mut asked = signup("own-mail", "new@own.example");
            asked["parent_id"] = json!(id);
            asked
        },
        sold: false,
    },
    Reference {
        operation: "accounts_move",
        member: "/parent_id",
        of: "accounts.owner",
        body: |id| json!({"parent_id": id}),
        sold: false,
    },
    Reference {
        operation: "subscriptions_transfer",
        member: "/account_id",
        of: "accounts.owner",
        body: |id| json!({"account_id": id}),
        sold: false,
    },
    Reference {
        operation: "quotas_check",
        member: "/account_id",
        of: "accounts.owner",
        body: |id| json!({"amounts": [{"key": "mail.mailboxes", "amount": 1}], "account_id": id}),
        sold: false,
    },
    Reference {
        operation: "quotas_check",
        member: "/subscription_id",
        of: "subscriptions.own",
        body: |id| json!({"amounts": [{"key": "mail.mailboxes", "amount": 1}], "subscription_id": id}),
        sold: false,
    },
    Reference {
        operation: "quotas_explain",
        member: "/account_id",
        of: "accounts.owner",
        body: |id| json!({"account_id": id}),
        sold: false,
    },
    Reference {
        operation: "quotas_explain",
        member: "/subscription_id",
        of: "subscriptions.own",
        body: |id| json!({"subscription_id": id}),
        sold: false,
    },
    Reference {
        operation: "price_lists_create",
        member: "/buyer_id",
        of: "accounts.shelf",
        body: |id| json!({"name": "Made", "currency": "EUR", "buyer_id": id}),
        sold: false,
    },
    Reference {
        operation: "keys_create",
        member: "/account_id",
        of: "accounts.owner",
        body: |id| json!({"name": "Made", "scopes": ["keys:read"], "account_id": id}),
        sold: false,
    },
    Reference {
        operation: "keys_create",
        member: "/member_id",
        of: "members.own",
        body: |id| json!({"name": "Made", "scopes": ["members:write"], "hold_classes": [], "member_id": id}),
        sold: false,
    },
    Reference {
        operation: "storefront_keys_create",
        member: "/account_id",
        of: "accounts.owner",
        body: |id| json!({"name": "Made", "origins": ["https://made.example"], "account_id": id}),
        sold: false,
    },
    Reference {
        operation: "keys_create",
        member: "/roots/*",
        of: "accounts.owner",
        body: |id| json!({"name": "Made", "scopes": ["keys:read"], "roots": [id]}),
        sold: false,
    },
    Reference {
        operation: "quotes_create",
        member: "/account_id",
        of: "accounts.owner",
        body: |id| json!({"account_id": id, "items": [{"action": "add", "plan": "own"}]}),
        sold: false,
    },
    Reference {
        operation: "quotes_create",
        member: "/items/*/subscription_id",
        of: "subscriptions.own",
        body: |id| json!({"items": [{"action": "change", "subscription_id": id, "quantity": 4}]}),
        sold: false,
    },
    Reference {
        operation: "quotes_create",
        member: "/items/*/plan",
        of: "plans.own",
        body: |id| json!({"items": [{"action": "add", "plan": id}]}),
        sold: true,
    },
    Reference {
        operation: "orders_place",
        member: "/quote_id",
        of: "quotes.own",
        body: |id| json!({"quote_id": id, "items": [{"action": "add", "plan": "own"}]}),
        sold: false,
    },
    Reference {
        operation: "batches_create",
        member: "/items/*/account_id",
        of: "accounts.owner",
        body: |id| json!({"items": [{"method": "DELETE", "path": "/v1/members/own", "account_id": id}]}),
        sold: false,
    },
    Reference {
        operation: "batches_preview",
        member: "/account_id",
        of: "accounts.owner",
        body: |id| json!({"account_id": id, "request": {"method": "POST", "path": "/v1/services/{id}/suspend"}}),
        sold: false,
    },
    Reference {
        operation: "reconcile_runs_create",
        member: "/account_id",
        of: "accounts.owner",
        body: |id| json!({"account_id": id}),
        sold: false,
    },
    Reference {
        operation: "quota_requests_create",
        member: "/account_id",
        of: "accounts.owner",
        body: |id| json!({"account_id": id, "key": "web.sites", "ceiling": 2_000_000_000_i64}),
        sold: false,
    },
    Reference {
        operation: "orders_place",
        member: "/account_id",
        of: "accounts.owner",
        body: |id| json!({"account_id": id, "items": [{"action": "add", "plan": "own"}]}),
        sold: false,
    },
    Reference {
        operation: "orders_place",
        member: "/items/*/subscription_id",
        of: "subscriptions.own",
        body: |id| json!({"items": [{"action": "change", "subscription_id": id, "quantity": 4}]}),
        sold: false,
    },
    Reference {
        operation: "subscriptions_change_plan",
        member: "/quote_id",
        of: "quotes.own",
        body: |id| json!({"quote_id": id, "plan": "own"}),
        sold: false,
    },
    Reference {
        operation: "subscriptions_change_quantity",
        member: "/quote_id",
        of: "quotes.own",
        body: |id| json!({"quote_id": id, "quantity": 4}),
        sold: false,
    },
    Reference {
        operation: "subscriptions_change_addon",
        member: "/quote_id",
        of: "quotes.own",
        body: |id| json!({"quote_id": id, "addon": "own", "quantity": 1}),
        sold: false,
    },
    Reference {
        operation: "addons_create",
        member: "/terms/plan_ids/*",
        of: "plans.own",
        body: |id| of_plan(id, json!({"code": "made", "name": "Made"})),
        sold: true,
    },
    Reference {
        operation: "addons_update",
        member: "/terms/plan_ids/*",
        of: "plans.own",
        body: |id| of_plan(id, json!({})),
        sold: true,
    },
    // Texts, as plans and add-ons can be named by their codes as well.
    Reference {
        operation: "orders_place",
        member: "/items/*/addons/*/addon",
        of: "addons.own",
        body: |id| json!({"items": [{"action": "add", "plan": "own", "addons": [{"addon": id, "quantity": 1}]}]}),
        sold: true,
    },
    Reference {
        operation: "orders_place",
        member: "/items/*/plan",
        of: "plans.own",
        body: |id| json!({"items": [{"action": "add", "plan": id}]}),
        sold: true,
    },
    Reference {
        operation: "plans_create",
        member: "/terms/virtual_server_id",
        of: "virtual_servers.own",
        body: |id| plan(id, "made"),
        sold: true,
    },
    Reference {
        operation: "plans_add_version",
        member: "/terms/virtual_server_id",
        of: "virtual_servers.own",
        body: |id| json!({"terms": terms(id)}),
        sold: true,
    },
    Reference {
        operation: "virtual_servers_create",
        member: "/placement/*/server_id",
        of: "servers.own",
        body: |id| json!({"name": "Made", "placement": [{"service_type": "mail", "server_id": id}]}),
        sold: true,
    },
];

/// An add-on for one plan.
fn of_plan(id: &str, mut asked: Value) -> Value {
    asked["terms"] = json!({"quotas": [{"key": "mail.mailboxes", "per_unit": 1}], "plan_ids": [id]});
    asked
}

/// The places in a schema where identifiers stand.
fn places(document: &Value, schema: &Value, at: &str, open: &mut Vec<String>, found: &mut BTreeSet<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap_or_default().to_owned();
        if name.ends_with("Id") {
            found.insert(at.to_owned());
        } else if !open.contains(&name) {
            open.push(name);
            places(document, document.pointer(&reference[1..]).expect("it resolves"), at, open, found);
            open.pop();
        }
        return;
    }
    for kind in ["allOf", "oneOf", "anyOf"] {
        for part in schema[kind].as_array().into_iter().flatten() {
            places(document, part, at, open, found);
        }
    }
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        places(document, member, &format!("{at}/{name}"), open, found);
    }
    if schema["items"].is_object() {
        places(document, &schema["items"], &format!("{at}/*"), open, found);
    }
}

#[test]
fn each_place_in_a_body_that_names_an_object_is_tried() {
    let document = tenantry::api::document();
    let tried = |operation: &str, member: &str| {
        REFERENCES.iter().any(|it| it.operation == operation && it.member == member)
    };
    let mut count = 0;
    for operation in operations(&document) {
        let Some(body) = &operation.body else { continue };
        let mut found = BTreeSet::new();
        places(&document, &document["components"]["schemas"][body], "", &mut Vec::new(), &mut found);
        count += found.len();
        for member in found {
            assert!(
                tried(&operation.name, &member),
                "{} {member} is not among the references",
                operation.name
            );
        }
    }
    assert!(count >= 7, "{count}");
}

/// A plan of the party's own, on a server of its own.
async fn own_plan(site: &Site, by: &str) -> String {
    let make = async |noun: &str, asked: Value| {
        site.post(&format!("/v1/{noun}")).key(by).json(asked).send().await.is(201).id()
    };
    let root = site.folder.join("own");
    let server =
        make("servers", json!({"name": "own", "connector": "files", "settings": {"root": root}})).await;
    let placement: Vec<_> =
        ["mail", "dns"].map(|kind| json!({"service_type": kind, "server_id": server})).into();
    let virtual_server = make("virtual_servers", json!({"name": "own", "placement": placement})).await;
    make("plans", plan(&virtual_server, "own")).await
}

on_both_servers! {
    /// AUTHZ-2, AUTHZ-3, ISO-4, ISO-6
    async fn a_body_that_names_what_is_not_the_callers_is_refused_as_if_it_named_nothing(site: With::no_workers()) {
        let document = served(site).await;
        let all = operations(&document);
        let ground = Ground::new(site, &scopes(&document)).await;
        for (role, party) in [("sibling", &ground.sibling), ("other", &ground.other), ("below", &ground.below)] {
            let plan = own_plan(site, &party.key).await;
            for reference in REFERENCES.iter().filter(|it| !it.sold || role != "below") {
                let operation = all.iter().find(|it| it.name == reference.operation).expect("it is in the document");
                let path = operation.path.replace("{id}", &plan);
                let send = |id: &str| {
                    let call = operation.call(site, &path).key(&party.key);
                    call.idem(&format!("{id}{}", reference.member.len())).json((reference.body)(id)).send()
                };
                let place = format!("{} {} as {role}", reference.operation, reference.member);
                let before = everything(site, &ground).await;
                let object = ground.id(reference.of);
                let refused = send(object).await;
                assert!([404, 422].contains(&refused.status), "{place}: {}", refused.text);
                let none = nothing(object);
                let same = send(&none).await;
                // What the caller sent may be told back to it.
                let same = Answer { text: same.text.replace(&none, object), ..same };
                assert_eq!(told(&refused), told(&same), "{place}");
                assert_eq!(everything(site, &ground).await, before, "{place}");
            }
        }
    }
}

/// The owner's lists, whole.
async fn everything(site: &Site, ground: &Ground) -> Vec<String> {
    let mut all = Vec::new();
    for noun in ["accounts", "orders", "subscriptions", "services", "plans", "virtual_servers", "operations"]
    {
        let list = site.get(&format!("/v1/{noun}?limit=200")).key(&ground.owner.key).send().await.is(200);
        all.push(list.text);
    }
    all
}

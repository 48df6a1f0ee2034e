//! A storefront's key on every operation of the document: it opens those that it is for, and nothing else.

use super::document::{operations, scopes, served};
use super::ground::Ground;
use super::table::PUBLIC;
use super::walk::{As, steps};
use super::*;

/// What everybody may do who reads a shop's pages.
const OPEN: [&str; 7] = [
    "branding_get",
    "plans_list",
    "plans_get",
    "catalog_list",
    "catalog_addons",
    "signups_create",
    "signups_verify",
];
const PAGE: &str = "https://own.example";

on_both_servers! {
    /// AUTHZ-1, KEY-1: the list is as long as this test says, and what is new in the document is not on it.
    async fn a_storefronts_key_opens_what_is_published_and_no_other_operation(site: With::no_workers()) {
        let document = served(site).await;
        let all = operations(&document);
        let ground = Ground::new(site, &scopes(&document)).await;
        let place = format!("/v1/storefront_keys/{}", ground.id("storefront_keys.own"));
        let caps = json!({"requests_per_minute": 6000, "requests_per_minute_per_address": 600, "signups_per_hour": 9});
        let key = site.patch(&place).key(&ground.owner.key).json(caps).send().await.is(200).text_at("key");
        let mut open = Vec::new();
        for step in steps(&all) {
            let name = step.operation.name.as_str();
            let call = || step.call(site, &ground, &As::key(&key), step.row.on.map(|object| ground.id(object)));
            call().send().await.refused(403, "origin_not_allowed");
            call().header("Origin", "https://other.example").send().await.refused(403, "origin_not_allowed");
            let answer = call().header("Origin", PAGE).send().await;
            match answer.status {
                200..=299 => open.push(name.to_owned()),
                _ => drop(answer.refused(403, "insufficient_scope")),
            }
        }
        assert_eq!(open, OPEN);
        // Where nobody needs a credential it changes nothing; where clients show themselves it is none.
        for operation in all.iter().filter(|it| it.is_oauth() || PUBLIC.contains(&it.name.as_str())) {
            let answer = site.call(operation.method.clone(), &operation.path).key(&key).header("Origin", PAGE).send().await;
            let own = site.call(operation.method.clone(), &operation.path).send().await;
            assert_eq!(answer.status, own.status, "{}", operation.name);
            assert!(answer.header("access-control-allow-origin").is_none(), "{}", operation.name);
        }
    }
}

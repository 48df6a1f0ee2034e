//! Why a mailbox is off, in one call.

use super::subscriptions::call;
use super::*;

async fn service(site: &Site, by: &str, id: &str) -> Answer {
    site.get(&format!("/v1/services/{id}/timeline?limit=200")).key(by).send().await.is(200)
}

async fn subscription(site: &Site, by: &str, id: &str) -> Answer {
    site.get(&format!("/v1/subscriptions/{id}/timeline?limit=200")).key(by).send().await.is(200)
}

/// What happened, the first first.
fn types(timeline: &Answer) -> Vec<&str> {
    let events = timeline.body["data"].as_array().expect("a timeline has data");
    events.iter().rev().map(|event| event["type"].as_str().expect("an event has a type")).collect()
}

fn holds(timeline: &Answer) -> Vec<&Value> {
    let holds = timeline.body["holds"].as_array().expect("a timeline has holds");
    holds.iter().map(|hold| &hold["reason_code"]).collect()
}

on_both_servers! {
    /// S3
    async fn a_service_tells_in_one_call_why_it_is_off_and_how_that_came_about(site: With::workers()) {
        let world = site.world().await;
        let (tenant, reseller) = (&world.tenant, &world.reseller);
        let ordered = site.ordered(tenant, "acme.example", 2).await;
        let place = format!("/v1/services/{}/resources", ordered.mail);
        let mailbox = site.post(&place).key(&tenant.key).wait(20).json(mailbox("a@acme.example")).send().await.is(201).id();
        let told = service(site, &tenant.key, &ordered.mail).await;
        assert_eq!((told.text_of("/service/id"), &told.body["service"]["access"]), (ordered.mail.clone(), &json!("full")));
        assert_eq!(holds(&told), Vec::<&Value>::new());
        let begun = types(&told);
        for event_type in ["order.created", "order.completed", "subscription.activated", "service.provisioned", "resource.created"] {
            assert!(begun.contains(&event_type), "{event_type}: {begun:?}");
        }
        assert!(told.text.contains(&mailbox));
        let of_others = told.body["data"].as_array().unwrap().iter().filter(|event| event["resource"]["id"] == ordered.dns.as_str());
        assert_eq!(of_others.count(), 0, "what happened to another service is another timeline's");

        let overdue = json!({"reason_code": "payment.card_failed"});
        site.post(&format!("/v1/subscriptions/{}/suspend", ordered.subscription)).key(&reseller.key).wait(20).json(overdue).send().await.is(200);
        let told = service(site, &tenant.key, &ordered.mail).await;
        assert_eq!((&told.body["service"]["access"], holds(&told)), (&json!("suspended"), vec![&json!("payment.card_failed")]));
        let then = types(&told)[begun.len()..].to_vec();
        assert_eq!((then[0], then.contains(&"service.suspended")), ("hold.placed", true), "{then:?}");
        let placed = told.body["data"].as_array().unwrap().iter().find(|event| event["type"] == "hold.placed").unwrap();
        assert_eq!(placed["cause"]["reason_code"], "payment.card_failed");

        // Of a hold above, what came of it is told, and that it is there; whose it is stays with those above.
        site.post(&format!("/v1/subscriptions/{}/resume", ordered.subscription)).key(&reseller.key).wait(20).send().await.is(200);
        let abuse = json!({"reason_code": "abuse", "reason": "spam from the reseller's customers"});
        site.post(&format!("/v1/accounts/{}/suspend", reseller.id)).key(&site.operator_key).wait(20).json(abuse).send().await.is(200);
        let told = service(site, &tenant.key, &ordered.mail).await;
        let last = types(&told).into_iter().rfind(|told| told.starts_with("service."));
        assert_eq!((holds(&told), last), (vec![&json!("abuse")], Some("service.suspended")));
        assert!(!told.text.contains("spam") && !told.text.contains(&reseller.id), "{}", told.text);
        let above = service(site, &site.operator_key, &ordered.mail).await;
        assert!(above.text.contains("spam"));
    }

    async fn a_subscription_tells_of_all_that_is_in_it_page_by_page(site: With::workers()) {
        let world = site.world().await;
        let by = &world.tenant.key;
        let ordered = site.ordered(&world.tenant, "acme.example", 2).await;
        site.ordered(&world.tenant, "other.example", 1).await;
        call(site, by, &ordered.subscription, "change_quantity").json(json!({"quantity": 3})).send().await.is(201);
        call(site, by, &ordered.subscription, "cancel").wait(20).json(json!({"when": "now"})).send().await.is(200);
        let whole = subscription(site, by, &ordered.subscription).await;
        assert_eq!((&whole.body["subscription"]["status"], holds(&whole)), (&json!("cancelled"), vec![&json!("ended.cancelled")]));
        let told = types(&whole);
        for event_type in ["order.created", "service.provisioned", "subscription.quantity_changed", "subscription.cancelled", "service.suspended"] {
            assert!(told.contains(&event_type), "{event_type}: {told:?}");
        }
        assert_eq!(told.iter().filter(|told| **told == "order.completed").count(), 1, "the other order is not this subscription's: {told:?}");
        let page = site.all(by, &format!("/v1/subscriptions/{}/timeline", ordered.subscription), 3).await;
        assert_eq!(&page, whole.body["data"].as_array().unwrap(), "the pages are the whole");
        let places: Vec<_> = page.iter().map(|event| event["sequence"].as_i64().unwrap()).collect();
        assert!(places.is_sorted_by(|one, next| one > next), "{places:?}");
    }

    async fn who_is_given_a_subscription_sees_nothing_of_what_happened_before(site: With::workers()) {
        let world = site.world().await;
        let ordered = site.ordered(&world.tenant, "acme.example", 1).await;
        let other = site.account(&world.reseller.key, "tenant", "Other").await;
        call(site, &world.reseller.key, &ordered.subscription, "transfer").json(json!({"account_id": other.id})).send().await.is(200);
        for told in [subscription(site, &other.key, &ordered.subscription).await, service(site, &other.key, &ordered.mail).await] {
            let of: Vec<_> = told.body["data"].as_array().unwrap().iter().map(|event| &event["account_id"]).collect();
            assert!(!of.is_empty() && of.iter().all(|of| **of == other.id.as_str()), "{of:?}");
        }
        let above = subscription(site, &world.reseller.key, &ordered.subscription).await;
        assert!(types(&above).contains(&"order.created"), "those above both see all of it");
    }

    async fn a_timeline_is_seen_by_who_sees_the_thing(site: With::no_workers()) {
        let world = site.world().await;
        let order = add("hosted-mail", 1, json!([]));
        let placed = site.post("/v1/orders").key(&world.tenant.key).json(order).send().await.is(202);
        let item = &placed.body["items"][0];
        let places = [
            format!("/v1/subscriptions/{}/timeline", item["subscription_id"].as_str().unwrap()),
            format!("/v1/services/{}/timeline", item["service_ids"][0].as_str().unwrap()),
        ];
        let other = site.account(&site.operator_key, "reseller", "Other").await;
        for place in places {
            for (key, status) in [(&world.tenant.key, 200), (&world.reseller.key, 200), (&other.key, 404)] {
                assert_eq!(site.get(&place).key(key).send().await.status, status);
            }
        }
        site.get("/v1/services/svc_none/timeline").key(&world.tenant.key).send().await.refused(404, "not_found");
    }
}

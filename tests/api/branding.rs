//! Private label: under which name and with which looks each seller sells.

use super::*;

async fn set(site: &Site, by: &str, account: &str, branding: Value) -> Answer {
    site.put(&format!("/v1/accounts/{account}/branding")).key(by).json(branding).send().await
}

async fn seen(site: &Site, by: &str) -> Answer {
    site.get("/v1/branding").key(by).send().await.is(200)
}

on_both_servers! {
    /// M5
    async fn each_customer_sees_the_nearest_seller_who_says_something_and_never_the_operator_behind_a_reseller(site: With::no_workers()) {
        let world = site.world().await;
        let (by, reseller, tenant) = (&site.operator_key, &world.reseller, &world.tenant);
        let of_operator = json!({"name": "Backbone", "logo_url": "https://backbone.example/logo.svg", "support_phone": "+4930123456"});
        set(site, by, &world.operator.id, of_operator).await.is(200);
        let direct = site.account(by, "tenant", "Direct").await;
        let told = seen(site, &direct.key).await;
        assert_eq!((&told.body["name"], &told.body["logo_url"]), (&json!("Backbone"), &json!("https://backbone.example/logo.svg")));

        // Behind a reseller that says nothing there is nothing to see.
        for key in [&reseller.key, &tenant.key] {
            let told = seen(site, key).await;
            assert_eq!((&told.body["name"], &told.body["logo_url"], &told.body["support_phone"]), (&Value::Null, &Value::Null, &Value::Null));
            assert!(!told.text.contains("ackbone"), "{}", told.text);
        }
        let of_reseller = json!({"name": "Acme Mail", "primary_color": "#1a6fb0", "domains": ["panel.acme.example"], "support_email": "help@acme.example"});
        let put = set(site, &reseller.key, &reseller.id, of_reseller.clone()).await.is(200);
        assert_eq!((&put.body["own"]["name"], &put.body["own"]["logo_url"], &put.body["effective"]["name"]), (&json!("Acme Mail"), &Value::Null, &json!("Acme Mail")));
        let told = seen(site, &tenant.key).await;
        assert_eq!((&told.body["name"], &told.body["domains"]), (&json!("Acme Mail"), &json!(["panel.acme.example"])));

        // What a sub-reseller leaves out it has of its seller.
        let sub = site.account(&reseller.key, "reseller", "Sub").await;
        let customer = site.account(&sub.key, "tenant", "Customer").await;
        assert_eq!(seen(site, &customer.key).await.body, told.body);
        set(site, &sub.key, &sub.id, json!({"name": "Sub Mail"})).await.is(200);
        let told = seen(site, &customer.key).await;
        assert_eq!((&told.body["name"], &told.body["primary_color"], &told.body["logo_url"]), (&json!("Sub Mail"), &json!("#1a6fb0"), &Value::Null));
        assert_eq!(seen(site, &tenant.key).await.body["name"], "Acme Mail");
        set(site, &sub.key, &sub.id, json!({})).await.is(200);
        let shown = site.get(&format!("/v1/accounts/{}/branding", sub.id)).key(&reseller.key).send().await.is(200);
        assert_eq!((&shown.body["own"], &shown.body["effective"]["name"]), (&Value::Null, &json!("Acme Mail")));
        let events = crate::told(site, &reseller.key, "branding.updated").await;
        assert_eq!(events.len(), 3, "those of the reseller and what is below it");
        assert_eq!((&events[0]["data"]["previous"]["name"], &events[0]["data"]["object"]["name"]), (&Value::Null, &json!("Acme Mail")));
    }

    async fn a_shops_pages_show_the_branding_of_whose_shop_it_is(site: With::no_workers()) {
        let world = site.world().await;
        set(site, &world.reseller.key, &world.reseller.id, json!({"name": "Acme Mail"})).await.is(200);
        let shop = json!({"name": "shop", "origins": ["https://shop.example"]});
        let shop = site.post("/v1/storefront_keys").key(&world.reseller.key).json(shop).send().await.is(201).text_at("key");
        let told = site.get("/v1/branding").key(&shop).header("Origin", "https://shop.example").send().await.is(200);
        assert_eq!(told.body["name"], "Acme Mail");
        site.get(&format!("/v1/accounts/{}/branding", world.reseller.id)).key(&shop).header("Origin", "https://shop.example").send().await.refused(403, "insufficient_scope");
    }

    async fn a_branding_that_is_none_is_refused_with_all_that_is_wrong_with_it(site: With::no_workers()) {
        let world = site.world().await;
        let (reseller, tenant) = (&world.reseller, &world.tenant);
        let wrong = json!({
            "logo_url": "http://acme.example/logo.svg", "icon_url": "https://me:secret@acme.example/i.png", "primary_color": "blue", "support_email": "nobody",
            "support_phone": "030 123", "domains": ["Panel.acme.example", "localhost"], "sender_name": "two\nlines",
        });
        let refused = set(site, &reseller.key, &reseller.id, wrong).await.refused(422, "validation_failed");
        let mut at: Vec<_> = refused.faults().into_iter().map(|fault| fault.0).collect();
        at.sort();
        let all = ["/domains/0", "/domains/1", "/icon_url", "/logo_url", "/primary_color", "/sender_name", "/support_email", "/support_phone"];
        assert_eq!(at, all);
        set(site, &reseller.key, &tenant.id, json!({"name": "Tenant"})).await.refused(409, "state_conflict");
        let tag = site.get(&format!("/v1/accounts/{}/branding", reseller.id)).key(&reseller.key).send().await.header("etag").unwrap().to_owned();
        set(site, &reseller.key, &reseller.id, json!({"name": "One"})).await.is(200);
        let late = site.put(&format!("/v1/accounts/{}/branding", reseller.id)).key(&reseller.key).header("If-Match", &tag);
        late.json(json!({"name": "Two"})).send().await.refused(412, "precondition_failed");
    }
}

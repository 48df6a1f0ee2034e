//! What a plan costs whom, as it is sold on from account to account.

use super::*;

/// A channel of four sellers and a customer, and a plan of the operator's for mailboxes by the seat.
pub struct Channel {
    pub world: World,
    pub distributor: Party,
    pub reseller: Party,
    pub sub: Party,
    pub tenant: Party,
    pub plan: String,
}

impl Channel {
    pub async fn new(site: &Site) -> Self {
        let world = site.world().await;
        let distributor = site.account(&site.operator_key, "distributor", "Distributor").await;
        let reseller = site.account(&distributor.key, "reseller", "Reseller").await;
        let sub = site.account(&reseller.key, "reseller", "Sub-reseller").await;
        let tenant = site.account(&sub.key, "tenant", "Customer").await;
        let plan = seats(site, &world.virtual_server, "seats").await;
        Self { world, distributor, reseller, sub, tenant, plan }
    }
}

/// A plan with a price for each seat, one for setting it up and one for each GB used.
pub async fn seats(site: &Site, virtual_server: &str, code: &str) -> String {
    let plan = json!({"code": code, "name": "Seats", "terms": {
        "virtual_server_id": virtual_server,
        "services": [{"type": "mail"}],
        "quotas": [],
        "components": [
            {"code": "seat", "name": "Mailbox", "billing": "per_seat"},
            {"code": "setup", "name": "Set-up", "billing": "one_time"},
            {"code": "storage", "name": "Storage", "billing": "usage", "measures": "mail.storage_mb", "per": 1024},
        ],
    }});
    site.post("/v1/plans").key(&site.operator_key).json(plan).send().await.is(201).id()
}

pub async fn list(site: &Site, by: &str, asked: Value) -> String {
    let mut body = json!({"name": "Retail", "currency": "EUR"});
    body.as_object_mut().unwrap().extend(asked.as_object().unwrap().clone());
    site.post("/v1/price_lists").key(by).json(body).send().await.is(201).id()
}

pub fn set(site: &Site, by: &str, list: &str, plan: &str, body: Value) -> Call {
    site.put(&format!("/v1/price_lists/{list}/prices/{plan}")).anyway().key(by).json(body)
}

/// Fixed prices for the plan of [`seats`].
pub fn fixed(seat: Value, setup: i64, storage: i64) -> Value {
    let flat = |amount: i64| json!({"tiers": [{"from": 1, "amount": amount}]});
    json!({"rule": {"kind": "fixed", "components": {"seat": {"tiers": seat}, "setup": flat(setup), "storage": flat(storage)}}})
}

/// What the account pays for the plan: none if it is not sold to it.
pub async fn pays(site: &Site, by: &str, account: Option<&str>, plan: &str) -> Option<Value> {
    let whose = account.map(|id| format!("&account={id}")).unwrap_or_default();
    let told = site.get(&format!("/v1/catalog?limit=200{whose}")).key(by).send().await.is(200);
    let told = told.body["data"].as_array().unwrap().clone();
    told.into_iter().find(|item| item["id"] == plan).map(|item| item["price"].clone())
}

/// The currency, and the amounts of each component's tiers.
pub fn amounts(price: &Option<Value>) -> (String, Vec<Vec<i64>>) {
    let price = price.as_ref().expect("it is sold");
    let of = |component: &Value| {
        let tiers = component["tiers"].as_array().unwrap().iter();
        tiers
            .map(|tier| {
                assert_eq!(tier["unit_price"]["currency"], price["currency"]);
                tier["unit_price"]["amount"].as_i64().unwrap()
            })
            .collect()
    };
    let currency = price["currency"].as_str().unwrap().to_owned();
    (currency, price["components"].as_array().unwrap().iter().map(of).collect())
}

fn costs(currency: &str, seat: &[i64], setup: i64, storage: i64) -> (String, Vec<Vec<i64>>) {
    (currency.to_owned(), vec![seat.to_vec(), vec![setup], vec![storage]])
}

on_both_servers! {
    /// P7, P8
    async fn each_seller_makes_of_what_it_pays_what_its_customers_pay(site: With::no_workers()) {
        let Channel { distributor, reseller, sub, tenant, plan, .. } = Channel::new(site).await;
        let root = &site.operator_key;
        assert_eq!(pays(site, &tenant.key, None, &plan).await, Some(Value::Null), "nobody has set a price");
        let wholesale = list(site, root, json!({})).await;
        let tiers = json!([{"from": 1, "amount": 500}, {"from": 250, "amount": 433}]);
        set(site, root, &wholesale, &plan, fixed(tiers, 1_000, 7)).send().await.is(200);
        list(site, &distributor.key, json!({"adjustment": {"kind": "marked_up", "basis_points": 1250}})).await;
        let dollars = json!({"currency": "USD", "exchange_rate": "1.085", "adjustment": {"kind": "marked_up", "basis_points": 2000}});
        list(site, &reseller.key, dollars).await;
        let local = list(site, &sub.key, json!({"currency": "JPY"})).await;
        set(site, &sub.key, &local, &plan, fixed(json!([{"from": 1, "amount": 990}]), 0, 50)).send().await.is(200);

        // 562.5, 487.125, 1125 and 7.875, each rounded once, halves up.
        let bought = pays(site, &distributor.key, None, &plan).await;
        assert_eq!(amounts(&bought), costs("EUR", &[500, 433], 1_000, 7));
        assert_eq!(amounts(&pays(site, &reseller.key, None, &plan).await), costs("EUR", &[563, 487], 1_125, 8));
        // 563 * 1.085 * 1.2 is 733.026; 487: 634.074; 1125: 1464.75; 8: 10.416.
        assert_eq!(amounts(&pays(site, &sub.key, None, &plan).await), costs("USD", &[733, 634], 1_465, 10));
        assert_eq!(amounts(&pays(site, &tenant.key, None, &plan).await), costs("JPY", &[990], 0, 50));
        // Those above see it as it is seen below, and nobody sees what is above or beside.
        for by in [root, &distributor.key, &reseller.key, &sub.key] {
            assert_eq!(amounts(&pays(site, by, Some(&tenant.id), &plan).await), costs("JPY", &[990], 0, 50));
        }
        for above in [&sub.id, &reseller.id] {
            site.get(&format!("/v1/catalog?account={above}")).key(&tenant.key).send().await.refused(404, "account_not_found");
        }
        let own = bought.unwrap();
        assert_eq!(own["components"][2]["measures"], "mail.storage_mb");
        assert_eq!((&own["components"][0]["tiers"][1]["from"], &own["components"][2]["per"]), (&json!(250), &json!(1024)));
        // Whoever owns the plan pays nothing for it.
        let operator = site.get("/v1/me").key(root).send().await.is(200).text_of("/account/id");
        assert_eq!(pays(site, root, Some(&operator), &plan).await, Some(Value::Null));
    }

    /// P7
    async fn what_a_seller_does_not_offer_is_offered_by_nobody_below(site: With::no_workers()) {
        let Channel { world, distributor, reseller, sub, tenant, plan } = Channel::new(site).await;
        let other = seats(site, &world.virtual_server, "others").await;
        let chosen = list(site, &distributor.key, json!({"offers": "listed"})).await;
        for below in [&reseller, &tenant] {
            assert_eq!(pays(site, &below.key, None, &plan).await, None);
        }
        let taken_over = json!({"rule": {"kind": "taken_over"}});
        set(site, &distributor.key, &chosen, &plan, taken_over.clone()).send().await.is(200);
        let own = list(site, &sub.key, json!({})).await;
        set(site, &sub.key, &own, &plan, fixed(json!([{"from": 1, "amount": 9}]), 1, 1)).send().await.is(200);
        assert_eq!(pays(site, &reseller.key, None, &plan).await, Some(Value::Null));
        assert_eq!(amounts(&pays(site, &tenant.key, None, &plan).await), costs("EUR", &[9], 1, 1));
        assert_eq!(pays(site, &tenant.key, None, &other).await, None, "it is not among those offered");
        set(site, &distributor.key, &chosen, &plan, json!({"rule": {"kind": "withheld"}})).send().await.is(200);
        assert_eq!(pays(site, &tenant.key, None, &plan).await, None, "a price below is none where nothing is sold");
        set(site, &distributor.key, &chosen, &plan, json!({"rule": {"kind": "unlisted"}})).send().await.is(200);
        assert_eq!(pays(site, &reseller.key, None, &plan).await, None);
        site.delete(&format!("/v1/price_lists/{chosen}")).key(&distributor.key).send().await.is(204);
        assert_eq!(amounts(&pays(site, &tenant.key, None, &plan).await), costs("EUR", &[9], 1, 1));
        assert_eq!(pays(site, &distributor.key, None, &plan).await, Some(Value::Null));
    }

    async fn a_customer_with_a_list_of_its_own_pays_by_that(site: With::no_workers()) {
        let Channel { reseller, sub, tenant, plan, .. } = Channel::new(site).await;
        let general = list(site, &reseller.key, json!({})).await;
        let special = list(site, &reseller.key, json!({"buyer_id": sub.id, "currency": "CHF"})).await;
        for (list, seat) in [(&general, 800), (&special, 700)] {
            let price = fixed(json!([{"from": 1, "amount": seat}]), 0, 0);
            set(site, &reseller.key, list, &plan, price).send().await.is(200);
        }
        let beside = site.account(&reseller.key, "tenant", "Beside").await;
        assert_eq!(amounts(&pays(site, &beside.key, None, &plan).await), costs("EUR", &[800], 0, 0));
        for below in [&sub, &tenant] {
            assert_eq!(amounts(&pays(site, &below.key, None, &plan).await), costs("CHF", &[700], 0, 0));
        }
        // Whom it buys from now says what it pays.
        let asked = json!({"parent_id": reseller.id});
        let moved = site.post(&format!("/v1/accounts/{}/move", tenant.id)).key(&site.operator_key).json(asked);
        moved.send().await.is(200);
        assert_eq!(amounts(&pays(site, &tenant.key, None, &plan).await), costs("EUR", &[800], 0, 0));
        // Of everybody there is one list, and one more of each customer.
        for (asked, name) in [(json!({}), "all customers"), (json!({"buyer_id": sub.id}), &sub.id)] {
            let mut body = json!({"name": "Twice", "currency": "EUR"});
            body.as_object_mut().unwrap().extend(asked.as_object().unwrap().clone());
            let twice = site.post("/v1/price_lists").key(&reseller.key).json(body).send().await.refused(409, "name_taken");
            assert!(twice.text.contains(name), "{}", twice.text);
        }
    }

    async fn a_price_set_for_later_is_paid_from_then_on_and_can_be_taken_back_until_then(site: With { workers: false, ..With::clock() }) {
        let Channel { distributor, plan, .. } = Channel::new(site).await;
        let root = &site.operator_key;
        let wholesale = list(site, root, json!({})).await;
        let price = |seat: i64| fixed(json!([{"from": 1, "amount": seat}]), 0, 0);
        let seat = async || amounts(&pays(site, &distributor.key, None, &plan).await).1[0][0];
        set(site, root, &wholesale, &plan, price(100)).send().await.is(200);
        let hour = Duration::from_secs(3600);
        let later = |hours: u32, seat: i64| {
            let mut body = price(seat);
            body["valid_from"] = json!(site.clock.now().plus(hour * hours));
            body
        };
        for (hours, seat) in [(2, 120), (1, 110), (3, 130)] {
            set(site, root, &wholesale, &plan, later(hours, seat)).send().await.is(200);
        }
        let prices = format!("/v1/price_lists/{wholesale}/prices");
        let all = site.all(root, &prices, 2).await;
        let amounts: Vec<_> = all.iter().map(|entry| entry["rule"]["components"]["seat"]["tiers"][0]["amount"].clone()).collect();
        assert_eq!(amounts, [100, 110, 120, 130], "by time");
        let place = |at: usize| format!("{prices}/{plan}?valid_from={}", all[at]["valid_from"].as_str().unwrap());
        assert_eq!(seat().await, 100);
        site.clock.advance(hour);
        assert_eq!(seat().await, 110);
        site.delete(&place(1)).anyway().key(root).send().await.refused(409, "state_conflict");
        site.delete(&place(2)).anyway().key(root).send().await.is(204);
        site.delete(&place(2)).anyway().key(root).send().await.refused(404, "not_found");
        site.clock.advance(hour);
        assert_eq!(seat().await, 110);
        site.clock.advance(hour);
        assert_eq!(seat().await, 130);
        let mut past = price(1);
        past["valid_from"] = all[0]["valid_from"].clone();
        let refused = set(site, root, &wholesale, &plan, past).send().await.refused(422, "validation_failed");
        assert_eq!(refused.faults(), [("/valid_from".into(), "in_the_past".into())]);
        let withdrawn = told(site, root, "price.withdrawn").await;
        assert_eq!((withdrawn.len(), &withdrawn[0]["data"]["object"]["valid_from"]), (1, &all[2]["valid_from"]));
        assert_eq!(told(site, root, "price.set").await.len(), 4);
    }

    /// KEY-1
    async fn a_storefront_shows_what_its_customers_are_to_pay(site: With::no_workers()) {
        let Channel { reseller, sub, plan, .. } = Channel::new(site).await;
        let general = list(site, &reseller.key, json!({})).await;
        set(site, &reseller.key, &general, &plan, fixed(json!([{"from": 1, "amount": 800}]), 0, 0)).send().await.is(200);
        let retail = list(site, &sub.key, json!({"adjustment": {"kind": "marked_up", "basis_points": 5000}})).await;
        let origin = "https://shop.example";
        let shop = json!({"name": "shop", "origins": [origin]});
        let shop = site.post("/v1/storefront_keys").key(&sub.key).json(shop).send().await.is(201).text_at("key");
        let seen = async || site.get("/v1/catalog").key(&shop).header("Origin", origin).send().await.is(200);
        let page = seen().await;
        let item = page.body["data"].as_array().unwrap().iter().find(|item| item["id"] == plan.as_str()).unwrap().clone();
        assert_eq!(amounts(&Some(item["price"].clone())), costs("EUR", &[1200], 0, 0));
        assert_eq!((&item["account_id"], &item["virtual_server_id"]), (&Value::Null, &Value::Null));
        assert!(!page.text.contains("800"), "what the seller pays is nobody's business");
        let call = site.get(&format!("/v1/catalog?account={}", sub.id)).key(&shop).header("Origin", origin);
        call.send().await.refused(404, "account_not_found");
        set(site, &sub.key, &retail, &plan, json!({"rule": {"kind": "withheld"}})).send().await.is(200);
        assert!(!seen().await.text.contains(&plan));
    }
}

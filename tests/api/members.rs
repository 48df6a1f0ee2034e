//! The people of an account: what they may do, and whose their keys are.

use super::*;

fn peer(name: &str, scopes: &[&str]) -> Value {
    json!({"role": "peer", "name": name, "email": format!("{name}@acme.example"), "scopes": scopes})
}

fn add_to(site: &Site, by: &str, account: &str, asked: &Value) -> Call {
    let mut asked = asked.clone();
    asked["account_id"] = json!(account);
    site.post("/v1/members").key(by).json(asked)
}

/// A key of a member's.
fn key_of(site: &Site, by: &str, member: &str, scopes: &[&str]) -> Call {
    let asked = json!({"name": "hers", "scopes": scopes, "hold_classes": [], "member_id": member});
    site.post("/v1/keys").key(by).json(asked)
}

fn another_id(secret: &str) -> String {
    format!("key_{}", secret.split('_').nth(2).unwrap())
}

on_both_servers! {
    async fn a_member_is_added_read_changed_and_removed(site: With::no_workers()) {
        let world = site.world().await;
        let (by, account) = (&world.reseller.key, &world.reseller.id);
        let asked = json!({"role": "owner", "name": "Alice Ames", "email": "Alice@Acme.example", "metadata": {"desk": "4"}});
        let dry = site.post("/v1/members?dry_run=true").key(by).json(asked.clone()).send().await.is(201);
        site.get(&format!("/v1/members/{}", dry.id())).key(by).send().await.refused(404, "not_found");
        let make = || add_to(site, by, account, &asked).idem("one");
        let made = make().send().await.is(201);
        assert_eq!(make().send().await.is(201).text, made.text);
        let place = format!("/v1/members/{}", made.id());
        assert_eq!(made.header("location"), Some(place.as_str()));
        assert_eq!((made.text_at("email"), made.text_at("account_id")), ("alice@acme.example".into(), account.clone()));
        // An owner may do what the account's own administrators may.
        let bundle = tenantry::model::scopes::Bundle::ResellerAdmin.scopes();
        assert_eq!(made.body["scopes"], json!(bundle));
        let again = add_to(site, by, account, &json!({"role": "viewer", "name": "Al", "email": "ALICE@acme.example"}));
        let refused = again.send().await.refused(409, "name_taken");
        assert_eq!(refused.text_at("detail"), "A member with the address alice@acme.example exists already.");
        let below = add_to(site, by, &world.tenant.id, &asked).send().await.is(201);
        let second = add_to(site, by, account, &json!({"role": "billing", "name": "Bob", "email": "bob@acme.example"})).send().await.is(201);

        // From above it is seen, from below and beside it is not there.
        for reader in [by, &world.operator.key] {
            let list = site.get("/v1/members").key(reader).send().await.is(200);
            assert_eq!(list.ids(), [made.id(), second.id(), below.id()]);
            assert_eq!(site.get(&place).key(reader).send().await.is(200).body, made.body);
        }
        assert_eq!(site.all(by, "/v1/members", 1).await.len(), 3);
        let theirs = site.get("/v1/members").key(by).header("Tenantry-Account", &world.tenant.id).send().await.is(200);
        assert_eq!(theirs.ids(), [below.id()]);
        site.get(&place).key(&world.tenant.key).send().await.refused(404, "not_found");
        add_to(site, &world.tenant.key, account, &asked).send().await.refused(404, "account_not_found");

        let second_place = format!("/v1/members/{}", second.id());
        let change = |asked: Value| site.patch(&second_place).key(by).json(asked);
        change(json!({"name": "Rob"})).header("If-Match", "\"v9.x\"").send().await.refused(412, "precondition_failed");
        change(json!({"email": "alice@acme.example"})).send().await.refused(409, "name_taken");
        let changed = change(json!({"name": "Rob", "role": "viewer", "email": "Rob@acme.example"})).send().await.is(200);
        assert_eq!((changed.text_at("name"), changed.text_at("role"), changed.text_at("email")), ("Rob".into(), "viewer".into(), "rob@acme.example".into()));
        assert_ne!(changed.body["scopes"], second.body["scopes"]);
        site.delete(&second_place).key(by).send().await.is(204);
        site.get(&second_place).key(by).send().await.refused(404, "not_found");
        for (event, count) in [("added", 2), ("updated", 1), ("removed", 1)] {
            let told = all_told(site, by).await;
            let told: Vec<_> = told.iter().filter(|it| it["type"] == format!("member.{event}") && it["account_id"] == account.as_str()).collect();
            assert_eq!(told.len(), count, "{event}");
        }
    }

    async fn a_peer_is_told_what_it_may_do_and_the_other_roles_say_it_themselves(site: With::no_workers()) {
        let world = site.world().await;
        let make = |asked: Value| add_to(site, &world.reseller.key, &world.reseller.id, &asked);
        for (asked, fault) in [
            (json!({"role": "peer", "name": "P", "email": "p@acme.example"}), "needed_for_a_peer"),
            (json!({"role": "owner", "name": "O", "email": "o@acme.example", "scopes": ["orders:read"]}), "only_for_a_peer"),
        ] {
            let refused = make(asked).send().await.refused(422, "validation_failed");
            assert_eq!(refused.faults(), [("/scopes".into(), fault.into())]);
        }
        let refused = make(json!({"role": "viewer", "name": "V", "email": "no address"})).send().await.refused(422, "validation_failed");
        assert_eq!(refused.faults()[0].0, "/email");
        let made = make(peer("p", &["orders:read", "accounts:read", "orders:read"])).send().await.is(201);
        assert_eq!(made.body["scopes"], json!(["accounts:read", "orders:read"]));
        let change = |asked: Value| site.patch(&format!("/v1/members/{}", made.id())).key(&world.reseller.key).json(asked);
        assert_eq!(change(json!({"name": "Q"})).send().await.is(200).body["scopes"], made.body["scopes"]);
        change(json!({"role": "viewer"})).send().await.is(200);
        let refused = change(json!({"role": "peer"})).send().await.refused(422, "validation_failed");
        assert_eq!(refused.faults(), [("/scopes".into(), "needed_for_a_peer".into())]);
    }

    /// M4
    async fn nobody_appoints_or_changes_a_member_who_may_do_more_than_he_may(site: With::no_workers()) {
        let world = site.world().await;
        let account = &world.reseller.id;
        let owner = json!({"role": "owner", "name": "O", "email": "o@acme.example"});
        let owner = add_to(site, &world.reseller.key, account, &owner).send().await.is(201);
        let asked = json!({"name": "staff", "scopes": ["members:write", "accounts:read", "keys:write"], "hold_classes": []});
        let staff = site.post("/v1/keys").key(&world.reseller.key).json(asked).send().await.is(201).text_at("secret");
        let refused = add_to(site, &staff, account, &peer("p", &["members:write", "orders:place"])).send().await;
        assert!(refused.refused(403, "scope_escalation").text_at("detail").ends_with("orders:place"));
        add_to(site, &staff, account, &json!({"role": "viewer", "name": "V", "email": "v@acme.example"})).send().await.refused(403, "scope_escalation");
        let made = add_to(site, &staff, account, &peer("p", &["members:write", "accounts:read"])).send().await.is(201);
        let change = |of: &str, asked: Value| site.patch(&format!("/v1/members/{of}")).key(&staff).json(asked);
        change(&made.id(), json!({"scopes": ["orders:place"]})).send().await.refused(403, "scope_escalation");
        change(&made.id(), json!({"role": "owner"})).send().await.refused(403, "scope_escalation");
        change(&owner.id(), json!({"name": "X"})).send().await.refused(403, "scope_escalation");
        site.delete(&format!("/v1/members/{}", owner.id())).key(&staff).send().await.refused(403, "scope_escalation");
        site.delete(&format!("/v1/members/{}", made.id())).key(&staff).send().await.is(204);
    }

    /// M4, KEY-8
    async fn a_members_keys_have_no_more_than_the_member_and_end_with_it(site: With::no_workers()) {
        let world = site.world().await;
        let (by, account) = (&world.reseller.key, &world.reseller.id);
        let rights = ["accounts:read", "orders:read", "keys:write", "members:write"];
        let member = add_to(site, by, account, &peer("p", &rights)).send().await.is(201).id();
        let refused = key_of(site, by, &member, &["orders:read", "orders:place"]).send().await.refused(422, "validation_failed");
        assert_eq!(refused.faults(), [("/member_id".into(), "beyond_the_member".into())]);
        assert!(refused.text.contains("the member may not use orders:place"), "{}", refused.text);
        let other = add_to(site, by, &world.tenant.id, &peer("p", &rights)).send().await.is(201).id();
        key_of(site, by, &other, &["orders:read"]).send().await.refused(404, "not_found");

        let made = key_of(site, by, &member, &rights).send().await.is(201);
        assert_eq!(made.text_at("member_id"), member);
        let hers = made.text_at("secret");
        // What she makes for herself is hers, whether she says so or not; what she makes for others below is theirs.
        let asked = json!({"name": "another", "scopes": ["accounts:read", "orders:read"], "hold_classes": []});
        let another = site.post("/v1/keys").key(&hers).json(asked.clone()).send().await.is(201);
        assert_eq!(another.text_at("member_id"), member);
        let mut below = asked.clone();
        below["account_id"] = json!(world.tenant.id);
        assert_eq!(site.post("/v1/keys").key(&hers).json(below).send().await.is(201).body["member_id"], Value::Null);
        let colleague = add_to(site, by, account, &peer("c", &rights)).send().await.is(201).id();
        key_of(site, &hers, &colleague, &["orders:read"]).send().await.refused(403, "scope_escalation");

        let another = another.text_at("secret");
        let orders = |key: &str| site.get("/v1/orders").key(key);
        orders(&another).send().await.is(200);
        let token = site.token(&another).await;
        orders(&token).send().await.is(200);
        let change = |asked: Value| site.patch(&format!("/v1/members/{member}")).key(by).json(asked);
        change(json!({"scopes": ["accounts:read", "keys:write"]})).send().await.is(200);
        for key in [&hers, &another, &token] {
            orders(key).send().await.refused(403, "insufficient_scope");
            site.get("/v1/accounts").key(key).send().await.is(200);
        }
        // Nor does she get others' secrets into her hands.
        let others = json!({"name": "shop", "scopes": ["accounts:read"], "hold_classes": []});
        let shop = site.post("/v1/keys").key(by).json(others).send().await.is(201);
        let theirs = key_of(site, by, &colleague, &["accounts:read"]).send().await.is(201);
        for id in [shop.id(), theirs.id()] {
            site.post(&format!("/v1/keys/{id}/rotate")).key(&hers).send().await.refused(403, "scope_escalation");
            let client = json!({"token_endpoint_auth_method": "client_secret_basic"});
            site.put(&format!("/v1/keys/{id}/client")).key(&hers).json(client).send().await.refused(403, "scope_escalation");
        }
        let own = another_id(&another);
        let another = site.post(&format!("/v1/keys/{own}/rotate")).key(&hers).send().await.is(201).text_at("secret");
        let twin = site.post("/v1/accounts").key(by).json(json!({"type": "reseller", "name": "Twin", "environment": "test"})).send().await.is(201).id();
        let beside = json!({"name": "k", "scopes": ["accounts:read"], "hold_classes": [], "account_id": twin});
        site.post("/v1/keys").key(&hers).json(beside).send().await.refused(403, "scope_escalation");
        // What comes back to the member comes to new keys alone; a key without any scope is no key.
        change(json!({"scopes": rights})).send().await.is(200);
        orders(&hers).send().await.refused(403, "insufficient_scope");
        change(json!({"scopes": ["keys:write"]})).send().await.is(200);
        site.get("/v1/accounts").key(&another).send().await.refused(401, "invalid_token");
        site.get("/v1/accounts").key(&hers).send().await.refused(403, "insufficient_scope");
        site.delete(&format!("/v1/members/{member}")).key(by).send().await.is(204);
        for key in [&hers, &another, &token] {
            site.get("/v1/accounts").key(key).send().await.refused(401, "invalid_token");
        }
    }

    async fn no_key_outlives_a_member_who_is_removed_while_it_is_made(site: With::no_workers()) {
        let world = site.world().await;
        let (by, account) = (&world.reseller.key, &world.reseller.id);
        for round in 0..6 {
            let member = add_to(site, by, account, &peer(&format!("p{round}"), &["orders:read", "keys:write"])).send().await.is(201).id();
            let hers = key_of(site, by, &member, &["orders:read", "keys:write"]).send().await.is(201).text_at("secret");
            let own = json!({"name": "own", "scopes": ["orders:read"], "hold_classes": []});
            let more = (0..4).map(|at| match at % 2 {
                0 => key_of(site, by, &member, &["orders:read"]).send(),
                _ => site.post("/v1/keys").key(&hers).json(own.clone()).send(),
            });
            let gone = site.delete(&format!("/v1/members/{member}")).key(by).send();
            let (_, gone) = tokio::join!(futures_util::future::join_all(more), gone);
            gone.is(204);
            let left = site.all(by, "/v1/keys", 200).await;
            let left: Vec<_> = left.iter().filter(|key| key["member_id"] == member.as_str() && key["status"] == "active").collect();
            assert!(left.is_empty(), "{left:?}");
        }
    }

    /// API 5
    async fn an_account_that_lets_nobody_in_shows_nobody_its_people(site: With::no_workers()) {
        let world = site.world().await;
        let made = add_to(site, &world.tenant.key, &world.tenant.id, &peer("p", &["orders:read"])).send().await.is(201).id();
        let says = json!({"delegation": {"allow": "none"}});
        site.patch(&format!("/v1/accounts/{}", world.tenant.id)).key(&world.tenant.key).json(says).send().await.is(200);
        site.get(&format!("/v1/members/{made}")).key(&world.reseller.key).send().await.refused(403, "delegation_denied");
        assert_eq!(site.get("/v1/members").key(&world.reseller.key).send().await.is(200).ids(), Vec::<String>::new());
        site.get(&format!("/v1/members/{made}")).key(&world.tenant.key).send().await.is(200);
    }

    async fn what_an_owner_makes_is_the_accounts_and_stays(site: With::no_workers()) {
        let world = site.world().await;
        let (by, account) = (&world.reseller.key, &world.reseller.id);
        let owner = |name: &str| json!({"role": "owner", "name": name, "email": format!("{name}@acme.example")});
        let first = add_to(site, by, account, &owner("first")).send().await.is(201).id();
        add_to(site, by, account, &owner("second")).send().await.is(201);
        let key = key_of(site, by, &first, &["keys:write", "orders:read"]).send().await.is(201).text_at("secret");
        let asked = json!({"name": "shop", "scopes": ["orders:read"], "hold_classes": []});
        let shop = site.post("/v1/keys").key(&key).json(asked).send().await.is(201);
        assert_eq!(shop.body["member_id"], Value::Null);
        site.delete(&format!("/v1/members/{first}")).key(by).send().await.is(204);
        site.get("/v1/orders").key(&shop.text_at("secret")).send().await.is(200);
    }

    async fn of_several_owners_one_stays(site: With::no_workers()) {
        let world = site.world().await;
        let (by, account) = (&world.reseller.key, &world.reseller.id);
        let mut owners = Vec::new();
        for name in ["a", "b", "c"] {
            let asked = json!({"role": "owner", "name": name, "email": format!("{name}@acme.example")});
            owners.push(add_to(site, by, account, &asked).send().await.is(201).id());
        }
        let less = site.patch(&format!("/v1/members/{}", owners[0])).key(by).json(json!({"role": "billing"})).send();
        let gone = owners[1..].iter().map(|id| site.delete(&format!("/v1/members/{id}")).key(by).send());
        let (less, gone) = tokio::join!(less, futures_util::future::join_all(gone));
        let refused = gone.into_iter().chain([less]).filter(|answer| answer.status == 409).map(|answer| answer.refused(409, "state_conflict"));
        let refused: Vec<_> = refused.map(|answer| answer.text_at("detail")).collect();
        assert_eq!(refused.len(), 1);
        assert!(refused[0].ends_with("is not possible while it is the account's only owner."), "{}", refused[0]);
        let left = site.get("/v1/members").key(by).send().await.is(200);
        let left = left.body["data"].as_array().unwrap().iter().filter(|member| member["role"] == "owner").count();
        assert_eq!(left, 1);
    }

    /// AUD-1
    async fn the_audit_names_the_member_and_not_to_those_below(site: With::no_workers()) {
        let world = site.world().await;
        let owner = json!({"role": "owner", "name": "O", "email": "o@acme.example"});
        let member = add_to(site, &world.reseller.key, &world.reseller.id, &owner).send().await.is(201).id();
        let key = key_of(site, &world.reseller.key, &member, &["accounts:write", "accounts:read"]).send().await.is(201).text_at("secret");
        let rename = |account: &str| site.patch(&format!("/v1/accounts/{account}")).key(&key).json(json!({"name": "Renamed"}));
        rename(&world.reseller.id).send().await.is(200);
        rename(&world.tenant.id).header("Tenantry-Account", &world.tenant.id).send().await.is(200);
        let line = async |reader: &str, of: &str| {
            let lines = site.get("/v1/audit?limit=200").key(reader).header("Tenantry-Account", of).send().await.is(200);
            let lines = lines.body["data"].as_array().unwrap().clone();
            lines.into_iter().rfind(|line| line["action"] == "accounts_update").expect("it is there")
        };
        for of in [&world.reseller.id, &world.tenant.id] {
            assert_eq!(line(&world.reseller.key, of).await["detail"]["member_id"], member.as_str());
        }
        let told = line(&world.tenant.key, &world.tenant.id).await;
        assert_eq!((&told["acted_as"], &told["detail"]["member_id"]), (&json!("operator"), &Value::Null));
    }
}

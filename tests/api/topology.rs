//! What an account has, as data and as a picture.

use super::*;

async fn told(site: &Site, by: &str, of: &str) -> Value {
    site.get(&format!("/v1/accounts/{of}/topology")).key(by).send().await.is(200).body
}

/// Types, names, states, and the names of what each belongs to.
fn nodes(told: &Value) -> Vec<(String, String, String, Option<String>)> {
    let all = told["nodes"].as_array().unwrap();
    let text = |node: &Value, name: &str| node[name].as_str().unwrap().to_owned();
    let parent = |node: &Value| {
        all.iter().find(|other| other["id"] == node["parent_id"]).map(|parent| text(parent, "name"))
    };
    all.iter()
        .map(|node| (text(node, "type"), text(node, "name"), text(node, "status"), parent(node)))
        .collect()
}

on_both_servers! {
    /// M8
    async fn a_topology_tells_all_that_an_account_has_and_servers_to_who_may_see_them(site: With::workers()) {
        let world = site.world().await;
        let made = site.ordered(&world.tenant, "acme.example", 1).await;
        let suspend = format!("/v1/services/{}/suspend", made.mail);
        site.post(&suspend).key(&world.reseller.key).wait(20).json(json!({"reason_code": "abuse"})).send().await.is(200);
        let due = |parent: Option<&str>| {
            let node = |kind: &str, name: &str, status: &str, parent: Option<&str>| (kind.to_owned(), name.to_owned(), status.to_owned(), parent.map(str::to_owned));
            vec![
                node("account", "Tenant", "active", parent),
                node("subscription", "hosted-mail", "active", Some("Tenant")),
                node("service", "mail", "suspended", Some("hosted-mail")),
                node("service", "dns", "active", Some("hosted-mail")),
            ]
        };
        // The tenant has itself at the top, whoever stands above it, and sees nobody's servers.
        let own = told(site, &world.tenant.key, &world.tenant.id).await;
        assert_eq!((nodes(&own), &own["truncated"]), (due(None), &json!(false)));
        assert_eq!(own["nodes"].as_array().unwrap().iter().filter(|node| !node["server_id"].is_null()).count(), 0);
        let from_above = told(site, &world.reseller.key, &world.reseller.id).await;
        assert_eq!(nodes(&from_above)[0], ("account".into(), "Reseller".into(), "active".into(), None));
        assert_eq!(nodes(&from_above)[1..], due(Some("Reseller")));
        let all = told(site, &world.operator.key, &world.tenant.id).await;
        assert_eq!(nodes(&all)[..4], due(None));
        assert_eq!(nodes(&all)[4..], [("server".into(), "files-1".into(), "active".into(), None)]);
        assert_eq!((&all["nodes"][2]["server_id"], &all["nodes"][4]["id"]), (&json!(world.server), &json!(world.server)));
        let elsewhere = site.account(&site.operator_key, "reseller", "Elsewhere").await;
        let path = format!("/v1/accounts/{}/topology", world.tenant.id);
        site.get(&path).key(&elsewhere.key).send().await.refused(404, "account_not_found");
    }

    async fn the_picture_has_every_node_and_is_well_formed_whatever_names_say(site: With::workers()) {
        let world = site.world().await;
        site.ordered(&world.tenant, "acme.example", 1).await;
        for name in ["</svg><script>alert(1)</script>", "Söhne & \"Partner\" mit einem langen Namen"] {
            site.account(&world.reseller.key, "tenant", name).await;
        }
        let path = format!("/v1/accounts/{}/topology", world.operator.id);
        let drawn = site.get(&path).key(&world.operator.key).header("Accept", "image/svg+xml").send().await;
        assert_eq!((drawn.status, drawn.header("content-type"), drawn.header("vary")), (200, Some("image/svg+xml"), Some("Accept")));
        let parsed = roxmltree::Document::parse(&drawn.text).expect("it is XML");
        assert_eq!(parsed.root_element().tag_name().namespace(), Some("http://www.w3.org/2000/svg"));
        let of = told(site, &world.operator.key, &world.operator.id).await;
        let boxes = parsed.descendants().filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", "g")) && node.attribute("transform").is_some());
        assert_eq!(boxes.count(), of["nodes"].as_array().unwrap().len());
        let texts: Vec<_> = parsed.descendants().filter_map(|node| node.text()).collect();
        for text in ["</svg><script>alert(1)<…", "Söhne & \"Partner\" mit e…", "hosted-mail", "mail", "files-1"] {
            assert!(texts.contains(&text), "{text}: {texts:?}");
        }
        // A line to each but the first and the server, and one from each service to its server.
        let lines = parsed.descendants().filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", "path"))).count();
        assert_eq!(lines, of["nodes"].as_array().unwrap().len() - 2 + 2);
    }

    async fn services_are_listed_by_their_subscription(site: With::workers()) {
        let world = site.world().await;
        let [one, other] = ["one.example", "other.example"].map(async |domain| site.ordered(&world.tenant, domain, 1).await);
        let (one, _) = (one.await, other.await);
        let list = async |of: &str, by: &str| site.get(&format!("/v1/services?subscription_id={of}")).key(by).send().await;
        let told = list(&one.subscription, &world.tenant.key).await.is(200);
        assert_eq!((told.ids(), &told.body["next_cursor"]), (vec![one.mail.clone(), one.dns.clone()], &Value::Null));
        let elsewhere = site.account(&site.operator_key, "reseller", "Elsewhere").await;
        list(&one.subscription, &elsewhere.key).await.refused(404, "not_found");
        list("sub_1", &world.tenant.key).await.refused(404, "not_found");
    }
}

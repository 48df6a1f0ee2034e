//! Keys as OAuth clients.

use super::*;

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

const TOKEN: &str = "/oauth/token";
const GRANT: (&str, &str) = ("grant_type", "client_credentials");

/// A key of the reseller's: its identifier and its secret.
async fn client(site: &Site, world: &World) -> (String, String) {
    let asked = json!({"name": "client", "scopes": ["orders:read", "accounts:read"]});
    let made = site.post("/v1/keys").key(&world.reseller.key).json(asked).send().await.is(201);
    (made.id(), made.text_at("secret"))
}

#[track_caller]
fn refused(answer: Answer, status: u16, error: &str) {
    assert_eq!((answer.status, answer.body["error"].as_str()), (status, Some(error)), "{}", answer.text);
    assert!(answer.body["error_description"].is_string());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

on_both_servers! {
    /// TOK-1, TOK-4, TOK-5
    async fn a_key_is_exchanged_for_a_token_that_does_what_it_was_asked_for(site: With::no_workers()) {
        let world = site.world().await;
        let (id, secret) = client(site, &world).await;
        let basic = site.post(TOKEN).basic(&id, &secret).form(&[GRANT]).send().await.is(200);
        assert_eq!((basic.header("cache-control"), basic.header("pragma")), (Some("no-store"), Some("no-cache")));
        assert_eq!((basic.text_at("token_type"), basic.text_at("scope")), ("Bearer".into(), "accounts:read orders:read".into()));
        let posted = [GRANT, ("client_id", &id), ("client_secret", &secret), ("scope", "accounts:read")];
        let narrow = site.post(TOKEN).form(&posted).send().await.is(200);
        assert_eq!(narrow.text_at("scope"), "accounts:read");

        let (basic, narrow) = (basic.text_at("access_token"), narrow.text_at("access_token"));
        site.get("/v1/orders").key(&basic).send().await.is(200);
        let me = site.get("/v1/me").key(&narrow).send().await.is(200);
        assert_eq!((me.text_of("/account/id"), me.body["scopes"].clone()), (world.reseller.id.clone(), json!(["accounts:read"])));
        site.get("/v1/orders").key(&narrow).send().await.refused(403, "insufficient_scope");
        site.get("/v1/me").key(&narrow).acting_for(&world.operator.id).send().await.refused(404, "account_not_found");
        let forged = format!("{}{}", &basic[..basic.len() - 4], "AAAA");
        site.get("/v1/orders").key(&forged).send().await.refused(401, "invalid_token");

        site.delete(&format!("/v1/keys/{id}")).key(&world.reseller.key).send().await.is(200);
        site.get("/v1/orders").key(&basic).send().await.refused(401, "invalid_token");
        refused(site.post(TOKEN).basic(&id, &secret).form(&[GRANT]).send().await, 401, "invalid_client");
    }

    async fn a_token_ends_when_its_time_is_over(site: With::clock()) {
        let world = site.world().await;
        let (id, secret) = client(site, &world).await;
        let told = site.post(TOKEN).basic(&id, &secret).form(&[GRANT]).send().await.is(200);
        let lifetime = Duration::from_secs(told.body["expires_in"].as_u64().unwrap());
        let token = told.text_at("access_token");
        site.clock.advance(lifetime - Duration::from_secs(1));
        site.get("/v1/orders").key(&token).send().await.is(200);
        site.clock.advance(Duration::from_secs(1));
        site.get("/v1/orders").key(&token).send().await.refused(401, "invalid_token");
    }

    async fn what_cannot_be_granted_is_refused_as_rfc_6749_says(site: With::no_workers()) {
        let world = site.world().await;
        let (id, secret) = client(site, &world).await;
        let (other, _) = client(site, &world).await;
        let (id, secret) = (id.as_str(), secret.as_str());
        let wrong = site.post(TOKEN).basic(id, &world.reseller.key).form(&[GRANT]).send().await;
        assert_eq!(wrong.header("www-authenticate"), Some("Basic realm=\"tenantry\""));
        refused(wrong, 401, "invalid_client");
        refused(site.post(TOKEN).form(&[GRANT, ("client_id", id), ("client_secret", "wrong")]).send().await, 401, "invalid_client");
        refused(site.post(TOKEN).form(&[GRANT, ("client_id", &other), ("client_secret", secret)]).send().await, 401, "invalid_client");
        refused(site.post(TOKEN).form(&[GRANT]).send().await, 401, "invalid_client");
        refused(site.post(TOKEN).basic(id, secret).form(&[GRANT, ("client_id", id), ("client_secret", secret)]).send().await, 400, "invalid_request");
        refused(site.post(TOKEN).basic(id, secret).form(&[GRANT, ("client_id", &other)]).send().await, 400, "invalid_request");
        refused(site.post(TOKEN).basic(id, secret).form(&[GRANT, GRANT]).send().await, 400, "invalid_request");
        for scope in ["everything", "servers:write", "orders:read servers:write"] {
            refused(site.post(TOKEN).basic(id, secret).form(&[GRANT, ("scope", scope)]).send().await, 400, "invalid_scope");
        }
        refused(site.post(TOKEN).basic(id, secret).form(&[("grant_type", "password")]).send().await, 400, "unsupported_grant_type");
        refused(site.post(TOKEN).basic(id, secret).form(&[]).send().await, 400, "invalid_request");
        refused(site.post(TOKEN).basic(id, secret).json(json!({"grant_type": "client_credentials"})).send().await, 400, "invalid_request");
    }

    /// TOK-9
    async fn clients_find_the_server_by_its_metadata(site: With::no_workers()) {
        let server = site.get("/.well-known/oauth-authorization-server").send().await.is(200);
        assert!(server.text_at("token_endpoint").ends_with(TOKEN));
        assert_eq!(server.body["grant_types_supported"], json!(["client_credentials", EXCHANGE]));
        for (endpoint, path) in [("revocation_endpoint", "/oauth/revoke"), ("introspection_endpoint", "/oauth/introspect")] {
            assert!(server.text_at(endpoint).ends_with(path));
        }
        let resource = site.get("/.well-known/oauth-protected-resource").send().await.is(200);
        assert_eq!(resource.body["authorization_servers"][0], server.body["issuer"]);
        let keys = site.get("/oauth/jwks").send().await.is(200);
        let key = &keys.body["keys"][0];
        assert_eq!((&key["kty"], &key["crv"], &key["d"]), (&json!("OKP"), &json!("Ed25519"), &Value::Null));
    }
}

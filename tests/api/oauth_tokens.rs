//! What becomes of tokens: exchanged for those of accounts below, asked about, revoked.

use super::*;

const TOKEN: &str = "/oauth/token";
const EXCHANGE: (&str, &str) = ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange");
const TYPE: &str = "urn:ietf:params:oauth:token-type:access_token";

/// A key as a client, with a token of its own.
struct Client {
    id: String,
    secret: String,
    token: String,
}

async fn registered(site: &Site, by: &Party, scopes: Value) -> Client {
    let asked = json!({"name": "client", "scopes": scopes});
    let made = site.post("/v1/keys").key(&by.key).json(asked).send().await.is(201);
    let (id, secret) = (made.id(), made.text_at("secret"));
    let grant = [("grant_type", "client_credentials")];
    let token =
        site.post(TOKEN).basic(&id, &secret).form(&grant).send().await.is(200).text_at("access_token");
    Client { id, secret, token }
}

impl Client {
    async fn ask(&self, site: &Site, path: &str, form: &[(&str, &str)]) -> Answer {
        site.post(path).basic(&self.id, &self.secret).form(form).send().await
    }

    async fn exchange(&self, site: &Site, token: &str, account: &str, more: &[(&str, &str)]) -> Answer {
        let mut form =
            vec![EXCHANGE, ("subject_token", token), ("subject_token_type", TYPE), ("account", account)];
        form.extend(more);
        self.ask(site, TOKEN, &form).await
    }

    async fn introspect(&self, site: &Site, token: &str) -> Answer {
        self.ask(site, "/oauth/introspect", &[("token", token)]).await.is(200)
    }
}

#[track_caller]
fn refused(answer: Answer, status: u16, error: &str) {
    assert_eq!((answer.status, answer.body["error"].as_str()), (status, Some(error)), "{}", answer.text);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

/// What a JWT says, unverified.
fn claims(token: &str) -> Value {
    use base64::Engine;
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

on_both_servers! {
    /// AUTHZ-4, AUTHZ-5.
    async fn an_exchanged_token_acts_for_the_account_below_and_says_who_acts(site: With::no_workers()) {
        let world = site.world().await;
        let client = registered(site, &world.operator, json!(["accounts:read", "keys:read", "keys:write", "audit:read"])).await;
        let reseller = client.exchange(site, &client.token, &world.reseller.id, &[]).await.is(200);
        assert_eq!(reseller.text_at("issued_token_type"), TYPE);
        let reseller = reseller.text_at("access_token");
        let asked = [("scope", "accounts:read keys:write keys:read services:read")];
        let tenant = client.exchange(site, &reseller, &world.tenant.id, &asked).await.is(200);
        assert_eq!(tenant.text_at("scope"), "accounts:read keys:write keys:read");
        let tenant = tenant.text_at("access_token");

        let (own, nested) = (claims(&client.token), claims(&tenant));
        assert_eq!((&nested["sub"], &nested["acct"]), (&json!(world.tenant.id), &json!(world.tenant.id)));
        assert_eq!(nested["act"], json!({"sub": world.reseller.id, "act": {"sub": world.operator.id}}));
        assert_eq!(nested["client_id"], json!(client.id));
        assert!(nested["exp"].as_i64() <= own["exp"].as_i64());

        let me = site.get("/v1/me").key(&tenant).send().await.is(200);
        assert_eq!(me.text_of("/account/id"), world.tenant.id);
        site.get(&format!("/v1/accounts/{}", world.tenant.id)).key(&tenant).send().await.is(200);
        site.get(&format!("/v1/accounts/{}", world.reseller.id)).key(&tenant).send().await.refused(404, "account_not_found");
        for above in [&world.reseller.id, &world.operator.id] {
            site.get("/v1/me").key(&tenant).acting_for(above).send().await.refused(404, "account_not_found");
        }
        site.get("/v1/me").key(&reseller).acting_for(&world.tenant.id).send().await.is(200);

        let made = site.post("/v1/keys").key(&tenant).json(json!({"name": "new", "scopes": ["accounts:read"]})).send().await.is(201);
        assert_eq!(made.text_at("account_id"), world.tenant.id);
        let lines = site.get("/v1/audit?limit=200").key(&client.token).acting_for(&world.tenant.id).send().await.is(200);
        let line = lines.body["data"].as_array().unwrap().iter().find(|line| line["resource"] == json!(made.id())).unwrap().clone();
        assert_eq!(line["principal_id"], json!(world.operator.id));
        assert_eq!(line["detail"]["actors"], json!([world.reseller.id, world.operator.id]));
        let seen = site.get("/v1/audit?limit=200").key(&world.tenant.key).send().await.is(200);
        assert!(!seen.text.contains(&world.operator.id) && seen.text.contains(&made.id()), "{}", seen.text);
    }

    /// AUTHZ-5, AUTHZ-3.
    async fn a_token_is_exchanged_neither_upwards_nor_sideways_nor_by_others(site: With::no_workers()) {
        let world = site.world().await;
        let sibling = site.account(&world.operator.key, "reseller", "Sibling").await;
        let client = registered(site, &world.reseller, json!(["accounts:read"])).await;
        let absent = client.exchange(site, &client.token, "acc_01jq3v8z0kf5n9d2t7x4m6c1ab", &[]).await;
        for account in ["nothing", &world.operator.id, &sibling.id] {
            let told = client.exchange(site, &client.token, account, &[]).await;
            assert_eq!(told.text, absent.text, "{account}");
            refused(told, 400, "invalid_target");
        }
        let tenant = client.exchange(site, &client.token, &world.tenant.id, &[]).await.is(200).text_at("access_token");
        refused(client.exchange(site, &tenant, &world.reseller.id, &[]).await, 400, "invalid_target");

        let stranger = registered(site, &world.operator, json!(["accounts:read"])).await;
        refused(stranger.exchange(site, &client.token, &world.tenant.id, &[]).await, 400, "invalid_request");
        refused(client.exchange(site, &client.secret, &world.tenant.id, &[]).await, 400, "invalid_request");
        let table = [
            (("audience", "https://other.example.test"), "invalid_target"),
            (("resource", "https://other.example.test"), "invalid_target"),
            (("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token"), "invalid_request"),
            (("actor_token", client.token.as_str()), "invalid_request"),
            (("scope", "keys:write"), "invalid_scope"),
            (("scope", "everything"), "invalid_scope"),
        ];
        for (more, error) in table {
            refused(client.exchange(site, &client.token, &world.tenant.id, &[more]).await, 400, error);
        }
        let here = client.exchange(site, &client.token, &world.tenant.id, &[("audience", claims(&tenant)["aud"].as_str().unwrap())]).await;
        here.is(200);
        refused(client.ask(site, TOKEN, &[EXCHANGE, ("subject_token", &client.token), ("subject_token_type", TYPE)]).await, 400, "invalid_request");
    }

    /// KEY-7 for exchanged tokens.
    async fn an_exchanged_token_ends_with_the_key_behind_it(site: With::no_workers()) {
        let world = site.world().await;
        let client = registered(site, &world.reseller, json!(["accounts:read"])).await;
        let tenant = client.exchange(site, &client.token, &world.tenant.id, &[]).await.is(200).text_at("access_token");
        site.get("/v1/me").key(&tenant).send().await.is(200);
        site.delete(&format!("/v1/keys/{}", client.id)).key(&world.reseller.key).send().await.is(200);
        site.get("/v1/me").key(&tenant).send().await.refused(401, "invalid_token");
    }

    /// AUTHZ-5: an exchange lengthens nothing.
    async fn an_exchanged_token_ends_no_later_than_its_subject_token(site: With::clock()) {
        let world = site.world().await;
        let client = registered(site, &world.reseller, json!(["accounts:read"])).await;
        site.clock.advance(Duration::from_secs(600));
        let told = client.exchange(site, &client.token, &world.tenant.id, &[]).await.is(200);
        let exchanged = claims(&told.text_at("access_token"));
        assert_eq!((exchanged["exp"].as_i64(), told.body["expires_in"].as_i64()), (claims(&client.token)["exp"].as_i64(), Some(300)));
        site.clock.advance(Duration::from_secs(301));
        refused(client.exchange(site, &client.token, &world.tenant.id, &[]).await, 400, "invalid_request");
    }

    /// TOK-10: those between which it stands in a chain of exchanges as well as those at its ends.
    async fn with_a_token_end_those_that_were_exchanged_from_it_and_not_the_one_it_came_from(site: With::no_workers()) {
        let world = site.world().await;
        let client = registered(site, &world.operator, json!(["accounts:read"])).await;
        let from = async |token: &str, account: &str| client.exchange(site, token, account, &[]).await.is(200).text_at("access_token");
        let reseller = from(&client.token, &world.reseller.id).await;
        let (tenant, beside) = (from(&reseller, &world.tenant.id).await, from(&client.token, &world.tenant.id).await);
        let lowest = from(&tenant, &world.tenant.id).await;
        assert_eq!(claims(&lowest)["origins"], json!([claims(&client.token)["jti"], claims(&reseller)["jti"], claims(&tenant)["jti"]]));
        for token in [&client.token, &reseller, &tenant, &beside, &lowest] {
            site.get("/v1/me").key(token).send().await.is(200);
        }
        client.ask(site, "/oauth/revoke", &[("token", &reseller)]).await.is(200);
        for ended in [&reseller, &tenant, &lowest] {
            site.get("/v1/me").key(ended).send().await.refused(401, "invalid_token");
            assert_eq!(client.introspect(site, ended).await.body, json!({"active": false}));
            refused(client.exchange(site, ended, &world.tenant.id, &[]).await, 400, "invalid_request");
        }
        for good in [&client.token, &beside] {
            site.get("/v1/me").key(good).send().await.is(200);
        }
        client.ask(site, "/oauth/revoke", &[("token", &client.token)]).await.is(200);
        site.get("/v1/me").key(&beside).send().await.refused(401, "invalid_token");
    }

    /// AUTHZ-5: a token does not grow without end.
    async fn a_token_is_exchanged_ten_times_and_no_more(site: With::no_workers()) {
        let world = site.world().await;
        let client = registered(site, &world.reseller, json!(["accounts:read"])).await;
        let mut token = client.token.clone();
        for _ in 0..10 {
            token = client.exchange(site, &token, &world.reseller.id, &[]).await.is(200).text_at("access_token");
        }
        site.get("/v1/me").key(&token).send().await.is(200);
        refused(client.exchange(site, &token, &world.reseller.id, &[]).await, 400, "invalid_request");
    }

    /// TOK-10.
    async fn a_revoked_token_is_good_no_longer_and_its_siblings_are(site: With::no_workers()) {
        let world = site.world().await;
        let (client, other) = (registered(site, &world.reseller, json!(["accounts:read"])).await, registered(site, &world.reseller, json!(["accounts:read"])).await);
        let sibling = client.ask(site, TOKEN, &[("grant_type", "client_credentials")]).await.is(200).text_at("access_token");
        site.get("/v1/me").key(&client.token).send().await.is(200);
        refused(other.ask(site, "/oauth/revoke", &[("token", &client.token)]).await, 400, "invalid_grant");
        refused(client.ask(site, "/oauth/revoke", &[("token", &client.secret)]).await, 400, "unsupported_token_type");
        refused(client.ask(site, "/oauth/revoke", &[]).await, 400, "invalid_request");
        refused(site.post("/oauth/revoke").form(&[("token", &client.token)]).send().await, 401, "invalid_client");
        site.get("/v1/me").key(&client.token).send().await.is(200);

        for _ in 0..2 {
            let told = client.ask(site, "/oauth/revoke", &[("token", &client.token), ("token_type_hint", "refresh_token")]).await.is(200);
            assert_eq!((told.text.as_str(), told.header("cache-control")), ("", Some("no-store")));
        }
        site.get("/v1/me").key(&client.token).send().await.refused(401, "invalid_token");
        refused(client.exchange(site, &client.token, &world.tenant.id, &[]).await, 400, "invalid_request");
        site.get("/v1/me").key(&sibling).send().await.is(200);
        for unknown in ["nothing", "a.b.c"] {
            client.ask(site, "/oauth/revoke", &[("token", unknown)]).await.is(200);
        }
    }

    /// TOK-11.
    async fn a_token_is_told_to_those_above_it_and_is_inactive_to_all_others(site: With::clock()) {
        let world = site.world().await;
        let sibling = site.account(&world.operator.key, "reseller", "Sibling").await;
        let scopes = json!(["accounts:read"]);
        let (above, client) = (registered(site, &world.operator, scopes.clone()).await, registered(site, &world.reseller, scopes.clone()).await);
        let below = registered(site, &world.tenant, scopes.clone()).await;
        let beside = registered(site, &sibling, scopes).await;
        for asker in [&above, &client] {
            let told = asker.introspect(site, &client.token).await;
            assert_eq!((&told.body["active"], &told.body["scope"], &told.body["sub"]), (&json!(true), &json!("accounts:read"), &json!(world.reseller.id)));
            assert_eq!((&told.body["client_id"], &told.body["token_type"]), (&json!(client.id), &json!("Bearer")));
        }
        let inactive = json!({"active": false});
        assert_eq!(below.introspect(site, &client.token).await.body, inactive);
        assert_eq!(beside.introspect(site, &client.token).await.body, inactive);
        for token in ["nothing", &client.secret, &format!("{}x", client.token)] {
            assert_eq!(client.introspect(site, token).await.body, inactive);
        }
        let exchanged = client.exchange(site, &client.token, &world.tenant.id, &[]).await.is(200).text_at("access_token");
        assert_eq!(client.introspect(site, &exchanged).await.body["act"], json!({"sub": world.reseller.id}));
        assert_eq!(below.introspect(site, &exchanged).await.body, inactive);
        client.ask(site, "/oauth/revoke", &[("token", &exchanged)]).await.is(200);
        assert_eq!(client.introspect(site, &exchanged).await.body, inactive);
        site.clock.advance(Duration::from_secs(3601));
        assert_eq!(client.introspect(site, &client.token).await.body, inactive);
        refused(site.post("/oauth/introspect").form(&[("token", &client.token)]).send().await, 401, "invalid_client");
    }

    /// TOK-14: eleven wrong secrets, and what the right one is told meanwhile.
    async fn a_client_that_fails_ten_times_is_put_off_for_a_minute(site: With::clock()) {
        let world = site.world().await;
        let scopes = json!(["accounts:read"]);
        let (client, other) = (registered(site, &world.reseller, scopes.clone()).await, registered(site, &world.reseller, scopes).await);
        let grant = [("grant_type", "client_credentials")];
        for _ in 0..10 {
            refused(site.post(TOKEN).basic(&client.id, "wrong").form(&grant).send().await, 401, "invalid_client");
        }
        let told = client.ask(site, TOKEN, &grant).await;
        assert_eq!(told.header("retry-after"), Some("60"));
        refused(told, 429, "temporarily_unavailable");
        other.ask(site, TOKEN, &grant).await.is(200);
        site.clock.advance(Duration::from_secs(60));
        client.ask(site, TOKEN, &grant).await.is(200);
    }
}

//! What is refused by the OAuth endpoints and by the API says as little as it may, and always the same.

use super::*;

const TOKEN: &str = "/oauth/token";
const GRANT: (&str, &str) = ("grant_type", "client_credentials");
/// A key that there is not.
const ABSENT: &str = "key_01jq3v8z0kf5n9d2t7x4m6c1ab";
const ENDPOINTS: [&str; 3] = [TOKEN, "/oauth/revoke", "/oauth/introspect"];

async fn client(site: &Site, by: &Party) -> (String, String) {
    let asked = json!({"name": "client", "scopes": ["accounts:read"]});
    let made = site.post("/v1/keys").key(&by.key).json(asked).send().await.is(201);
    (made.id(), made.text_at("secret"))
}

/// All of an answer that does not differ from request to request.
fn told(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let mut headers: Vec<_> = answer
        .headers
        .iter()
        .filter(|(name, _)| !["date", "x-request-id"].contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    headers.sort();
    let request = answer.header("x-request-id").unwrap();
    (answer.status, headers, answer.text.replace(request, "req"))
}

on_both_servers! {
    /// TOK-2
    async fn an_unknown_client_and_a_wrong_secret_are_told_the_same_to_the_byte(site: With::clock()) {
        let world = site.world().await;
        let (id, secret) = client(site, &world.reseller).await;
        let (revoked, its) = client(site, &world.reseller).await;
        site.delete(&format!("/v1/keys/{revoked}")).key(&world.reseller.key).send().await.is(200);
        let unknown = secret.replace(id.strip_prefix("key_").unwrap(), ABSENT.strip_prefix("key_").unwrap());
        let tries = [
            (id.as_str(), "wrong"), (&id, &its), (&id, &world.reseller.key), (ABSENT, &unknown), (ABSENT, &secret),
            (ABSENT, "wrong"), ("nobody", "wrong"), ("nobody", &secret), (&revoked, &its),
        ];
        for path in ENDPOINTS {
            let (mut basic, mut posted) = (Vec::new(), Vec::new());
            for (id, secret) in tries {
                basic.push(told(&site.post(path).basic(id, secret).form(&[GRANT, ("token", "x")]).send().await));
                let form = [GRANT, ("token", "x"), ("client_id", id), ("client_secret", secret)];
                posted.push(told(&site.post(path).form(&form).send().await));
            }
            for all in [basic, posted] {
                assert_eq!(all[0].0, 401, "{all:?}");
                assert!(all.iter().all(|one| *one == all[0]), "{path}: {all:#?}");
            }
            // So that no client has failed too often.
            site.clock.advance(Duration::from_secs(61));
        }
        site.post(TOKEN).basic(&id, &secret).form(&[GRANT]).send().await.is(200);
    }

    /// TOK-2
    async fn a_client_authenticates_exactly_once(site: With::no_workers()) {
        let world = site.world().await;
        let (id, secret) = client(site, &world.reseller).await;
        let (id, secret) = (id.as_str(), secret.as_str());
        let form = [GRANT, ("token", "x"), ("client_id", id), ("client_secret", secret)];
        for path in ENDPOINTS {
            let both = site.post(path).basic(id, secret).form(&form).send().await;
            let header = both.header("www-authenticate").is_some();
            assert_eq!((both.status, both.body["error"].as_str(), header), (400, Some("invalid_request"), false), "{path}");
            let none = site.post(path).form(&[GRANT, ("token", "x")]).send().await;
            let header = none.header("www-authenticate").is_some();
            assert_eq!((none.status, none.body["error"].as_str(), header), (401, Some("invalid_client"), false), "{path}");
            for scheme in ["Bearer", "Digest", "Basic"] {
                let told = site.post(path).header("Authorization", &format!("{scheme} x")).form(&[GRANT]).send().await;
                let challenge = told.header("www-authenticate").map(str::to_owned);
                assert_eq!((told.status, challenge.as_deref()), (401, Some("Basic realm=\"tenantry\"")), "{path} {scheme}");
            }
        }
    }

    /// TOK-3
    async fn all_that_the_oauth_endpoints_say_is_rfc_6749_and_is_never_stored(site: With::no_workers()) {
        let world = site.world().await;
        let (id, secret) = client(site, &world.reseller).await;
        let (id, secret) = (id.as_str(), secret.as_str());
        for path in ENDPOINTS {
            let refusals = [
                site.post(path).basic(id, "wrong").form(&[GRANT, ("token", "x")]).send().await,
                site.post(path).form(&[]).send().await,
                site.post(path).basic(id, secret).json(json!({})).send().await,
                site.post(path).basic(id, secret).body("application/x-www-form-urlencoded", vec![0xff]).send().await,
                site.post(path).basic(id, secret).form(&[GRANT, GRANT]).send().await,
                site.post(path).basic(id, secret).form(&[("grant_type", "password")]).send().await,
            ];
            for told in refusals {
                assert!([400, 401].contains(&told.status), "{path}: {}", told.text);
                assert_eq!(told.header("content-type"), Some("application/json"), "{path}");
                assert_eq!(told.header("cache-control"), Some("no-store"), "{path}");
                let members: Vec<_> = told.body.as_object().unwrap().keys().cloned().collect();
                assert_eq!(members, ["error", "error_description"], "{path}");
                // RFC 6749, 5.2: neither quotes nor backslashes.
                let said = told.body["error_description"].as_str().unwrap();
                assert!(said.bytes().all(|byte| matches!(byte, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e)), "{said}");
            }
            let taken = site.post(path).basic(id, secret).form(&[GRANT, ("token", "x")]).send().await.is(200);
            assert_eq!(taken.header("cache-control"), Some("no-store"), "{path}");
        }
    }

    /// TOK-12
    async fn a_token_that_is_not_taken_is_told_nothing_more_whatever_is_wrong_with_it(site: With::clock()) {
        let world = site.world().await;
        let (id, secret) = client(site, &world.reseller).await;
        let get = async || site.post(TOKEN).basic(&id, &secret).form(&[GRANT]).send().await.is(200).text_at("access_token");
        let (expired, revoked) = (get().await, get().await);
        site.clock.advance(Duration::from_secs(1000));
        let (current, of_revoked_key) = (get().await, client(site, &world.reseller).await);
        site.post("/oauth/revoke").basic(&id, &secret).form(&[("token", &revoked)]).send().await.is(200);
        let revoked_now = get().await;
        site.post("/oauth/revoke").basic(&id, &secret).form(&[("token", &revoked_now)]).send().await.is(200);
        site.delete(&format!("/v1/keys/{}", of_revoked_key.0)).key(&world.reseller.key).send().await.is(200);
        site.get("/v1/me").key(&current).send().await.is(200);

        let unknown = secret.replace(id.strip_prefix("key_").unwrap(), ABSENT.strip_prefix("key_").unwrap());
        let bad = [&expired, &revoked, &revoked_now, &of_revoked_key.1, &unknown, "malformed", "a.b.c", &current[1..]];
        let mut seen = Vec::new();
        for token in bad {
            seen.push(told(&site.get("/v1/me").key(token).send().await));
        }
        assert!(seen.iter().all(|one| *one == seen[0]), "{seen:#?}");
        assert!(seen[0].0 == 401 && seen[0].2.contains("\"invalid_token\""), "{:?}", seen[0]);

        let none = site.get("/v1/me").send().await.refused(401, "unauthenticated");
        let challenge = none.header("www-authenticate").unwrap();
        assert!(challenge.starts_with("Bearer resource_metadata=\"") && !challenge.contains("error"), "{challenge}");
    }
}

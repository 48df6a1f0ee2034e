//! Clients that authenticate with assertions (RFC 7523), signed with private keys of their own.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jsonwebtoken::{Algorithm, EncodingKey};
use secrecy::ExposeSecret;
use tenantry::access::signing::SigningKey;
use tenantry::model::ids::SigningKeyId;

use super::*;

const TOKEN: &str = "/oauth/token";
const TYPE: (&str, &str) =
    ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
const GRANT: (&str, &str) = ("grant_type", "client_credentials");

/// A client's private key, and the public one as a JWK.
struct Pair {
    private: EncodingKey,
    algorithm: Algorithm,
    jwk: Value,
}

impl Pair {
    fn ed25519() -> Self {
        let pkcs8 = SigningKey::generate();
        let public = SigningKey::from_pkcs8(SigningKeyId::new(), pkcs8.expose_secret()).unwrap().public();
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": BASE64.encode(public.bytes), "kid": "ed"});
        Self { private: EncodingKey::from_ed_der(pkcs8.expose_secret()), algorithm: Algorithm::EdDSA, jwk }
    }

    fn p256() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let public = pair.public_key().as_ref();
        let (x, y) = (BASE64.encode(&public[1..33]), BASE64.encode(&public[33..]));
        let jwk =
            json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": "ec", "alg": "ES256", "use": "sig"});
        let private = EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref());
        Self { private, algorithm: Algorithm::ES256, jwk }
    }

    fn header(&self) -> Value {
        json!({"typ": "JWT", "alg": format!("{:?}", self.algorithm), "kid": self.jwk["kid"]})
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
        let signature =
            jsonwebtoken::crypto::sign(message.as_bytes(), &self.private, self.algorithm).unwrap();
        format!("{message}.{signature}")
    }

    fn assert(&self, claims: &Value) -> String {
        self.sign(&self.header(), claims)
    }
}

/// A key as a client, and where it finds the server.
struct Client {
    id: String,
    secret: String,
    issuer: String,
}

impl Client {
    async fn made(site: &Site, by: &Party) -> Self {
        let asked = json!({"name": "client", "scopes": ["accounts:read"]});
        let made = site.post("/v1/keys").key(&by.key).json(asked).send().await.is(201);
        let server = site.get("/.well-known/oauth-authorization-server").send().await.is(200);
        Self { id: made.id(), secret: made.text_at("secret"), issuer: server.text_at("issuer") }
    }

    async fn set(&self, site: &Site, by: &Party, pairs: &[&Pair]) -> Answer {
        let keys: Vec<_> = pairs.iter().map(|pair| pair.jwk.clone()).collect();
        let asked = json!({"token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": keys}});
        site.put(&format!("/v1/keys/{}/client", self.id)).key(&by.key).json(asked).send().await
    }

    /// What an assertion says that is good now; each has a `jti` of its own.
    fn claims(&self, site: &Site) -> Value {
        let now = site.clock.now().as_seconds();
        let jti = SigningKeyId::new();
        json!({"iss": self.id, "sub": self.id, "aud": self.issuer, "iat": now, "exp": now + 300, "jti": jti})
    }
}

async fn sent(site: &Site, path: &str, assertion: &str, more: &[(&str, &str)]) -> Answer {
    let mut form = vec![GRANT, ("token", "x"), TYPE, ("client_assertion", assertion)];
    form.extend(more);
    site.post(path).form(&form).send().await
}

fn behind_a_proxy() -> With {
    With { settings: &[("TENANTRY_SERVER__TRUSTED_PROXIES", "127.0.0.1")], ..With::clock() }
}

/// The value with a member that is another, or without it.
fn with(value: &Value, name: &str, other: impl Into<Value>) -> Value {
    let mut altered = value.clone();
    altered[name] = other.into();
    altered
}

fn without(value: &Value, name: &str) -> Value {
    let mut altered = value.clone();
    altered.as_object_mut().unwrap().remove(name).unwrap();
    altered
}

on_both_servers! {
    /// TOK-7, TOK-9
    async fn a_client_proves_itself_with_an_assertion_instead_of_a_secret(site: With::clock()) {
        let world = site.world().await;
        let client = Client::made(site, &world.reseller).await;
        let (ed, ec) = (Pair::ed25519(), Pair::p256());
        let set = client.set(site, &world.reseller, &[&ed, &ec]).await.is(200);
        assert_eq!((set.text_at("token_endpoint_auth_method"), &set.body["jwks"]["keys"]), ("private_key_jwt".into(), &json!([ed.jwk, ec.jwk])));
        assert_eq!(set.body, site.get(&format!("/v1/keys/{}", client.id)).key(&world.reseller.key).send().await.is(200).body);
        assert_eq!(told(site, &world.reseller.key, "key.updated").await.len(), 1);

        for pair in [&ed, &ec] {
            for path in [TOKEN, "/oauth/revoke", "/oauth/introspect"] {
                sent(site, path, &pair.assert(&client.claims(site)), &[]).await.is(200);
            }
            let at_endpoint = with(&client.claims(site), "aud", format!("{}{TOKEN}", client.issuer));
            let granted = sent(site, TOKEN, &pair.assert(&at_endpoint), &[("client_id", &client.id)]).await.is(200);
            site.get("/v1/me").key(&granted.text_at("access_token")).send().await.is(200);
            for header in [without(&pair.header(), "kid"), without(&pair.header(), "typ")] {
                sent(site, TOKEN, &pair.sign(&header, &client.claims(site)), &[]).await.is(200);
            }
            let now = site.clock.now().as_seconds();
            for (name, time) in [("iat", now + 10), ("nbf", now + 10), ("exp", now - 9), ("exp", now + 1)] {
                sent(site, TOKEN, &pair.assert(&with(&client.claims(site), name, time)), &[]).await.is(200);
            }
            sent(site, TOKEN, &pair.assert(&without(&client.claims(site), "iat")), &[]).await.is(200);
        }
        let renamed = ed.sign(&with(&ed.header(), "alg", "Ed25519"), &client.claims(site));
        sent(site, TOKEN, &renamed, &[]).await.is(200);
        let server = site.get("/.well-known/oauth-authorization-server").send().await.is(200);
        for endpoint in ["token", "revocation", "introspection"] {
            assert_eq!(server.body[format!("{endpoint}_endpoint_auth_methods_supported")], json!(["client_secret_basic", "client_secret_post", "private_key_jwt"]));
            assert_eq!(server.body[format!("{endpoint}_endpoint_auth_signing_alg_values_supported")], json!(["EdDSA", "Ed25519", "ES256"]));
        }
    }

    /// TOK-7
    async fn every_other_assertion_is_refused_alike(site: behind_a_proxy()) {
        let world = site.world().await;
        let (client, other) = (Client::made(site, &world.reseller).await, Client::made(site, &world.reseller).await);
        let (ed, ec, foreign) = (Pair::ed25519(), Pair::p256(), Pair::ed25519());
        client.set(site, &world.reseller, &[&ed, &ec]).await.is(200);
        let claims = client.claims(site);
        let now = site.clock.now().as_seconds();
        let good = ed.assert(&claims);
        let parts: Vec<&str> = good.split('.').collect();
        let (said, headed) = (|name: &str, value: Value| ed.assert(&with(&claims, name, value)), |name: &str, value: Value| ed.sign(&with(&ed.header(), name, value), &claims));
        let hs256 = {
            let message = format!("{}.{}", BASE64.encode(with(&ed.header(), "alg", "HS256").to_string()), parts[1]);
            let secret = EncodingKey::from_secret(&BASE64.decode(ed.jwk["x"].as_str().unwrap()).unwrap());
            let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &secret, Algorithm::HS256).unwrap();
            format!("{message}.{signature}")
        };
        let both = with(&with(&claims, "iss", other.id.clone()), "sub", other.id.clone());
        let absent = "key_01jq3v8z0kf5n9d2t7x4m6c1ab";
        let table = [
            ("of another client", ed.assert(&both)),
            ("of no client", ed.assert(&with(&with(&claims, "iss", absent), "sub", absent))),
            ("another issuer", said("iss", json!(other.id))),
            ("another subject", said("sub", json!(other.id))),
            ("another audience", said("aud", json!("https://other.example.test"))),
            ("a slash behind the audience", said("aud", json!(format!("{}/", client.issuer)))),
            ("another endpoint", said("aud", json!(format!("{}/oauth/revoke", client.issuer)))),
            ("a list of one audience", said("aud", json!([client.issuer]))),
            ("an end too far ahead", said("exp", json!(now + 301))),
            ("over", said("exp", json!(now - 10))),
            ("from the future", said("iat", json!(now + 61))),
            ("not valid yet", said("nbf", json!(now + 61))),
            ("no jti", ed.assert(&without(&claims, "jti"))),
            ("an empty jti", said("jti", json!(""))),
            ("a long jti", said("jti", json!("x".repeat(257)))),
            ("no end", ed.assert(&without(&claims, "exp"))),
            ("no audience", ed.assert(&without(&claims, "aud"))),
            ("no subject", ed.assert(&without(&claims, "sub"))),
            ("no issuer", ed.assert(&without(&claims, "iss"))),
            ("a foreign key's signature", foreign.sign(&ed.header(), &claims)),
            ("a foreign key in the header", foreign.sign(&with(&ed.header(), "jwk", foreign.jwk.clone()), &claims)),
            ("the other key's id", headed("kid", json!("ec"))),
            ("an unknown key's id", headed("kid", json!("none"))),
            ("the other key's algorithm", headed("alg", json!("ES256"))),
            ("alg none", format!("{}.{}.", BASE64.encode(with(&ed.header(), "alg", "none").to_string()), parts[1])),
            ("HS256 with the public key as its secret", hs256),
            ("Ed448", headed("alg", json!("Ed448"))),
            ("RS256", headed("alg", json!("RS256"))),
            ("an unknown extension", headed("crit", json!(["b64"]))),
            ("the type of an access token", headed("typ", json!("at+jwt"))),
            ("an altered payload", format!("{}.{}.{}", parts[0], BASE64.encode(with(&claims, "jti", "x").to_string()), parts[2])),
            ("no signature", format!("{}.{}.", parts[0], parts[1])),
            ("a dot behind it", format!("{good}.")),
            ("longer than 8 KiB", said("more", json!("x".repeat(8 * 1024)))),
            ("nothing like it", "nothing".into()),
        ];
        let mut seen = Vec::new();
        for (what, assertion) in table {
            // From somewhere else each time, so that the client has not failed too often.
            let call = site.post(TOKEN).header("X-Forwarded-For", &format!("192.0.2.{}", seen.len()));
            let answer = call.form(&[GRANT, TYPE, ("client_assertion", &assertion)]).send().await;
            assert_eq!((answer.status, answer.body["error"].as_str()), (401, Some("invalid_client")), "{what}: {}", answer.text);
            seen.push(answer.text);
        }
        assert!(seen.iter().all(|text| *text == seen[0]), "{seen:#?}");
        sent(site, TOKEN, &good, &[]).await.is(200);
    }

    /// TOK-7: of many that send the same one at the same time to two replicas, one is let in.
    async fn an_assertion_is_used_once_across_all_replicas(site: With::clock()) {
        let world = site.world().await;
        let (client, other) = (Client::made(site, &world.reseller).await, Client::made(site, &world.reseller).await);
        let pair = Pair::ed25519();
        client.set(site, &world.reseller, &[&pair]).await.is(200);
        other.set(site, &world.reseller, &[&pair]).await.is(200);
        let beside = site.beside().await;
        for _ in 0..5 {
            let claims = client.claims(site);
            let assertion = pair.assert(&claims);
            let all = (0..8).map(|n| sent(if n % 2 == 0 { site } else { &beside }, TOKEN, &assertion, &[]));
            let mut statuses: Vec<_> = futures_util::future::join_all(all).await.iter().map(|answer| answer.status).collect();
            statuses.sort();
            assert_eq!(statuses, [200, 401, 401, 401, 401, 401, 401, 401]);
            site.clock.advance(Duration::from_secs(61));

            let again = pair.assert(&with(&claims, "exp", site.clock.now().as_seconds() + 100));
            sent(&beside, TOKEN, &again, &[]).await.is(401);
            let of_other = with(&with(&other.claims(site), "jti", claims["jti"].clone()), "iat", Value::Null);
            sent(&beside, TOKEN, &pair.assert(&of_other), &[]).await.is(200);
            // As long as it could be taken, it is remembered.
            site.clock.advance(Duration::from_secs(248));
            sent(&beside, TOKEN, &assertion, &[]).await.is(401);
        }
        beside.stop().await;
    }

    /// TOK-2: a client has one way to authenticate, and uses it once.
    async fn a_client_with_assertions_is_taken_with_nothing_else_and_one_with_a_secret_not_with_them(site: With::clock()) {
        let world = site.world().await;
        let client = Client::made(site, &world.reseller).await;
        let (id, secret) = (client.id.as_str(), client.secret.as_str());
        let pair = Pair::ed25519();
        sent(site, TOKEN, &pair.assert(&client.claims(site)), &[]).await.is(401);
        site.post(TOKEN).basic(id, secret).form(&[GRANT]).send().await.is(200);
        client.set(site, &world.reseller, &[&pair]).await.is(200);
        site.post(TOKEN).basic(id, secret).form(&[GRANT]).send().await.is(401);
        site.post(TOKEN).form(&[GRANT, ("client_id", id), ("client_secret", secret)]).send().await.is(401);
        site.get("/v1/me").key(secret).send().await.is(200);

        let assertion = pair.assert(&client.claims(site));
        let form = [GRANT, TYPE, ("client_assertion", assertion.as_str())];
        let twice = [
            site.post(TOKEN).basic(id, secret).form(&form).send().await,
            site.post(TOKEN).form(&[&form[..], &[("client_id", id), ("client_secret", secret)]].concat()).send().await,
            site.post(TOKEN).form(&[&form[..], &[("client_id", "key_01jq3v8z0kf5n9d2t7x4m6c1ab")]].concat()).send().await,
        ];
        for answer in twice {
            assert_eq!((answer.status, answer.body["error"].as_str()), (400, Some("invalid_request")), "{}", answer.text);
        }
        let other_type = [GRANT, ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"), form[2]];
        for form in [&other_type[..], &[GRANT, form[2]], &[GRANT, TYPE]] {
            let answer = site.post(TOKEN).form(form).send().await;
            assert_eq!((answer.status, answer.body["error"].as_str()), (401, Some("invalid_client")), "{}", answer.text);
        }
        // None of them used it up.
        site.post(TOKEN).form(&form).send().await.is(200);
        site.get("/v1/me").key(&pair.assert(&client.claims(site))).send().await.refused(401, "invalid_token");

        let back = json!({"token_endpoint_auth_method": "client_secret_basic"});
        let told = site.put(&format!("/v1/keys/{id}/client")).key(&world.reseller.key).json(back).send().await.is(200);
        assert_eq!(told.body["jwks"], Value::Null);
        site.post(TOKEN).basic(id, secret).form(&[GRANT]).send().await.is(200);
        sent(site, TOKEN, &pair.assert(&client.claims(site)), &[]).await.is(401);
    }

    /// TOK-7, KEY-7
    async fn public_keys_are_checked_and_only_who_could_have_the_key_sets_them(site: With::no_workers()) {
        let world = site.world().await;
        let client = Client::made(site, &world.reseller).await;
        let path = format!("/v1/keys/{}/client", client.id);
        let (ed, ec) = (Pair::ed25519(), Pair::p256());
        let set = async |method: &str, jwks: Value| {
            let asked = json!({"token_endpoint_auth_method": method, "jwks": jwks});
            site.put(&path).key(&world.reseller.key).json(asked).send().await
        };
        let rsa = json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"});
        let table = [
            with(&ed.jwk, "d", "x".repeat(43)), rsa, json!({"kty": "oct", "k": "AAAA"}), without(&ed.jwk, "x"),
            with(&ed.jwk, "x", "AAAA"), with(&ed.jwk, "crv", "P-256"), with(&ed.jwk, "crv", "X25519"), with(&ed.jwk, "alg", "ES256"), with(&ed.jwk, "use", "enc"),
            with(&ec.jwk, "alg", "EdDSA"), without(&ec.jwk, "y"), with(&ec.jwk, "x", BASE64.encode([1; 32])), with(&ec.jwk, "kid", ""),
        ];
        for jwk in table {
            set("private_key_jwt", json!({"keys": [jwk]})).await.refused(422, "validation_failed");
        }
        set("private_key_jwt", json!({"keys": []})).await.refused(422, "validation_failed");
        set("private_key_jwt", json!({"keys": [ed.jwk, ed.jwk]})).await.refused(422, "validation_failed");
        set("private_key_jwt", json!({"keys": vec![without(&ed.jwk, "kid"); 11]})).await.refused(422, "validation_failed");
        set("client_secret_basic", json!({"keys": [ed.jwk]})).await.refused(422, "validation_failed");
        set("client_secret_jwt", json!({"keys": [ed.jwk]})).await.refused(422, "validation_failed");
        site.put(&path).key(&world.reseller.key).json(json!({"token_endpoint_auth_method": "private_key_jwt"})).send().await.refused(422, "validation_failed");

        let weak = json!({"name": "weak", "scopes": ["keys:write"]});
        let weak = site.post("/v1/keys").key(&world.reseller.key).json(weak).send().await.is(201).text_at("secret");
        let asked = json!({"token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [ed.jwk]}});
        site.put(&path).key(&weak).json(asked.clone()).send().await.refused(403, "scope_escalation");
        site.put(&path).key(&world.tenant.key).json(asked.clone()).send().await.refused(404, "not_found");
        site.delete(&format!("/v1/keys/{}", client.id)).key(&world.reseller.key).send().await.is(200);
        site.put(&path).key(&world.reseller.key).json(asked).send().await.refused(409, "state_conflict");
    }
}

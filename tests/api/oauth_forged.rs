//! Access tokens that look like ours: signed with the server's real key, or nearly, and sent over HTTP.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jsonwebtoken::{Algorithm, EncodingKey};
use secrecy::ExposeSecret;
use tenantry::access::kek;
use tenantry::access::seal::{Context, Sealer};
use tenantry::access::signing::SigningKey;
use tenantry::model::Subtree;
use tenantry::model::ids::SigningKeyId;
use tenantry::store::facts;

use super::*;

/// A private key that tokens are signed with.
struct Signer {
    public: [u8; 32],
    private: EncodingKey,
}

impl Signer {
    fn of(id: SigningKeyId, pkcs8: &[u8]) -> Self {
        let public = SigningKey::from_pkcs8(id, pkcs8).unwrap().public().bytes;
        Self { public, private: EncodingKey::from_ed_der(pkcs8) }
    }

    /// A stranger's.
    fn foreign() -> Self {
        Self::of(SigningKeyId::new(), SigningKey::generate().expose_secret())
    }

    /// The server's own, taken out of its database as a thief with the key-encryption key would.
    async fn of_server(site: &Site) -> Self {
        let mut conn = site.db.read(Subtree::everything()).await.unwrap();
        let row = facts::signing_keys(&mut conn).await.unwrap().remove(0);
        let sealer = Sealer::of(kek::load(&site.folder.join("kek")).unwrap());
        let record = row.id.to_string();
        let place =
            Context { table: "signing_keys", column: "private_key", account_id: "", record_id: &record };
        Self::of(row.id, sealer.open(&place, &row.private_key).unwrap().expose_secret())
    }

    fn sign(&self, header: &Value, payload: &Value) -> String {
        signed(header, payload, |message| {
            jsonwebtoken::crypto::sign(message, &self.private, Algorithm::EdDSA).unwrap()
        })
    }
}

fn signed(header: &Value, payload: &Value, sign: impl Fn(&[u8]) -> String) -> String {
    let message = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(payload.to_string()));
    format!("{message}.{}", sign(message.as_bytes()))
}

/// The value with a member that is another, or left out.
fn with(value: &Value, name: &str, other: Value) -> Value {
    let mut altered = value.clone();
    altered[name] = other;
    altered
}

fn without(value: &Value, name: &str) -> Value {
    let mut altered = value.clone();
    altered.as_object_mut().unwrap().remove(name).unwrap();
    altered
}

/// A token as the server issues it, taken apart.
struct Original {
    header: Value,
    payload: Value,
    text: String,
    signer: Signer,
}

impl Original {
    async fn of(site: &Site) -> Self {
        let world = site.world().await;
        let asked = json!({"name": "client", "scopes": ["accounts:read"]});
        let made = site.post("/v1/keys").key(&world.reseller.key).json(asked).send().await.is(201);
        let grant = [("grant_type", "client_credentials")];
        let told =
            site.post("/oauth/token").basic(&made.id(), &made.text_at("secret")).form(&grant).send().await;
        let text = told.is(200).text_at("access_token");
        let part = |index| {
            let part = text.split('.').nth(index).unwrap();
            serde_json::from_slice(&BASE64.decode(part).unwrap()).unwrap()
        };
        Self { header: part(0), payload: part(1), signer: Signer::of_server(site).await, text: text.clone() }
    }

    fn saying(&self, name: &str, other: Value) -> String {
        self.signer.sign(&self.header, &with(&self.payload, name, other))
    }

    fn lacking(&self, name: &str) -> String {
        self.signer.sign(&self.header, &without(&self.payload, name))
    }

    fn headed(&self, name: &str, other: Value) -> String {
        self.signer.sign(&with(&self.header, name, other), &self.payload)
    }

    /// What must be refused, each under its name.
    fn forgeries(&self) -> Vec<(String, String)> {
        let Self { header, payload, text, signer } = self;
        let foreign = Signer::foreign();
        let now = payload["iat"].as_i64().unwrap();
        let issuer = payload["iss"].as_str().unwrap();
        let parts: Vec<&str> = text.split('.').collect();
        let hmac = |alg: &str, secret: &[u8]| {
            signed(&with(header, "alg", json!(alg)), payload, |message| {
                let algorithm = alg.parse().unwrap();
                jsonwebtoken::crypto::sign(message, &EncodingKey::from_secret(secret), algorithm).unwrap()
            })
        };
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": BASE64.encode(foreign.public)});
        let altered = BASE64.encode(with(payload, "scope", json!("servers:write")).to_string());
        let headless = BASE64.encode(with(header, "alg", json!("none")).to_string());
        let assertion = json!({
            "iss": payload["client_id"], "sub": payload["client_id"], "aud": issuer, "jti": "one", "iat": now, "exp": now + 60,
        });
        let mut all = vec![
            ("alg none without a signature", format!("{headless}.{}.", parts[1])),
            ("alg none with the true signature", format!("{headless}.{}.{}", parts[1], parts[2])),
            ("HS256 with the public key as its secret", hmac("HS256", &signer.public)),
            (
                "HS256 with the public key's text as its secret",
                hmac("HS256", BASE64.encode(signer.public).as_bytes()),
            ),
            ("HS512 with the public key as its secret", hmac("HS512", &signer.public)),
            ("another key of the same kind under the same kid", foreign.sign(header, payload)),
            ("a foreign kid", foreign.sign(&with(header, "kid", json!(SigningKeyId::new())), payload)),
            ("an embedded key", foreign.sign(&with(header, "jwk", jwk), payload)),
            (
                "a linked key",
                foreign.sign(&with(header, "jku", json!("https://evil.example.test/jwks")), payload),
            ),
            (
                "a linked certificate",
                foreign.sign(&with(header, "x5u", json!("https://evil.example.test/x5u")), payload),
            ),
            ("an embedded certificate", foreign.sign(&with(header, "x5c", json!(["MIIB"])), payload)),
            ("a key's id that is a path", self.headed("kid", json!("../../dev/null"))),
            ("no key's id", signer.sign(&without(header, "kid"), payload)),
            ("no algorithm", signer.sign(&without(header, "alg"), payload)),
            ("no type", signer.sign(&without(header, "typ"), payload)),
            ("an unknown extension", self.headed("crit", json!(["http://example.test/extension"]))),
            ("an extension that is there", self.headed("crit", json!(["b64"]))),
            ("no extensions", self.headed("crit", json!([]))),
            (
                "an assertion for the token endpoint",
                signer.sign(&with(header, "typ", json!("JWT")), &assertion),
            ),
            ("an assertion of the type of a token", signer.sign(header, &assertion)),
            ("two audiences", self.saying("aud", json!([issuer, issuer]))),
            ("just over", self.saying("exp", json!(now - 10))),
            ("long over", self.saying("exp", json!(now - 61))),
            ("an end in words", self.saying("exp", json!("tomorrow"))),
            ("longer than 8 KiB", self.saying("scope", json!("x".repeat(8 * 1024)))),
            ("an altered payload", format!("{}.{altered}.{}", parts[0], parts[2])),
            ("an altered signature", format!("{}.{}.{}", parts[0], parts[1], BASE64.encode([7; 64]))),
            ("no signature", format!("{}.{}.", parts[0], parts[1])),
            ("a dot behind it", format!("{text}.")),
            ("dots behind it", format!("{text}..")),
            ("four parts", format!("{text}.{}", parts[2])),
            ("two parts", format!("{}.{}", parts[0], parts[1])),
            ("padding", format!("{text}=")),
        ]
        .into_iter()
        .map(|(what, token)| (what.to_owned(), token))
        .collect::<Vec<_>>();
        for alg in ["ES256", "RS256", "PS256", "HS256", "Ed448", "eddsa", ""] {
            all.push((format!("alg {alg}, signed with the real key"), self.headed("alg", json!(alg))));
        }
        for typ in ["JWT", "AT+JWT", "at+JWT", "application/at+jwt", "dpop+jwt", "at+jwt ", ""] {
            all.push((format!("typ {typ}"), self.headed("typ", json!(typ))));
        }
        for iss in
            [format!("{issuer}/"), issuer.to_uppercase(), "https://evil.example.test".into(), String::new()]
        {
            all.push((format!("iss {iss}"), self.saying("iss", json!(iss))));
            all.push((format!("aud {iss}"), self.saying("aud", json!(iss))));
        }
        for name in ["iat", "nbf"] {
            all.push((format!("{name} 61 s ahead"), self.saying(name, json!(now + 61))));
        }
        for name in ["iss", "sub", "aud", "exp", "iat", "nbf", "jti", "client_id", "scope", "acct"] {
            all.push((format!("no {name}"), self.lacking(name)));
            all.push((format!("{name} null"), self.saying(name, Value::Null)));
        }
        all
    }

    /// What must be taken, so that the others are refused for what they say and not for how they were made.
    fn genuine(&self) -> Vec<(&str, String)> {
        let now = self.payload["iat"].as_i64().unwrap();
        vec![
            ("as it was issued", self.text.clone()),
            ("signed again", self.signer.sign(&self.header, &with(&self.payload, "jti", json!("again")))),
            ("iat 10 s ahead", self.saying("iat", json!(now + 10))),
            ("nbf 10 s ahead", self.saying("nbf", json!(now + 10))),
            ("over for 9 s", self.saying("exp", json!(now - 9))),
            ("jku", self.headed("jku", json!("https://evil.example.test/jwks"))),
            ("x5u", self.headed("x5u", json!("https://evil.example.test/x5u"))),
            ("jwk", self.headed("jwk", json!({"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}))),
            ("x5c", self.headed("x5c", json!(["MIIB"]))),
            ("an unknown claim", self.saying("roles", json!(["admin"]))),
        ]
    }
}

on_both_servers! {
    /// TOK-6
    async fn every_forged_token_is_an_invalid_token_and_every_genuine_one_is_taken(site: With::clock()) {
        let original = Original::of(site).await;
        for (what, token) in original.genuine() {
            let answer = site.get("/v1/me").key(&token).send().await;
            assert_eq!(answer.status, 200, "{what}: {}", answer.text);
        }
        for (what, token) in original.forgeries() {
            let answer = site.get("/v1/me").key(&token).send().await;
            let told = (answer.status, answer.body["code"].as_str());
            assert_eq!(told, (401, Some("invalid_token")), "{what}: {}", answer.text);
            let challenge = answer.header("www-authenticate").unwrap();
            assert!(challenge.starts_with("Bearer error=\"invalid_token\", "), "{what}: {challenge}");
        }
    }
}

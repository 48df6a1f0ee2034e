//! The keys that tokens are signed with follow each other, and nobody who verifies meets one that was not told before.

use std::net::SocketAddr;

use reqwest::Method;
use tenantry::program::{Program, Roles, Running};
use tenantry::store::facts;
use tenantry::telemetry;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);
const SECOND: Duration = Duration::from_secs(1);

/// A client that gets its token where it is told.
struct Client {
    id: String,
    secret: String,
}

impl Client {
    async fn new(site: &Site) -> Self {
        let asked = json!({"name": "client", "scopes": ["accounts:read"]});
        let made = site.post("/v1/keys").key(&site.operator_key).json(asked).send().await.is(201);
        Self { id: made.id(), secret: made.text_at("secret") }
    }

    async fn token(&self, site: &Site, at: SocketAddr) -> String {
        let call = site.at(at, Method::POST, "/oauth/token").basic(&self.id, &self.secret);
        call.form(&[("grant_type", "client_credentials")]).send().await.is(200).text_at("access_token")
    }
}

/// Another replica on the same database, which serves.
async fn replica(site: &Site) -> (Running, SocketAddr) {
    let metrics = telemetry::detached_metrics().unwrap().handle();
    let roles = Roles { api: true, workers: false };
    let running = site.program().await.start(roles, metrics).await.unwrap();
    let address = running.address.unwrap();
    (running, address)
}

/// The keys that are told, by name.
async fn told(site: &Site, at: SocketAddr) -> Vec<String> {
    let keys = site.at(at, Method::GET, "/oauth/jwks").send().await.is(200);
    let mut keys: Vec<_> = keys.body["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key["kid"].as_str().unwrap().to_owned())
        .collect();
    keys.sort();
    keys
}

async fn is_told(site: &Site, at: SocketAddr, keys: &[&str]) {
    let mut keys: Vec<_> = keys.iter().map(|key| (*key).to_owned()).collect();
    keys.sort();
    until("the keys are told", async || told(site, at).await == keys).await;
}

/// Which key a token was signed with.
fn signed_with(token: &str) -> String {
    use base64::Engine;
    let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap());
    let header: Value = serde_json::from_slice(&header.unwrap()).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}

async fn status(site: &Site, at: SocketAddr, token: &str) -> u16 {
    site.at(at, Method::GET, "/v1/me").key(token).send().await.status
}

async fn kept(site: &Site) -> usize {
    let mut conn = site.db.read(tenantry::model::Subtree::everything()).await.unwrap();
    facts::signing_keys(&mut conn).await.unwrap().len()
}

async fn add(program: &Program) -> String {
    program.add_signing_key().await.unwrap().id.to_string()
}

on_both_servers! {
    /// TOK-8
    async fn the_next_key_is_told_a_day_before_it_signs_and_the_last_until_its_tokens_have_ended(site: With::clock()) {
        let (client, here) = (Client::new(site).await, site.address);
        let (running, there) = replica(site).await;
        let first = signed_with(&client.token(site, here).await);
        assert_eq!(told(site, here).await, std::slice::from_ref(&first));

        let program = site.program().await;
        let next = add(&program).await;
        assert!(program.add_signing_key().await.is_err(), "one waits already");
        for at in [here, there] {
            is_told(site, at, &[&first, &next]).await;
            assert_eq!(signed_with(&client.token(site, at).await), first);
        }
        site.clock.advance(24 * HOUR - SECOND);
        let last = client.token(site, here).await;
        assert_eq!(signed_with(&last), first);
        site.clock.advance(SECOND);
        let newer = client.token(site, here).await;
        assert_eq!((signed_with(&newer), signed_with(&client.token(site, there).await)), (next.clone(), next.clone()));

        // The longest that a token can live, and who was started only now knows the key that was before.
        let (cold, third) = replica(site).await;
        for at in [here, there, third] {
            assert_eq!((status(site, at, &last).await, status(site, at, &newer).await), (200, 200));
        }
        site.clock.advance(HOUR);
        for at in [here, there, third] {
            assert_eq!(told(site, at).await.len(), 2);
        }
        site.clock.advance(HOUR);
        for at in [here, there, third] {
            assert_eq!(told(site, at).await, std::slice::from_ref(&next));
        }
        assert_eq!(kept(site).await, 2);
        site.clock.advance(24 * HOUR);
        until("the key before is taken away", async || kept(site).await == 1).await;
        is_told(site, here, &[&next]).await;
        assert_eq!(signed_with(&client.token(site, there).await), next);
        running.stop().await;
        cold.stop().await;
    }

    /// TOK-8: the way out when a private key may be known to others.
    async fn a_key_that_leaked_is_replaced_and_what_it_signed_ends_on_every_replica(site: With::clock()) {
        let (client, here) = (Client::new(site).await, site.address);
        let (running, there) = replica(site).await;
        let token = client.token(site, here).await;
        for at in [here, there] {
            assert_eq!(status(site, at, &token).await, 200);
        }
        let program = site.program().await;
        add(&program).await;
        let only = program.replace_signing_keys().await.unwrap().to_string();
        for at in [here, there] {
            is_told(site, at, &[&only]).await;
            site.at(at, Method::GET, "/v1/me").key(&token).send().await.refused(401, "invalid_token");
        }
        for at in [here, there] {
            let token = client.token(site, at).await;
            assert_eq!((signed_with(&token), status(site, here, &token).await, status(site, there, &token).await), (only.clone(), 200, 200));
        }
        running.stop().await;
    }

    /// TOK-8, AUD-1: nobody has to think of it, and it is told.
    async fn the_next_key_is_made_when_its_time_has_come_and_once_however_many_replicas(site: With { settings: &[("TENANTRY_TOKENS__SIGNING_KEY_DAYS", "7")], ..With::clock() }) {
        let (running, there) = replica(site).await;
        site.clock.advance(7 * 24 * HOUR - SECOND);
        let (more, _) = replica(site).await;
        assert_eq!(kept(site).await, 1);
        site.clock.advance(SECOND);
        until("the next key is told here", async || told(site, site.address).await.len() == 2).await;
        until("and there", async || told(site, there).await.len() == 2).await;
        assert_eq!(kept(site).await, 2);
        let audit = site.all(&site.operator_key, "/v1/audit", 50).await;
        let made: Vec<_> = audit.iter().filter(|line| line["action"] == "signing_key_add").collect();
        assert!(told(site, there).await.contains(&made[0]["resource"].as_str().unwrap().to_owned()));
        assert_eq!((made.len(), &made[0]["detail"]), (1, &json!({"by": "upkeep"})));
        more.stop().await;
        running.stop().await;
    }

    async fn of_many_who_add_a_key_at_once_one_does_and_it_can_be_taken_back(site: With::clock()) {
        let program = std::sync::Arc::new(site.program().await);
        let tasks: Vec<_> = (0..8).map(|_| {
            let program = program.clone();
            tokio::spawn(async move { program.add_signing_key().await.is_ok() })
        }).collect();
        let mut added = 0;
        for task in tasks {
            added += usize::from(task.await.unwrap());
        }
        assert_eq!((added, kept(site).await), (1, 2));
        assert!(program.signing_status().await.unwrap()[1].contains("is told, and signed with from"));
        program.drop_signing_key().await.unwrap();
        assert!(program.drop_signing_key().await.is_err());
        assert_eq!((kept(site).await, program.signing_status().await.unwrap().len()), (1, 1));
        add(&program).await;
        site.clock.advance(24 * HOUR);
        assert!(program.drop_signing_key().await.is_err(), "it is signed with");
        add(&program).await;
    }
}

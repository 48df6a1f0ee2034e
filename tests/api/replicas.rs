//! What ends a credential ends it on every replica, without Redis: at once where it was done, elsewhere as soon as the
//! memory of it is over.

use tenantry::model::Subtree;

use super::*;
use crate::common::Fresh;

/// Two replicas on one PostgreSQL, with one clock that stands.
struct Pair {
    here: Site,
    there: Site,
    world: World,
}

/// When all replicas must know (KEY-7).
const KNOWN: Duration = Duration::from_secs(5);

impl Pair {
    async fn new() -> Self {
        let here = Site::open(Fresh::postgres().await, With::clock()).await;
        let there = here.beside().await;
        let world = here.world().await;
        Self { here, there, world }
    }

    /// Asserts what both replicas answer, one after the other.
    async fn answer(&self, key: &str, here: u16, there: u16) {
        for (site, due) in [(&self.here, here), (&self.there, there)] {
            let answer = site.get("/v1/orders").key(key).send().await;
            assert_eq!(answer.status, due, "{}", answer.text);
        }
    }

    /// Has both know the key, does something here, and asserts that it bites here at once and there when it must.
    async fn ends<F: Future>(&self, key: &str, status: u16, done: F) {
        self.answer(key, 200, 200).await;
        done.await;
        self.answer(key, status, 200).await;
        self.here.clock.advance(KNOWN);
        self.answer(key, status, status).await;
    }

    async fn close(self) {
        self.there.stop().await;
        self.here.close().await;
    }

    /// A key of the tenant's with some scopes.
    async fn key(&self, more: Value) -> Answer {
        let mut asked = json!({"name": "k", "scopes": ["orders:read", "orders:place"], "hold_classes": []});
        asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.here.post("/v1/keys").key(&self.world.tenant.key).json(asked).send().await.is(201)
    }
}

/// KEY-7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_and_its_tokens_end_everywhere() {
    let pair = Pair::new().await;
    let made = pair.key(json!({})).await;
    let (id, key) = (made.id(), made.text_at("secret"));
    let token = pair.here.post("/oauth/token").basic(&id, &key).form(&[("grant_type", "client_credentials")]);
    let token = token.send().await.is(200).text_at("access_token");
    pair.answer(&token, 200, 200).await;
    let path = format!("/v1/keys/{id}");
    pair.ends(&key, 401, async { pair.here.delete(&path).key(&pair.world.tenant.key).send().await.is(200) })
        .await;
    pair.answer(&token, 401, 401).await;
    pair.close().await;
}

/// KEY-7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storefronts_key_that_is_revoked_ends_everywhere() {
    let pair = Pair::new().await;
    let by = &pair.here.operator_key;
    let asked = json!({"name": "Shop", "origins": ["https://shop.example"]});
    let made = pair.here.post("/v1/storefront_keys").key(by).json(asked).send().await.is(201);
    let key = made.text_at("key");
    let answer = async |here: u16, there: u16| {
        for (site, due) in [(&pair.here, here), (&pair.there, there)] {
            let call = site.get("/v1/plans").key(&key).header("Origin", "https://shop.example");
            call.send().await.is(due);
        }
    };
    answer(200, 200).await;
    pair.here.delete(&format!("/v1/storefront_keys/{}", made.id())).key(by).send().await.is(200);
    answer(401, 200).await;
    pair.here.clock.advance(KNOWN);
    answer(401, 401).await;
    pair.close().await;
}

/// KEY-7: an end that was told beforehand needs no memory to be over
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_expires_everywhere_in_the_same_moment() {
    let pair = Pair::new().await;
    let expires = pair.here.clock.now().plus(Duration::from_secs(2));
    let key = pair.key(json!({"expires_at": expires})).await.text_at("secret");
    pair.answer(&key, 200, 200).await;
    pair.here.clock.advance(Duration::from_secs(2));
    pair.answer(&key, 401, 401).await;
    pair.close().await;
}

/// KEY-7: no call takes a scope from a key yet, so it is taken in the database, past both replicas
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scope_that_a_key_loses_is_lost_everywhere() {
    let pair = Pair::new().await;
    let made = pair.key(json!({})).await;
    let (id, key) = (made.id(), made.text_at("secret"));
    let token = pair.here.post("/oauth/token").basic(&id, &key).form(&[("grant_type", "client_credentials")]);
    let token = token.send().await.is(200).text_at("access_token");
    pair.answer(&key, 200, 200).await;
    let less = format!("UPDATE api_keys SET scopes = '[\"orders:place\"]' WHERE id = '{id}'");
    pair.here.fresh.tamper(&less).await;
    pair.here.clock.advance(KNOWN);
    pair.answer(&key, 403, 403).await;
    pair.answer(&token, 403, 403).await;
    pair.close().await;
}

/// KEY-7, AUTHZ-7: its keys may read only
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_account_stops_changing_things_everywhere_and_so_does_all_below_it() {
    let pair = Pair::new().await;
    let key = pair.world.tenant.key.clone();
    let order = |site: &Site| site.post("/v1/orders").key(&key).json(json!({})).send();
    for (account, by) in [
        (&pair.world.tenant.id, &pair.world.reseller.key),
        (&pair.world.reseller.id, &pair.world.operator.key),
    ] {
        for site in [&pair.here, &pair.there] {
            order(site).await.refused(422, "validation_failed");
        }
        let suspend = pair.here.post(&format!("/v1/accounts/{account}/suspend")).key(by);
        let placed = suspend.json(json!({"reason_code": "payment"})).send().await;
        assert_eq!(placed.body["changed"], true, "{}", placed.text);
        order(&pair.here).await.refused(403, "account_suspended");
        order(&pair.there).await.refused(422, "validation_failed");
        pair.here.clock.advance(KNOWN);
        order(&pair.there).await.refused(403, "account_suspended");
        pair.answer(&key, 200, 200).await;
        pair.here.post(&format!("/v1/accounts/{account}/resume")).key(by).send().await;
        pair.here.clock.advance(KNOWN);
    }
    pair.close().await;
}

/// KEY-7, AUTHZ-6: what an account lets those above it do
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_account_says_of_those_above_it_is_known_everywhere() {
    let pair = Pair::new().await;
    let path = format!("/v1/accounts/{}", pair.world.tenant.id);
    let keys = |site: &Site| {
        site.get("/v1/keys").key(&pair.world.reseller.key).acting_for(&pair.world.tenant.id).send()
    };
    keys(&pair.here).await.is(200);
    keys(&pair.there).await.is(200);
    let none = json!({"delegation": {"allow": "none"}});
    pair.here.patch(&path).key(&pair.world.tenant.key).json(none).send().await.is(200);
    keys(&pair.here).await.refused(403, "delegation_denied");
    keys(&pair.there).await.is(200);
    pair.here.clock.advance(KNOWN);
    keys(&pair.there).await.refused(403, "delegation_denied");
    let mut conn = pair.here.db.read(Subtree::everything()).await.unwrap();
    assert_eq!(tenantry::store::accounts::accounts::walls(&mut conn).await.unwrap().len(), 1);
    drop(conn);
    pair.close().await;
}

/// AUTHZ-8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_moved_is_out_of_its_old_sellers_reach_everywhere_and_loses_nothing_itself() {
    let pair = Pair::new().await;
    let (tenant, old) = (&pair.world.tenant, &pair.world.reseller);
    let new = pair.here.account(&pair.here.operator_key, "reseller", "New").await;
    let order = pair.here.ordered(tenant, "acme.example", 1).await.order;
    let path = format!("/v1/accounts/{}", tenant.id);
    let on_both = async |path: &str, key: &str, here: u16, there: u16| {
        for (site, due) in [(&pair.here, here), (&pair.there, there)] {
            let answer = site.get(path).key(key).send().await;
            assert_eq!(answer.status, due, "{}", answer.text);
        }
    };
    on_both(&path, &old.key, 200, 200).await;
    on_both(&path, &new.key, 404, 404).await;
    pair.answer(&tenant.key, 200, 200).await;
    let walk = pair.there.get("/v1/services?limit=1").key(&tenant.key).send().await.is(200);
    let next = format!("/v1/services?limit=1&cursor={}", walk.text_at("next_cursor"));
    let feed = pair.there.get("/v1/events?limit=1").key(&tenant.key).send().await.is(200);
    let on = format!("/v1/events?after={}", feed.text_at("next_after"));

    let moved = json!({"parent_id": new.id});
    pair.here.post(&format!("{path}/move")).key(&pair.here.operator_key).json(moved).send().await.is(200);
    on_both(&path, &old.key, 404, 404).await;
    on_both(&path, &new.key, 200, 200).await;
    // What is remembered of its key is older than the move: it is not told that it has nothing.
    let list = async || pair.there.get("/v1/orders").key(&tenant.key).send().await;
    let told = list().await.refused(409, "account_moved");
    assert_eq!(told.body["retryable"], true);
    assert_eq!(list().await.is(200).ids().join(","), order);
    pair.there.get(&next).key(&tenant.key).send().await.refused(400, "invalid_cursor");
    // The feed holds back what another test's open transaction might still come before.
    until("the feed goes on from where it was", async || {
        !pair.there.get(&on).key(&tenant.key).send().await.is(200).ids().is_empty()
    })
    .await;

    let back = json!({"parent_id": old.id});
    pair.here.post(&format!("{path}/move")).key(&pair.here.operator_key).json(back).send().await.is(200);
    pair.there
        .get(&format!("/v1/orders/{order}"))
        .key(&tenant.key)
        .send()
        .await
        .refused(409, "account_moved");
    let change = json!({"name": "Renamed"});
    pair.there.patch(&path).key(&tenant.key).json(change).send().await.is(200);
    pair.here.clock.advance(KNOWN);
    pair.answer(&tenant.key, 200, 200).await;
    pair.close().await;
}

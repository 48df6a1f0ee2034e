//! What is not kept for ever.

use tenantry::model::accounts::requests::Request;
use tenantry::model::ids::{KeyId, RequestId};
use tenantry::store::accounts::requests;

use super::*;

on_both_engines! {
    /// RET-1, the log of requests.
    async fn requests_are_forgotten_when_their_time_is_over(db: Db) {
        let (world, connector) = begin(&db).await;
        let (tenant, now) = (&world.tenant, world.clock.now());
        let received = |received_at: Time| Request {
            id: RequestId::new(),
            account_id: tenant.id,
            path: tenant.path.clone(),
            key_id: KeyId::new(),
            operation: "orders_place".into(),
            method: "POST".into(),
            target: "/v1/orders".into(),
            status: 202,
            code: None,
            idempotency_key: None,
            replayed: false,
            address: None,
            user_agent: None,
            client_request_id: None,
            duration_us: 900,
            received_at,
        };
        // More than are removed in one transaction.
        let old: Vec<_> = (0..450).map(|n| received(now.minus(25 * HOUR).minus(n * HOUR / 60))).collect();
        let fresh = received(now.minus(23 * HOUR));
        let mut tx = db.write(Subtree::everything()).await.unwrap();
        for request in old.iter().chain([&fresh]) {
            requests::insert(&mut tx, request).await.unwrap();
        }
        tx.commit().await.unwrap();
        let running = Running::with(&world, &connector, Settings { keep_requests: 24 * HOUR, ..settings() });
        let left = async || {
            let mut conn = db.read(Subtree::everything()).await.unwrap();
            requests::page(&mut conn, tenant.id, None, 500).await.unwrap()
        };
        until("the old ones are gone", async || left().await.len() == 1).await;
        assert_eq!(left().await, [fresh]);
        running.stop().await;
    }
}

//! What the program writes into its log.

use super::process::{Installation, Outsider};
use super::program::as_owner;
use super::*;

/// KEY-12
async fn is_silent_about_urls(installation: Installation) {
    let installation = installation.with("LOG__FILTER", "debug");
    let key = installation.key();
    let served = installation.serve().await;
    let outsider = Outsider::new(installation.listen, &key);
    let secret = key.rsplit('_').next().unwrap();
    for path in [format!("/orders?limit=1&key={key}"), format!("/nowhere?x={key}"), format!("/orders?{key}")]
    {
        let refused = outsider.call(reqwest::Method::GET, &path).send().await.unwrap();
        assert_eq!(refused.status(), 401);
        assert!(!refused.text().await.unwrap().contains(secret));
    }
    assert_eq!(outsider.call(reqwest::Method::GET, "/orders?limit=1").send().await.unwrap().status(), 200);
    served.terminate();
    assert!(served.ended().await.success());
    let said = installation.said();
    assert!(said.contains("\"status\":401"), "{said}");
    assert!(!said.contains(secret) && !said.contains("limit=1"), "{said}");
    installation.remove();
}

#[tokio::test]
async fn a_url_with_a_key_in_it_is_not_logged_on_sqlite() {
    let installation = Installation::new();
    assert!(installation.run(&["migrate"]).status.success());
    is_silent_about_urls(installation).await;
}

#[tokio::test]
async fn a_url_with_a_key_in_it_is_not_logged_on_postgres() {
    let fresh = Fresh::postgres().await;
    is_silent_about_urls(Installation::on(&fresh.url).with("DATABASE__MIGRATE_URL", as_owner(&fresh))).await;
    fresh.remove().await;
}

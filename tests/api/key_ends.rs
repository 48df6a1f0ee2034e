//! How long keys last.

use super::*;

const DAY: u64 = 24 * 3600;

/// What comes of asking for a key that ends so many days from now, never, or when nothing is said.
async fn made(site: &Site, end: Option<Option<u64>>) -> Answer {
    let mut asked = json!({"name": "k", "scopes": ["orders:read"], "hold_classes": []});
    if let Some(end) = end {
        asked["expires_at"] = json!(end.map(|days| in_days(site, days)));
    }
    site.post("/v1/keys").key(&lasting(site).await).json(asked).send().await
}

fn in_days(site: &Site, days: u64) -> tenantry::model::Time {
    site.clock.now().plus(Duration::from_secs(days * DAY))
}

/// A key of the operator's that never ends, made past the program, so that its own end is in nobody's way.
async fn lasting(site: &Site) -> String {
    site.fresh.tamper("UPDATE api_keys SET expires_at = NULL").await;
    site.operator_key.clone()
}

on_both_servers! {
    /// KEY-4
    async fn a_key_lasts_no_longer_than_the_operator_lets_any(site: With {
        settings: &[("TENANTRY_KEYS__MAX_DAYS", "90")],
        ..With::clock()
    }) {
        lasting(site).await;
        let told = made(site, Some(Some(90))).await.is(201);
        assert_eq!(told.text_at("expires_at"), in_days(site, 90).to_string());
        let beyond = made(site, Some(Some(91))).await.refused(422, "validation_failed");
        assert_eq!(beyond.faults(), [("/expires_at".into(), "too_late".into())]);
        let never = made(site, Some(None)).await.refused(422, "validation_failed");
        assert_eq!(never.faults(), [("/expires_at".into(), "must_end".into())]);
        assert_eq!(made(site, None).await.is(201).text_at("expires_at"), in_days(site, 90).to_string());
    }

    /// KEY-4
    async fn a_key_lasts_a_year_if_nothing_is_said_and_for_ever_only_where_the_operator_lets_it(site: With {
        settings: &[("TENANTRY_KEYS__ALLOW_NEVER", "true")],
        ..With::clock()
    }) {
        lasting(site).await;
        assert_eq!(made(site, None).await.is(201).text_at("expires_at"), in_days(site, 365).to_string());
        let endless = made(site, Some(None)).await.is(201);
        assert_eq!(endless.body["expires_at"], Value::Null);
        site.clock.advance(Duration::from_secs(20_000 * DAY));
        site.get("/v1/orders").key(&endless.text_at("secret")).send().await.is(200);
        // One that ends itself makes none that does not (KEY-8).
        let short = json!({"name": "short", "scopes": ["keys:write", "orders:read"], "hold_classes": [], "expires_at": in_days(site, 10)});
        let short = site.post("/v1/keys").key(&site.operator_key).json(short).send().await.is(201).text_at("secret");
        let asked = json!({"name": "k", "scopes": ["orders:read"], "hold_classes": [], "expires_at": null});
        site.post("/v1/keys").key(&short).json(asked).send().await.refused(403, "scope_escalation");
    }
}

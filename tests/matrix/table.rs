//! For each operation of the document, on what it is tried and with which body. The walk fails while one is missing.

use super::ground::{Ground, addon, mailbox, plan, signup, terms};
use super::*;

/// Who succeeds with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Owner,
    /// The account above: what is not for an account to do to itself.
    Above,
}

pub struct Row {
    pub operation: &'static str,
    /// The owner's object in the path.
    pub on: Option<&'static str>,
    /// A good body.
    pub body: fn(&Ground) -> Value,
    pub by: By,
    /// Whether the owner's customers see it too: what it sells.
    pub sold: bool,
}

const fn row(operation: &'static str, on: Option<&'static str>, body: fn(&Ground) -> Value) -> Row {
    Row { operation, on, body, by: By::Owner, sold: false }
}

/// Without a body, on nothing in particular.
const fn plain(operation: &'static str) -> Row {
    row(operation, None, |_| Value::Null)
}

/// Without a body, on an object.
const fn on(operation: &'static str, object: &'static str) -> Row {
    row(operation, Some(object), |_| Value::Null)
}

const fn with(operation: &'static str, object: &'static str, body: fn(&Ground) -> Value) -> Row {
    row(operation, Some(object), body)
}

const fn make(operation: &'static str, body: fn(&Ground) -> Value) -> Row {
    row(operation, None, body)
}

const fn above(row: Row) -> Row {
    Row { by: By::Above, ..row }
}

const fn sold(row: Row) -> Row {
    Row { sold: true, ..row }
}

fn hold(_: &Ground) -> Value {
    json!({"reason_code": "payment"})
}

fn renamed(_: &Ground) -> Value {
    json!({"name": "Renamed"})
}

/// In the order in which each succeeds after those before it.
pub const TABLE: &[Row] = &[
    plain("me_get"),
    plain("accounts_list"),
    make("accounts_create", |_| json!({"type": "tenant", "name": "Made"})),
    on("accounts_get", "accounts.owner"),
    with("accounts_update", "accounts.owner", renamed),
    with("accounts_move", "accounts.moved", |ground| json!({"parent_id": ground.id("accounts.shelf")})),
    on("accounts_close", "accounts.leaving"),
    on("accounts_reopen", "accounts.leaving"),
    plain("branding_get"),
    on("accounts_branding", "accounts.owner"),
    with("accounts_set_branding", "accounts.owner", |_| json!({"name": "Own brand"})),
    on("accounts_children", "accounts.owner"),
    on("accounts_console", "accounts.owner"),
    on("accounts_topology", "accounts.owner"),
    plain("search_find"),
    plain("members_list"),
    make(
        "members_create",
        |_| json!({"role": "peer", "name": "Made", "email": "made@own.example", "scopes": ["members:write"]}),
    ),
    on("members_get", "members.own"),
    with("members_update", "members.own", renamed),
    on("members_remove", "members.own"),
    plain("audit_list"),
    plain("audit_export"),
    plain("limits_get"),
    plain("requests_list"),
    on("requests_get", "requests.own"),
    plain("keys_list"),
    make("keys_create", |_| json!({"name": "Made", "scopes": ["keys:write"], "hold_classes": []})),
    on("keys_get", "keys.spare"),
    with("keys_rotate", "keys.spare", |_| json!({"overlap_seconds": 60})),
    with("keys_set_client", "keys.spare", |_| json!({"token_endpoint_auth_method": "client_secret_basic"})),
    with("keys_update", "keys.spare", |_| json!({"rate_class": "standard"})),
    on("keys_revoke", "keys.spare"),
    plain("storefront_keys_list"),
    make("storefront_keys_create", |_| json!({"name": "Made", "origins": ["https://made.example"]})),
    on("storefront_keys_get", "storefront_keys.own"),
    with("storefront_keys_update", "storefront_keys.own", renamed),
    on("storefront_keys_revoke", "storefront_keys.own"),
    plain("connectors_list"),
    plain("service_types_list"),
    plain("servers_list"),
    make(
        "servers_create",
        |_| json!({"name": "Made", "connector": "files", "settings": {"root": "/nowhere/in/particular"}}),
    ),
    on("servers_get", "servers.own"),
    with("servers_update", "servers.own", renamed),
    on("servers_test", "servers.own"),
    plain("virtual_servers_list"),
    make(
        "virtual_servers_create",
        |ground| json!({"name": "Made", "placement": [{"service_type": "mail", "server_id": ground.id("servers.own")}]}),
    ),
    on("virtual_servers_get", "virtual_servers.own"),
    plain("plans_list"),
    make("plans_create", |ground| plan(ground.id("virtual_servers.own"), "made")),
    sold(on("plans_get", "plans.own")),
    with(
        "plans_add_version",
        "plans.own",
        |ground| json!({"terms": terms(ground.id("virtual_servers.own"))}),
    ),
    plain("addons_list"),
    make("addons_create", |_| addon("made")),
    sold(on("addons_get", "addons.own")),
    with("addons_update", "addons.own", renamed),
    plain("price_lists_list"),
    make("price_lists_create", |_| json!({"name": "Made", "currency": "EUR"})),
    on("price_lists_get", "price_lists.own"),
    with("price_lists_update", "price_lists.own", renamed),
    on("prices_list", "price_lists.own"),
    with("prices_set", "price_lists.own", |_| json!({"rule": {"kind": "taken_over"}})),
    on("prices_withdraw", "price_lists.own"),
    on("price_lists_delete", "price_lists.own"),
    plain("catalog_list"),
    plain("catalog_addons"),
    on("plans_pause", "plans.own"),
    on("plans_activate", "plans.own"),
    plain("quotes_list"),
    make("quotes_create", |ground| json!({"items": [{"action": "add", "plan": ground.id("plans.own")}]})),
    on("quotes_get", "quotes.own"),
    plain("orders_list"),
    make("orders_place", |ground| json!({"items": [{"action": "add", "plan": ground.id("plans.own")}]})),
    on("orders_get", "orders.done"),
    above(on("orders_approve", "orders.waiting")),
    above(on("orders_reject", "orders.unwanted")),
    on("orders_cancel", "orders.queued"),
    on("orders_retry", "orders.failed"),
    with("subscriptions_change_quantity", "subscriptions.own", |_| json!({"quantity": 6})),
    with(
        "subscriptions_change_addon",
        "subscriptions.own",
        |ground| json!({"addon": ground.id("addons.own"), "quantity": 1}),
    ),
    with("subscriptions_change_plan", "subscriptions.own", |ground| json!({"plan": ground.id("plans.own")})),
    plain("signups_list"),
    make("signups_create", |ground| signup(ground.id("plans.own"), "made@own.example")),
    on("signups_get", "signups.waiting"),
    on("signups_issue_token", "signups.waiting"),
    with("signups_verify", "signups.sent", |ground| json!({"token": ground.id("tokens.sent")})),
    on("signups_approve", "signups.waiting"),
    with("signups_reject", "signups.unwanted", |_| json!({"reason": "not ours"})),
    on("plans_archive", "plans.own"),
    plain("operations_list"),
    on("operations_get", "operations.done"),
    on("operations_cancel", "operations.queued"),
    on("operations_retry", "operations.failed"),
    with("resources_update", "resources.changed", |_| json!({"spec": {"quota_mb": 200}})),
    plain("subscriptions_list"),
    on("subscriptions_get", "subscriptions.own"),
    with("subscriptions_cancel", "subscriptions.own", |_| json!({"when": "period_end"})),
    on("subscriptions_uncancel", "subscriptions.own"),
    with(
        "subscriptions_transfer",
        "subscriptions.own",
        |ground| json!({"account_id": ground.id("accounts.owner")}),
    ),
    with("subscriptions_renew", "subscriptions.own", |_| json!({})),
    on("subscriptions_convert_trial", "subscriptions.own"),
    on("quotas_of_subscription", "subscriptions.own"),
    plain("quota_definitions_list"),
    on("quotas_of_account", "accounts.owner"),
    on("quotas_get", "accounts.owner"),
    make("quotas_check", |_| json!({"amounts": [{"key": "mail.mailboxes", "amount": 1}]})),
    make("quotas_explain", |_| json!({})),
    above(with("quotas_put", "accounts.owner", |_| json!({"ceiling": 1000}))),
    plain("batches_list"),
    make(
        "batches_create",
        |ground| json!({"items": [{"method": "DELETE", "path": "/v1/members/own", "account_id": ground.id("accounts.owner")}]}),
    ),
    make("batches_preview", |_| json!({"request": {"method": "POST", "path": "/v1/services/{id}/suspend"}})),
    make("batches_create_previewed", |ground| json!({"preview_token": ground.id("batches.token")})),
    on("batches_get", "batches.refused"),
    on("batch_items_list", "batches.refused"),
    on("batches_retry_failed", "batches.refused"),
    on("batches_cancel", "batches.queued"),
    plain("reconcile_runs_list"),
    make("reconcile_runs_create", |_| json!({})),
    on("reconcile_runs_get", "reconcile_runs.compared"),
    with(
        "reconcile_runs_add_rows",
        "reconcile_runs.open",
        |_| json!({"rows": [{"subscription": "own", "status": "active"}]}),
    ),
    on("reconcile_runs_compare", "reconcile_runs.open"),
    on("reconcile_differences_list", "reconcile_runs.compared"),
    with("reconcile_runs_apply", "reconcile_runs.compared", |_| json!({"kinds": ["status"]})),
    on("quotas_recount", "accounts.owner"),
    plain("quota_requests_list"),
    make("quota_requests_create", |_| json!({"key": "web.sites", "ceiling": 2_000_000_000_i64})),
    on("quota_requests_get", "quota_requests.given"),
    above(on("quota_requests_approve", "quota_requests.given")),
    above(on("quota_requests_reject", "quota_requests.refused")),
    on("quota_requests_withdraw", "quota_requests.withdrawn"),
    plain("services_list"),
    on("services_get", "services.mail"),
    on("services_connection", "services.mail"),
    plain("resources_list"),
    on("service_resources_list", "services.mail"),
    with("resources_create", "services.mail", |_| mailbox("third@done.example")),
    on("resources_get", "resources.changed"),
    with("resources_set_password", "resources.locked", |_| json!({"password": "correct-horse"})),
    on("resources_delete", "resources.gone"),
    on("holds_list_of_service", "services.mail"),
    on("services_timeline", "services.mail"),
    on("subscriptions_timeline", "subscriptions.own"),
    with("holds_suspend_service", "services.mail", hold),
    with("holds_resume_service", "services.mail", |_| json!({})),
    on("holds_list_of_subscription", "subscriptions.own"),
    with("holds_suspend_subscription", "subscriptions.own", hold),
    with("holds_resume_subscription", "subscriptions.own", |_| json!({})),
    on("holds_list_of_account", "accounts.owner"),
    above(with("holds_suspend_account", "accounts.owner", hold)),
    above(with("holds_resume_account", "accounts.owner", |_| json!({}))),
    plain("events_list"),
    plain("webhook_endpoints_list"),
    make("webhook_endpoints_create", |_| json!({"url": "https://hooks.example/made"})),
    on("webhook_endpoints_get", "webhook_endpoints.own"),
    with("webhook_endpoints_update", "webhook_endpoints.own", |_| json!({"description": "Renamed"})),
    on("webhook_endpoints_deliveries", "webhook_endpoints.own"),
    with("webhook_endpoints_rotate_secret", "webhook_endpoints.own", |_| json!({"overlap_hours": 1})),
    on("webhook_endpoints_test", "webhook_endpoints.own"),
    with("webhook_endpoints_recover", "webhook_endpoints.own", |_| json!({"since": "2020-01-01T00:00:00Z"})),
    on("webhook_endpoints_verify", "webhook_endpoints.pending"),
    on("deliveries_resend", "deliveries.sent"),
    on("webhook_endpoints_delete", "webhook_endpoints.own"),
];

/// What hands out a scope or tells of what another one shows, so that the caller must have that one as well.
pub const GRANTING: &[&str] =
    &["batches_create_previewed", "batches_preview", "storefront_keys_create", "storefront_keys_update"];

/// What anybody may call, without a credential, beside OAuth's own routes.
pub const PUBLIC: &[&str] = &["keys_report_leaked"];

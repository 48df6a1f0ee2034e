use std::collections::BTreeMap;

use actix_web::{HttpResponse, get, patch, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use validator::Validate;

use crate::api::answer::Answer;
use crate::api::caller::Caller;
use crate::api::problem::Problem;
use crate::api::v1::fields;
use crate::domain::accounts::accounts::{self, Change, Made, Opening};
use crate::domain::digest;
use crate::model::Path;
use crate::model::accounts::accounts::{AccountType, AccountView, Environment};
use crate::model::accounts::delegation::Delegation;
use crate::model::accounts::signups::SignupPolicy;
use crate::model::commerce::approvals::OrderPolicy;
use crate::model::ids::AccountId;
use crate::model::scopes::need;
use crate::store;

pub fn routes(v1: &mut ServiceConfig) {
    v1.service(accounts_list)
        .service(accounts_create)
        .service(accounts_get)
        .service(accounts_update)
        .service(accounts_children);
}

list!(AccountList, AccountView);

/// A new account.
#[derive(Debug, Clone, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewAccount {
    #[serde(rename = "type")]
    account_type: AccountType,
    /// The account it is to stand below; the caller's own if left out.
    parent_id: Option<AccountId>,
    /// That of the account above if left out, and for good. `test` below a live account opens that account's own test
    /// account: it has one at most, of its own type, to which it has keys made (`POST /v1/keys`) and which it
    /// otherwise reaches with those alone. All below a test account is for tests.
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<Environment>,
    #[validate(custom(function = fields::name))]
    #[schema(min_length = 1, max_length = 128, example = "Acme Ltd")]
    name: String,
    #[validate(custom(function = fields::email))]
    #[schema(min_length = 3, max_length = 254, example = "it@acme.example")]
    contact_email: Option<String>,
    /// ISO 3166-1 alpha-2.
    #[schema(pattern = "^[A-Z]{2}$", example = "DE")]
    country: Option<String>,
    /// BCP 47; that of the account above if left out.
    #[schema(pattern = "^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$", max_length = 35, example = "de-DE")]
    locale: Option<String>,
    /// IANA time zone; that of the account above if left out.
    #[validate(custom(function = fields::time_zone))]
    #[schema(max_length = 64, example = "Europe/Berlin")]
    time_zone: Option<String>,
    /// ISO 4217; that of the account above if left out.
    #[schema(pattern = "^[A-Z]{3}$", example = "EUR")]
    currency: Option<String>,
    /// The caller's own name for it. A second create with the same name and content answers 200 with the
    /// account that is there.
    #[schema(min_length = 1, max_length = 128, example = "crm:customer:4711")]
    external_id: Option<String>,
    #[serde(default)]
    #[validate(custom(function = fields::metadata))]
    metadata: BTreeMap<String, String>,
}

/// List accounts
///
/// The caller's account and all below it, in the order of the tree.
#[utoipa::path(
    tag = "accounts",
    security(("oauth2" = ["accounts:read"])),
    responses((status = 200, description = "Accounts", body = AccountList)),
)]
#[get("/accounts")]
async fn accounts_list(mut caller: Caller<need::AccountsRead>) -> Result<HttpResponse, Problem> {
    let page = caller.page()?;
    let after: Option<(Path, AccountId)> = page.after()?;
    let viewer = caller.credential.key.path.clone();
    let mut conn = caller.read().await?;
    let rows = store::accounts::accounts::page(&mut conn, after.as_ref(), page.rows()).await?;
    let (rows, next) = page.cut(rows, |account| (account.path.clone(), account.id));
    caller.saw_each(rows.iter().map(|account| &account.path));
    Ok(AccountList::answer(rows.into_iter().map(|account| account.seen_by(&viewer)).collect(), next))
}

/// Open an account
///
/// Below the caller's own account or one it names. What is left out is inherited.
#[utoipa::path(
    tag = "accounts",
    security(("oauth2" = ["accounts:write"])),
    request_body = NewAccount,
    responses(
        (status = 201, description = "Opened", body = AccountView),
        (status = 200, description = "It was there already, under this external_id and with this content; its `status` tells whether it is closed", body = AccountView),
    ),
)]
#[post("/accounts")]
async fn accounts_create(mut caller: Caller<need::AccountsWrite>) -> Result<HttpResponse, Problem> {
    let body: NewAccount = caller.json().await?;
    let opening = Opening {
        fingerprint: digest(&body),
        parent_id: body.parent_id,
        account_type: body.account_type,
        environment: body.environment,
        name: body.name,
        contact_email: body.contact_email,
        country: body.country,
        locale: body.locale,
        time_zone: body.time_zone,
        currency: body.currency,
        external_id: body.external_id,
        metadata: body.metadata,
    };
    caller
        .write(async move |work, actor| {
            let made = accounts::create(work, actor, opening).await?;
            let (new, account) = (made.is_new(), Made::into_inner(made));
            let (place, version, id) = (format!("/v1/accounts/{}", account.id), account.version, account.id);
            Ok(Answer::made(new, place, &account.seen_by(&actor.principal_path)).version(version).about(id))
        })
        .await
}

/// Get an account
#[utoipa::path(
    tag = "accounts",
    security(("oauth2" = ["accounts:read"])),
    params(("id" = AccountId, Path)),
    responses((status = 200, description = "The account", body = AccountView)),
)]
#[get("/accounts/{id}")]
async fn accounts_get(mut caller: Caller<need::AccountsRead>) -> Result<HttpResponse, Problem> {
    let id = caller.account_id()?;
    let account = accounts::find(&mut caller.read().await?, id).await?;
    let version = account.version;
    caller.saw(&account.path);
    let view = account.seen_by(&caller.credential.key.path);
    caller.show(version, &view)
}

/// What is to change of an account: what is left out stays, `null` clears.
#[derive(Debug, Clone, Default, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct AccountChange {
    #[validate(custom(function = fields::name))]
    #[schema(min_length = 1, max_length = 128, nullable = false)]
    name: Option<String>,
    #[serde(default, deserialize_with = "fields::present")]
    #[validate(custom(function = fields::email))]
    #[schema(min_length = 3, max_length = 254, value_type = Option<String>)]
    contact_email: Option<Option<String>>,
    #[serde(default, deserialize_with = "fields::present")]
    #[schema(pattern = "^[A-Z]{2}$", value_type = Option<String>)]
    country: Option<Option<String>>,
    #[serde(default, deserialize_with = "fields::present")]
    #[schema(pattern = "^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$", max_length = 35, value_type = Option<String>)]
    locale: Option<Option<String>>,
    #[serde(default, deserialize_with = "fields::present")]
    #[validate(custom(function = fields::time_zone))]
    #[schema(max_length = 64, value_type = Option<String>)]
    time_zone: Option<Option<String>>,
    #[serde(default, deserialize_with = "fields::present")]
    #[schema(pattern = "^[A-Z]{3}$", value_type = Option<String>)]
    currency: Option<Option<String>>,
    #[validate(custom(function = fields::metadata))]
    #[schema(nullable = false)]
    metadata: Option<BTreeMap<String, String>>,
    /// What the accounts above may do in it and in all below it. They keep their own side of what they sell to it.
    /// Whoever they are, they can take from it no more than it lets them.
    #[schema(nullable = false)]
    delegation: Option<Delegation>,
    /// Whether the account's own keys and tokens must send an `Idempotency-Key` with each change. What stands
    /// above or below is not bound by it.
    #[schema(nullable = false)]
    require_idempotency_key: Option<bool>,
    /// What is asked of those who sign up at the account and below it, beside what those above it ask.
    #[serde(default, deserialize_with = "fields::present")]
    #[schema(value_type = Option<SignupPolicy>)]
    signup_policy: Option<Option<SignupPolicy>>,
    /// Which orders of the accounts below it need approval, beside those for which accounts above it ask that.
    #[serde(default, deserialize_with = "fields::present")]
    #[schema(value_type = Option<OrderPolicy>)]
    order_policy: Option<Option<OrderPolicy>>,
}

/// Change an account
#[utoipa::path(
    tag = "accounts",
    security(("oauth2" = ["accounts:write"])),
    params(("id" = AccountId, Path)),
    request_body = AccountChange,
    responses(
        (status = 200, description = "Changed", body = AccountView),
    ),
)]
#[patch("/accounts/{id}")]
async fn accounts_update(mut caller: Caller<need::AccountsWrite>) -> Result<HttpResponse, Problem> {
    let (body, expected): (AccountChange, _) = (caller.json().await?, caller.if_match()?);
    let id = caller.account_id()?;
    let change = Change {
        name: body.name,
        contact_email: body.contact_email,
        country: body.country,
        locale: body.locale,
        time_zone: body.time_zone,
        currency: body.currency,
        metadata: body.metadata,
        delegation: body.delegation,
        require_idempotency_key: body.require_idempotency_key,
        signup_policy: body.signup_policy,
        order_policy: body.order_policy,
    };
    caller
        .write(async move |work, actor| {
            let account = accounts::change(work, id, change, &expected).await?;
            let (version, id) = (account.version, account.id);
            Ok(Answer::ok(&account.seen_by(&actor.principal_path)).version(version).about(id))
        })
        .await
}

/// List the accounts directly below
///
/// In the order they were opened.
#[utoipa::path(
    tag = "accounts",
    security(("oauth2" = ["accounts:read"])),
    params(
        ("id" = AccountId, Path),
    ),
    responses((status = 200, description = "Accounts", body = AccountList)),
)]
#[get("/accounts/{id}/children")]
async fn accounts_children(mut caller: Caller<need::AccountsRead>) -> Result<HttpResponse, Problem> {
    let page = caller.page()?;
    let after: Option<AccountId> = page.after()?;
    let id = caller.account_id()?;
    let viewer = caller.credential.key.path.clone();
    let mut conn = caller.read().await?;
    caller.saw(&accounts::find(&mut conn, id).await?.path);
    let rows = store::accounts::accounts::children(&mut conn, id, after, page.rows()).await?;
    let (rows, next) = page.cut(rows, |account| account.id);
    caller.saw_each(rows.iter().map(|account| &account.path));
    Ok(AccountList::answer(rows.into_iter().map(|account| account.seen_by(&viewer)).collect(), next))
}

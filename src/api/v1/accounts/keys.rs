use std::time::Duration;

use actix_web::{HttpResponse, delete, get, post};
use secrecy::ExposeSecret;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use validator::Validate;

use crate::access::secret::SecretKey;
use crate::api::answer::Answer;
use crate::api::caller::Caller;
use crate::api::problem::Problem;
use crate::api::state::State;
use crate::api::v1::fields;
use crate::config::KeysConfig;
use crate::domain::accounts::keys::{self, Issue};
use crate::domain::{self, Error};
use crate::model::accounts::addresses::AddressRange;
use crate::model::accounts::keys::{CreatedKey, KeyView};
use crate::model::accounts::spending::SpendCap;
use crate::model::ids::{AccountId, KeyId, MemberId};
use crate::model::scopes::{Bundle, Scope, need};
use crate::model::services::ReasonClass;
use crate::model::{Path, Time};
use crate::store;

pub fn routes(v1: &mut ServiceConfig) {
    v1.service(keys_list).service(keys_create).service(keys_get).service(keys_rotate).service(keys_revoke);
}

list!(KeyList, KeyView);

/// A new key: its scopes one by one, or the bundle for what it is to be used for.
#[derive(Debug, Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewKey {
    /// Whose key it is to be; the caller's own account if left out.
    account_id: Option<AccountId>,
    #[validate(custom(function = fields::name))]
    #[schema(min_length = 1, max_length = 128, example = "billing")]
    name: String,
    /// A ready set of scopes; then `scopes` is left out.
    bundle: Option<Bundle>,
    #[schema(min_items = 1, max_items = 100)]
    scopes: Option<Vec<Scope>>,
    /// For which reasons it may place and lift holds; as the bundle has it, or all, if left out.
    #[schema(max_items = 10)]
    hold_classes: Option<Vec<ReasonClass>>,
    /// From where the key and its tokens are taken; from everywhere if left out. A key that has such a list
    /// itself makes only keys whose list lies inside it.
    #[schema(min_items = 1, max_items = 50)]
    allowed_addresses: Option<Vec<AddressRange>>,
    /// Narrows the key: it reaches these accounts, each with all below it, and else nothing is there for it. Each stands
    /// at or below the key's account. A key that is narrowed makes only keys that reach no further.
    #[schema(min_items = 1, max_items = 50)]
    roots: Option<Vec<AccountId>>,
    /// Before that the key is refused; it is good at once if left out.
    not_before: Option<Time>,
    /// Not later than the end of the caller's own key, nor than the operator lets any key last. A year from now if left
    /// out, or the first of these ends if it comes before. `null` is a key that never ends, where the operator lets
    /// there be any.
    #[serde(default, deserialize_with = "fields::present")]
    #[schema(value_type = Option<Time>)]
    expires_at: Option<Option<Time>>,
    /// How much may be asked for with it: one of the `rate_classes` of `GET /v1/limits`. An account above the key's
    /// chooses, and gets `standard` if it is left out; a key for one's own account has the class of the key that makes it.
    #[schema(max_length = 32, example = "standard")]
    rate_class: Option<String>,
    /// The member of the account whose key it is to be: it has no scope that the member may not use, and ends with the
    /// member. What a member makes for its own account with its own key is its own as well, unless it owns the account.
    member_id: Option<MemberId>,
    /// How much may be ordered with it; as much as the account may if left out. A key that has a cap itself makes no keys
    /// that place orders or set prices.
    spend_cap: Option<SpendCap>,
}

/// How the secret before ends.
#[derive(Debug, Clone, Default, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct RotateKey {
    /// For how many seconds the secret before works beside the new one, a week at most. It ends at once if
    /// this is 0 or left out.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 604_800, default = 0, example = 3600)]
    overlap_seconds: u32,
}

/// For how long a key is good if nothing is said.
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

impl NewKey {
    fn rights(&self) -> Result<(Vec<Scope>, Vec<ReasonClass>), Error> {
        let (mut scopes, mut classes) = match (self.bundle, &self.scopes) {
            (Some(bundle), None) => (bundle.scopes(), bundle.hold_classes()),
            (None, Some(scopes)) => (scopes.clone(), ReasonClass::PLACED.to_vec()),
            _ => {
                let detail = "give either a bundle or scopes";
                return Err(Error::invalid("/scopes", "either_or", detail));
            }
        };
        if let Some(asked) = &self.hold_classes {
            classes = asked.clone();
        }
        scopes.sort();
        scopes.dedup();
        Ok((scopes, classes))
    }
}

/// Refuses a class of keys that the settings do not have.
pub fn check_class(state: &State, asked: Option<&str>) -> Result<(), Error> {
    match asked.filter(|asked| state.limiter.classes().all(|known| known != *asked)) {
        None => Ok(()),
        Some(_) => Err(Error::invalid("/rate_class", "unknown", "is no class of this installation")),
    }
}

/// When a new key is to end, if ever: as it was asked, or in a year, but not after its maker.
fn ends(
    config: &KeysConfig,
    now: Time,
    maker: Option<Time>,
    asked: Option<Option<Time>>,
) -> Result<Option<Time>, Error> {
    let last = now.plus(config.longest());
    match asked {
        None => Ok(Some(maker.into_iter().fold(last.min(now.plus(YEAR)), Time::min))),
        Some(None) if config.allow_never => Ok(None),
        Some(None) => Err(Error::invalid("/expires_at", "must_end", "keys that never end are not made here")),
        Some(Some(end)) if end > last => {
            let detail = format!("must lie at most {} days ahead", config.max_days);
            Err(Error::invalid("/expires_at", "too_late", detail))
        }
        Some(end) => Ok(end),
    }
}

/// List keys
///
/// Those of the caller's account and of all below, never their secrets.
#[utoipa::path(
    tag = "keys",
    security(("oauth2" = ["keys:read"])),
    responses((status = 200, description = "Keys", body = KeyList)),
)]
#[get("/keys")]
async fn keys_list(mut caller: Caller<need::KeysRead>) -> Result<HttpResponse, Problem> {
    let page = caller.page()?;
    let after: Option<(Path, KeyId)> = page.after()?;
    let mut conn = caller.read().await?;
    let rows = store::accounts::keys::page(&mut conn, after.as_ref(), page.rows()).await?;
    let (rows, next) = page.cut(rows, |key| (key.path.clone(), key.id));
    caller.saw_each(rows.iter().map(|key| &key.path));
    Ok(KeyList::answer(rows.into_iter().map(KeyView::from).collect(), next))
}

/// Make a key
///
/// For the caller's own account or one below it, with no right that the caller's own key lacks. A live key makes keys
/// for its account's test account as well, which are test keys. The secret is in this answer and in no other.
#[utoipa::path(
    tag = "keys",
    security(("oauth2" = ["keys:write"])),
    request_body = NewKey,
    responses((status = 201, description = "Made; the secret is told once", body = CreatedKey)),
)]
#[post("/keys")]
async fn keys_create(mut caller: Caller<need::KeysWrite>) -> Result<HttpResponse, Problem> {
    let body: NewKey = caller.json().await?;
    let (scopes, hold_classes) = body.rights()?;
    check_class(&caller.state, body.rate_class.as_deref())?;
    let id = KeyId::new();
    let maker = caller.credential.key.expires_at;
    let expires_at = ends(&caller.state.key_ends, caller.now, maker, body.expires_at)?;
    let roots = body.roots.unwrap_or_default();
    let maker_class = caller.credential.key.rate_class.clone();
    caller
        .write(async move |work, actor| {
            let environment = keys::environment(work, actor, body.account_id).await?;
            let secret = SecretKey::generate(environment, id);
            let issue = Issue {
                id,
                secret_hash: secret.hash,
                account_id: body.account_id,
                name: body.name,
                scopes,
                hold_classes,
                allowed_addresses: body.allowed_addresses.unwrap_or_default(),
                roots: Vec::new(),
                not_before: body.not_before,
                expires_at,
                rate_class: body.rate_class,
                maker_class,
                spend_cap: body.spend_cap,
                member_id: body.member_id,
            };
            let key = keys::create(work, actor, issue, &roots).await?;
            let (place, version) = (format!("/v1/keys/{}", key.id), key.version);
            let told = CreatedKey { key: key.into(), secret: secret.text.expose_secret().to_owned() };
            Ok(Answer::made(true, place, &told).version_of(version, &told.key).about(id).secret())
        })
        .await
}

/// Get a key
#[utoipa::path(
    tag = "keys",
    security(("oauth2" = ["keys:read"])),
    params(("id" = KeyId, Path)),
    responses((status = 200, description = "The key", body = KeyView)),
)]
#[get("/keys/{id}")]
async fn keys_get(mut caller: Caller<need::KeysRead>) -> Result<HttpResponse, Problem> {
    let id = caller.id("key")?;
    let found = store::accounts::keys::find(&mut caller.read().await?, id).await?;
    let key = found.ok_or(domain::Error::NotFound("key"))?;
    caller.saw(&key.path);
    caller.show(key.version, &KeyView::from(key))
}

/// Rotate a key
///
/// Gives it a new secret, which is in this answer and in no other; the key needs every right of the one that
/// it rotates. The secret before works until the overlap ends. Of a key at most two secrets work: one that was
/// still on its way out ends.
#[utoipa::path(
    tag = "keys",
    security(("oauth2" = ["keys:write"])),
    params(("id" = KeyId, Path)),
    request_body(content = RotateKey, description = "May be left out"),
    responses((status = 201, description = "Rotated; the new secret is told once", body = CreatedKey)),
)]
#[post("/keys/{id}/rotate")]
async fn keys_rotate(mut caller: Caller<need::KeysWrite>) -> Result<HttpResponse, Problem> {
    let (id, expected) = (caller.id("key")?, caller.if_match()?);
    let body = caller.json_or(RotateKey::default()).await?;
    let secret = SecretKey::generate(caller.credential.key.environment, id);
    let overlap = Duration::from_secs(u64::from(body.overlap_seconds));
    caller
        .write(async move |work, actor| {
            let key = keys::rotate(work, actor, id, &expected, &secret.hash, overlap).await?;
            let (place, version) = (format!("/v1/keys/{}", key.id), key.version);
            let told = CreatedKey { key: key.into(), secret: secret.text.expose_secret().to_owned() };
            Ok(Answer::made(true, place, &told).version_of(version, &told.key).about(id).secret())
        })
        .await
}

/// Revoke a key
///
/// For good, and at once: within five seconds on every replica.
#[utoipa::path(
    tag = "keys",
    security(("oauth2" = ["keys:write"])),
    params(("id" = KeyId, Path)),
    responses((status = 200, description = "Revoked", body = KeyView)),
)]
#[delete("/keys/{id}")]
async fn keys_revoke(caller: Caller<need::KeysWrite>) -> Result<HttpResponse, Problem> {
    let (id, expected) = (caller.id("key")?, caller.if_match()?);
    caller
        .write(async move |work, _| {
            let key = keys::revoke(work, id, &expected).await?;
            let version = key.version;
            Ok(Answer::ok(&KeyView::from(key)).version(version).about(id))
        })
        .await
}

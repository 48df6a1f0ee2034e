use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, get, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use validator::Validate;

use crate::access::random::base62;
use crate::api::answer::Answer;
use crate::api::caller::Caller;
use crate::api::limits::refusal;
use crate::api::parameters::address;
use crate::api::problem::Problem;
use crate::api::v1::fields;
use crate::domain::accounts::signups::{self, Asking, Stands};
use crate::domain::{Error, digest};
use crate::limits::storefronts::Caps;
use crate::model::accounts::signups::{
    Signup, SignupAccount, SignupAdministrator, SignupView, VerificationToken,
};
use crate::model::ids::{AccountId, SignupId};
use crate::model::scopes::need;
use crate::model::services::specs;
use crate::model::{Actor, Path, text};
use crate::store;
use crate::store::audit::sha256_hex;

pub fn routes(v1: &mut ServiceConfig) {
    v1.service(signups_list)
        .service(signups_create)
        .service(signups_get)
        .service(signups_issue_token)
        .service(signups_verify)
        .service(signups_approve)
        .service(signups_reject);
}

/// How long a token is; so many digits of base62 nobody finds by trying.
const TOKEN: usize = 43;

list!(SignupList, SignupView);

/// Somebody who wants to become a customer.
#[derive(Debug, Clone, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewSignup {
    /// The seller below whom the account is to stand; the caller's own account if left out. A shop's pages leave it out.
    #[schema(nullable = false)]
    parent_id: Option<AccountId>,
    #[validate(nested)]
    account: NewSignupAccount,
    #[validate(nested)]
    administrator: NewAdministrator,
    /// The customer's first domain, for a plan with mail.
    #[validate(custom(function = specs::domain))]
    #[schema(min_length = 3, max_length = 253, nullable = false, example = "acme.example")]
    domain: Option<String>,
    /// The code or identifier of the plan that the account begins with.
    #[schema(min_length = 1, max_length = 64, example = "hosted-mail")]
    plan: String,
    #[serde(default = "one")]
    #[schema(minimum = 1, maximum = 1_000_000, default = 1, example = 5)]
    quantity: i64,
    /// Of the sign-up, and then of the account. A shop's pages leave it out.
    #[serde(default)]
    #[validate(custom(function = fields::metadata))]
    metadata: BTreeMap<String, String>,
}

const fn one() -> i64 {
    1
}

/// What the account is to be.
#[derive(Debug, Clone, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewSignupAccount {
    #[validate(custom(function = fields::name))]
    #[schema(min_length = 1, max_length = 128, example = "Acme Ltd")]
    name: String,
    /// The seller's own name for it, unique among the accounts that it made. A second sign-up with the same name and content
    /// answers 200 with the one that is there. A shop's pages leave it out.
    #[schema(min_length = 1, max_length = 128, nullable = false, example = "crm:customer:4711")]
    external_id: Option<String>,
    /// ISO 3166-1 alpha-2.
    #[schema(pattern = "^[A-Z]{2}$", nullable = false, example = "DE")]
    country: Option<String>,
    /// BCP 47; the seller's if left out.
    #[schema(
        pattern = "^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$",
        max_length = 35,
        nullable = false,
        example = "de-DE"
    )]
    locale: Option<String>,
    /// IANA time zone; the seller's if left out.
    #[validate(custom(function = fields::time_zone))]
    #[schema(max_length = 64, nullable = false, example = "Europe/Berlin")]
    time_zone: Option<String>,
    /// ISO 4217; the seller's if left out.
    #[schema(pattern = "^[A-Z]{3}$", nullable = false, example = "EUR")]
    currency: Option<String>,
}

/// Who is to own it.
#[derive(Debug, Clone, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewAdministrator {
    #[validate(custom(function = fields::name))]
    #[schema(min_length = 1, max_length = 128, example = "Alice Ames")]
    name: String,
    #[validate(custom(function = fields::email))]
    #[schema(min_length = 3, max_length = 254, example = "alice@acme.example")]
    email: String,
    /// Whether the seller knows the address to be the administrator's, so that it needs no token; it takes
    /// `signups:review` to say so. A shop's pages leave it out.
    #[serde(default)]
    #[schema(default = false)]
    email_verified: bool,
}

impl NewSignup {
    fn asking(self) -> Asking {
        let fingerprint = digest(&self);
        let NewSignupAccount { name, external_id, country, locale, time_zone, currency } = self.account;
        let administrator = SignupAdministrator {
            name: self.administrator.name,
            email: self.administrator.email.to_lowercase(),
        };
        Asking {
            parent_id: self.parent_id,
            account: SignupAccount { name, external_id, country, locale, time_zone, currency },
            administrator,
            email_verified: self.administrator.email_verified,
            domain: self.domain.as_deref().and_then(text::domain),
            plan: self.plan,
            quantity: self.quantity,
            metadata: self.metadata,
            fingerprint,
        }
    }
}

/// List sign-ups
///
/// Those at the caller's account and at all below. Those that came to nothing are kept for 30 days.
#[utoipa::path(
    tag = "accounts",
    security(("oauth2" = ["signups:read"])),
    responses((status = 200, description = "Sign-ups", body = SignupList)),
)]
#[get("/signups")]
async fn signups_list(mut caller: Caller<need::SignupsRead>) -> Result<HttpResponse, Problem> {
    let page = caller.page()?;
    let after: Option<(Path, SignupId)> = page.after()?;
    let mut conn = caller.read().await?;
    let rows = store::accounts::signups::page(&mut conn, after.as_ref(), page.rows()).await?;
    let (rows, next) = page.cut(rows, |signup| (signup.path.clone(), signup.id));
    caller.saw_each(rows.iter().map(|signup| &signup.path));
    Ok(SignupList::answer(rows.into_iter().map(SignupView::from).collect(), next))
}

/// Sign a customer up
///
/// In one call: an account below the seller, its owner, its first domain and its first plan, which begins with its trial if
/// it has one. It is opened at once if nothing is awaited. Else it waits for what `awaits` names, for a week, or for 30 days
/// if that is the seller alone: that the administrator's address is verified, that the seller approves, as the seller and
/// those above it ask (`signup_policy` of accounts). What could not be opened as it is asked for is refused now. It is
/// ordered when it is accepted, at the price of then.
///
/// The seller's own system sends the token: on the event `signup.created` it has one issued
/// (`POST /v1/signups/{id}/verification_token`) and mails it in the seller's name. The page that the mail leads to sends it back
/// (`POST /v1/signups/{id}/verify`). The keys of storefronts can do that and this, within limits of their own; a page draws
/// its `Idempotency-Key` at random, is answered without waiting for the operation, and is shown nothing that is the seller's.
#[utoipa::path(
    tag = "accounts",
    security(("oauth2" = ["signups:create"])),
    request_body = NewSignup,
    responses(
        (status = 202, description = "Accepted; the operation makes what the first order asks for", body = SignupView),
        (status = 201, description = "It waits, or was made", body = SignupView),
        (status = 200, description = "It was there already, under this external_id and with this content", body = SignupView),
    ),
)]
#[post("/signups")]
async fn signups_create(mut caller: Caller<need::SignupsCreate>) -> Result<HttpResponse, Problem> {
    let body: NewSignup = caller.json().await?;
    let asking = body.asking();
    if let Some(storefront) = &caller.storefront {
        let key = &storefront.key;
        // What is too much is refused before it counts for anybody's limit.
        if asking.quantity > key.signup_max_quantity {
            let detail = format!("a shop's page takes {} at most", key.signup_max_quantity);
            return Err(Error::invalid("/quantity", "too_large", detail).into());
        }
        let caps = Caps {
            all: key.signups_per_hour.unsigned_abs(),
            address: key.signups_per_hour_per_address.unsigned_abs(),
        };
        let (limiter, from) = (&caller.state.limiter, address(&caller.state, &caller.request));
        let drawn = limiter.signup(key.id, caps, from, &asking.administrator.email, caller.now).await;
        drawn.map_err(refusal)?;
    }
    caller
        .write(async move |work, actor| {
            let made = signups::create(work, actor, asking).await?;
            let new = made.is_new();
            let status = if new { StatusCode::CREATED } else { StatusCode::OK };
            Ok(answer(actor, made.into_inner(), status))
        })
        .await
}

/// Get a sign-up
#[utoipa::path(
    tag = "accounts",
    security(("oauth2" = ["signups:read"])),
    params(("id" = SignupId, Path)),
    responses((status = 200, description = "The sign-up", body = SignupView)),
)]
#[get("/signups/{id}")]
async fn signups_get(mut caller: Caller<need::SignupsRead>) -> Result<HttpResponse, Problem> {
    let id = caller.id("sign-up")?;
    let found = store::accounts::signups::find(&mut caller.read().await?, id).await?;
    let signup = found.ok_or(Error::NotFound("sign-up"))?;
    caller.saw(&signup.path);
    caller.show(signup.version, &SignupView::from(signup))
}

/// Issue a token for the administrator's address
///
/// It is in this answer and in no other, and is for the seller to send there. The one issued before is no good any more.
#[utoipa::path(
    tag = "accounts",
    security(("oauth2" = ["signups:review"])),
    params(("id" = SignupId, Path)),
    responses((status = 201, description = "Issued; the token is told once", body = VerificationToken)),
)]
#[post("/signups/{id}/verification_token")]
async fn signups_issue_token(caller: Caller<need::SignupsReview>) -> Result<HttpResponse, Problem> {
    let id: SignupId = caller.id("sign-up")?;
    caller
        .write(async move |work, _| {
            let token = base62(TOKEN);
            let signup = signups::issue(work, id, sha256_hex(&token)).await?;
            let email = signup.administrator.0.email;
            let told = VerificationToken { signup_id: id, email, token, expires_at: signup.expires_at };
            Ok(Answer::made(true, format!("/v1/signups/{id}"), &told).about(id).secret())
        })
        .await
}

/// What shows that the address is the administrator's.
#[derive(Debug, Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct Verification {
    /// As it was mailed.
    #[schema(min_length = 1, max_length = 128)]
    token: String,
}

/// Verify the administrator's address
///
/// With the token that was sent there last. The account is opened now, unless the seller has to approve; so it is where
/// it cannot be opened any more as it was asked for, which the seller's `approve` tells the reason of. Sent again, the same
/// token changes nothing.
#[utoipa::path(
    tag = "accounts",
    security(("oauth2" = ["signups:create"])),
    params(("id" = SignupId, Path)),
    request_body = Verification,
    responses(
        (status = 202, description = "Accepted; the operation makes what the first order asks for", body = SignupView),
        (status = 200, description = "Verified", body = SignupView),
    ),
)]
#[post("/signups/{id}/verify")]
async fn signups_verify(mut caller: Caller<need::SignupsCreate>) -> Result<HttpResponse, Problem> {
    let body: Verification = caller.json().await?;
    let id = caller.id("sign-up")?;
    let token = sha256_hex(&body.token);
    caller
        .write(async move |work, actor| {
            let stands = signups::verify(work, actor, id, &token).await?;
            Ok(answer(actor, stands, StatusCode::OK))
        })
        .await
}

/// Approve of a sign-up
///
/// The account is opened now, unless the administrator's address has yet to be verified.
#[utoipa::path(
    tag = "accounts",
    security(("oauth2" = ["signups:review"])),
    params(("id" = SignupId, Path)),
    responses(
        (status = 202, description = "Accepted; the operation makes what the first order asks for", body = SignupView),
        (status = 200, description = "Approved", body = SignupView),
    ),
)]
#[post("/signups/{id}/approve")]
async fn signups_approve(caller: Caller<need::SignupsReview>) -> Result<HttpResponse, Problem> {
    let (id, expected) = (caller.id("sign-up")?, caller.if_match()?);
    caller
        .write(async move |work, actor| {
            let stands = signups::approve(work, actor, id, &expected).await?;
            Ok(answer(actor, stands, StatusCode::OK))
        })
        .await
}

/// Why a sign-up is rejected.
#[derive(Debug, Clone, Default, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct Rejection {
    /// For the seller's own records.
    #[schema(
        min_length = 1,
        max_length = 500,
        nullable = false,
        example = "outside the countries we sell to"
    )]
    reason: Option<String>,
}

/// Reject a sign-up
///
/// For good; nothing was opened.
#[utoipa::path(
    tag = "accounts",
    security(("oauth2" = ["signups:review"])),
    params(("id" = SignupId, Path)),
    request_body(content = Rejection, description = "May be left out"),
    responses((status = 200, description = "Rejected", body = SignupView)),
)]
#[post("/signups/{id}/reject")]
async fn signups_reject(mut caller: Caller<need::SignupsReview>) -> Result<HttpResponse, Problem> {
    let (id, expected) = (caller.id("sign-up")?, caller.if_match()?);
    let body = caller.json_or(Rejection::default()).await?;
    caller
        .write(async move |work, actor| {
            let signup = signups::reject(work, id, body.reason, &expected).await?;
            Ok(answer(actor, signup.into(), StatusCode::OK))
        })
        .await
}

fn answer(actor: &Actor, stands: Stands, otherwise: StatusCode) -> Answer {
    let Signup { id, version, .. } = stands.signup;
    let view = SignupView::from(stands.signup);
    let view = if actor.is_public { view.published() } else { view };
    let answer = Answer::accepted(stands.operation_id, otherwise, &view).version(version).about(id);
    // A page follows no operation.
    let followed = answer.location.filter(|_| !actor.is_public);
    Answer { location: followed.or(Some(format!("/v1/signups/{id}"))), ..answer }
}

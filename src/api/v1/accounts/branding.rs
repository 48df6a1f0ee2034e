use actix_web::{HttpResponse, get, put};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use validator::Validate;

use crate::api::answer::Answer;
use crate::api::caller::Caller;
use crate::api::problem::Problem;
use crate::api::v1::fields;
use crate::domain::accounts::accounts;
use crate::domain::accounts::branding::{self, Shown};
use crate::model::accounts::branding::{Branding, Color, HostName, PageUrl, Phone};
use crate::model::ids::AccountId;
use crate::model::scopes::need;

pub fn routes(v1: &mut ServiceConfig) {
    v1.service(branding_get).service(accounts_branding).service(accounts_set_branding);
}

/// Show the branding
///
/// How the seller looks of whom the caller's account buys, or how the account itself looks to its customers, if it has any:
/// for a shop's pages, the mails and the pages of a panel. A storefront's key sees that of its account.
#[utoipa::path(
    tag = "accounts",
    security(("oauth2" = ["catalog:read"])),
    responses((status = 200, description = "The branding", body = Branding)),
)]
#[get("/branding")]
async fn branding_get(mut caller: Caller<need::CatalogRead>) -> Result<HttpResponse, Problem> {
    let (_, place) = caller.subject().await?;
    let shown = branding::shown(&mut caller.read().await?, &place).await?;
    Ok(HttpResponse::Ok().json(shown.effective))
}

/// What an account says of its looks, and what its customers see.
#[derive(Debug, Serialize, ToSchema)]
struct AccountBranding {
    /// None where all is inherited.
    own: Option<Branding>,
    /// With what it inherits of the sellers above it; of the operator nothing, unless it is its own direct seller.
    effective: Branding,
}

impl From<Shown> for AccountBranding {
    fn from(shown: Shown) -> Self {
        Self { own: shown.own, effective: shown.effective }
    }
}

/// Get an account's branding
#[utoipa::path(
    tag = "accounts",
    security(("oauth2" = ["accounts:read"])),
    params(("id" = AccountId, Path)),
    responses((status = 200, description = "The branding", body = AccountBranding)),
)]
#[get("/accounts/{id}/branding")]
async fn accounts_branding(mut caller: Caller<need::AccountsRead>) -> Result<HttpResponse, Problem> {
    let id = caller.account_id()?;
    let mut conn = caller.read().await?;
    let account = accounts::find(&mut conn, id).await?;
    caller.saw(&account.path);
    let shown = branding::shown(&mut conn, &account.path).await?;
    caller.show(shown.version, &AccountBranding::from(shown))
}

/// How a seller looks to its customers: what is left out or `null` is inherited.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewBranding {
    #[validate(custom(function = fields::name))]
    #[schema(min_length = 1, max_length = 128, example = "Acme Mail")]
    name: Option<String>,
    logo_url: Option<PageUrl>,
    icon_url: Option<PageUrl>,
    primary_color: Option<Color>,
    accent_color: Option<Color>,
    #[validate(custom(function = fields::email))]
    #[schema(min_length = 3, max_length = 254, example = "help@acme.example")]
    support_email: Option<String>,
    support_phone: Option<Phone>,
    support_url: Option<PageUrl>,
    terms_url: Option<PageUrl>,
    privacy_url: Option<PageUrl>,
    /// From whom mail to its customers comes.
    #[validate(custom(function = fields::name))]
    #[schema(min_length = 1, max_length = 128)]
    sender_name: Option<String>,
    #[validate(custom(function = fields::email))]
    #[schema(min_length = 3, max_length = 254, example = "no-reply@acme.example")]
    sender_address: Option<String>,
    /// Host names of its pages.
    #[schema(max_items = 10)]
    domains: Option<Vec<HostName>>,
}

impl From<NewBranding> for Branding {
    fn from(asked: NewBranding) -> Self {
        Self {
            name: asked.name,
            logo_url: asked.logo_url,
            icon_url: asked.icon_url,
            primary_color: asked.primary_color,
            accent_color: asked.accent_color,
            support_email: asked.support_email,
            support_phone: asked.support_phone,
            support_url: asked.support_url,
            terms_url: asked.terms_url,
            privacy_url: asked.privacy_url,
            sender_name: asked.sender_name,
            sender_address: asked.sender_address,
            domains: asked.domains,
        }
    }
}

/// Set an account's branding
///
/// As a whole: what is not in it is inherited from then on, and an empty object takes all back. A tenant has no customers, and
/// no branding of its own.
#[utoipa::path(
    tag = "accounts",
    security(("oauth2" = ["branding:write"])),
    params(("id" = AccountId, Path)),
    request_body = NewBranding,
    responses((status = 200, description = "Set", body = AccountBranding)),
)]
#[put("/accounts/{id}/branding")]
async fn accounts_set_branding(mut caller: Caller<need::BrandingWrite>) -> Result<HttpResponse, Problem> {
    let (body, expected): (NewBranding, _) = (caller.json().await?, caller.if_match()?);
    let id = caller.account_id()?;
    let asked = Some(Branding::from(body)).filter(|asked| *asked != Branding::default());
    caller
        .write(async move |work, _| {
            let shown = branding::put(work, id, asked, &expected).await?;
            let version = shown.version;
            Ok(Answer::ok(&AccountBranding::from(shown)).version(version).about(id))
        })
        .await
}

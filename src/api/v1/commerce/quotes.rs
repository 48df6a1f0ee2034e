use std::collections::BTreeMap;
use std::time::Duration;

use actix_web::{HttpResponse, get, post};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use validator::Validate;

use super::orders::ChangeItem;
use crate::api::answer::Answer;
use crate::api::caller::Caller;
use crate::api::problem::Problem;
use crate::api::v1::fields;
use crate::domain::Error;
use crate::domain::commerce::quotes::{self, Asking};
use crate::model::Path;
use crate::model::commerce::addons::AddonQuantity;
use crate::model::commerce::orders::ItemRequest;
use crate::model::commerce::quotes::QuoteView;
use crate::model::ids::{AccountId, QuoteId};
use crate::model::scopes::need;
use crate::store;

pub fn routes(v1: &mut ServiceConfig) {
    v1.service(quotes_list).service(quotes_create).service(quotes_get);
}

list!(QuoteList, QuoteView);

/// What one item of a quote is for.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(tag = "action", rename_all = "snake_case")]
enum NewQuoteItem {
    /// A new subscription to a plan.
    Add(QuotedAdd),
    /// Another quantity, plan or number of add-ons for a subscription that runs.
    Change(ChangeItem),
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
struct QuotedAdd {
    /// The plan's code or identifier.
    #[schema(min_length = 1, max_length = 64, example = "hosted-mail")]
    plan: String,
    #[serde(default = "super::orders::one")]
    #[schema(minimum = 1, maximum = 1_000_000, default = 1, example = 25)]
    quantity: i64,
    /// What it has beside the plan.
    #[serde(default)]
    #[schema(max_items = 20)]
    addons: Vec<AddonQuantity>,
}

/// A quote as it is asked for.
#[derive(Debug, Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewQuote {
    /// Whom it is for; the account acted for if left out.
    #[schema(nullable = false)]
    account_id: Option<AccountId>,
    #[schema(min_items = 1, max_items = 20)]
    items: Vec<NewQuoteItem>,
    /// For how many hours its prices hold; a fortnight if left out.
    #[serde(default = "fortnight")]
    #[schema(minimum = 1, maximum = 2_160, default = 336)]
    valid_hours: u32,
    #[serde(default)]
    #[validate(custom(function = fields::metadata))]
    metadata: BTreeMap<String, String>,
}

const fn fortnight() -> u32 {
    14 * 24
}

impl From<NewQuoteItem> for ItemRequest {
    fn from(item: NewQuoteItem) -> Self {
        match item {
            NewQuoteItem::Add(QuotedAdd { plan, quantity, addons }) => {
                ItemRequest::Add { plan, quantity, addons, resources: Vec::new() }
            }
            NewQuoteItem::Change(item) => ItemRequest::Change(item.into()),
        }
    }
}

/// List quotes
#[utoipa::path(
    tag = "quotes",
    security(("oauth2" = ["orders:read"])),
    responses((status = 200, description = "Quotes", body = QuoteList)),
)]
#[get("/quotes")]
async fn quotes_list(mut caller: Caller<need::OrdersRead>) -> Result<HttpResponse, Problem> {
    let page = caller.page()?;
    let after: Option<(Path, QuoteId)> = page.after()?;
    let rows = store::commerce::quotes::page(&mut caller.read().await?, after.as_ref(), page.rows()).await?;
    let (rows, next) = page.cut(rows, |quote| (quote.path.clone(), quote.id));
    caller.saw_each(rows.iter().map(|quote| &quote.path));
    let now = caller.now;
    Ok(QuoteList::answer(rows.into_iter().map(|quote| quote.seen_at(now)).collect(), next))
}

/// Ask for a quote
///
/// Prices items as an order would, and tries whether the quotas suffice now. Until `valid_until` an order with its
/// `quote_id` and the same items costs what it says, whatever price lists say by then. Nothing is reserved by it.
#[utoipa::path(
    tag = "quotes",
    security(("oauth2" = ["quotes:write"])),
    request_body = NewQuote,
    responses((status = 201, description = "Made", body = QuoteView)),
)]
#[post("/quotes")]
async fn quotes_create(mut caller: Caller<need::QuotesWrite>) -> Result<HttpResponse, Problem> {
    let body: NewQuote = caller.json().await?;
    let asking = Asking {
        account_id: body.account_id,
        items: body.items.into_iter().map(ItemRequest::from).collect(),
        holds: Duration::from_secs(u64::from(body.valid_hours) * 60 * 60),
        metadata: body.metadata,
    };
    caller
        .write(async move |work, actor| {
            let quote = quotes::create(work, actor, asking).await?;
            let (id, version) = (quote.id, quote.version);
            let view = quote.seen_at(work.now);
            Ok(Answer::made(true, format!("/v1/quotes/{id}"), &view).version(version).about(id))
        })
        .await
}

/// Get a quote
#[utoipa::path(
    tag = "quotes",
    security(("oauth2" = ["orders:read"])),
    params(("id" = QuoteId, Path)),
    responses((status = 200, description = "The quote", body = QuoteView)),
)]
#[get("/quotes/{id}")]
async fn quotes_get(mut caller: Caller<need::OrdersRead>) -> Result<HttpResponse, Problem> {
    let id: QuoteId = caller.id("quote")?;
    let found = store::commerce::quotes::find(&mut caller.read().await?, id).await?;
    let quote = found.ok_or(Error::NotFound("quote"))?;
    caller.saw(&quote.path);
    let version = quote.version;
    caller.show(version, &quote.seen_at(caller.now))
}

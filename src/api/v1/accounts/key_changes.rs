use actix_web::{HttpResponse, patch};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use validator::Validate;

use super::keys::check_class;
use crate::api::answer::Answer;
use crate::api::caller::Caller;
use crate::api::problem::Problem;
use crate::api::v1::fields;
use crate::domain::accounts::keys::{self, Change};
use crate::model::accounts::keys::KeyView;
use crate::model::accounts::spending::SpendCap;
use crate::model::ids::KeyId;
use crate::model::scopes::need;

pub fn routes(v1: &mut ServiceConfig) {
    v1.service(keys_update);
}

/// What of a key is to be different; what is left out stays.
#[derive(Debug, Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct KeyChange {
    /// How much may be asked for with it: one of the `rate_classes` of `GET /v1/limits`.
    #[schema(nullable = false, max_length = 32, example = "bulk")]
    rate_class: Option<String>,
    /// How much may be ordered with it; `null` takes the cap away. The caller's own key needs every right of this one, and
    /// has no cap itself.
    #[serde(default, deserialize_with = "fields::present")]
    #[schema(value_type = Option<SpendCap>)]
    spend_cap: Option<Option<SpendCap>>,
}

/// Change a key
///
/// Its rate class, which accounts above the key's decide on: nobody gives the keys of his own account another one,
/// unless he is the operator. And its cap.
#[utoipa::path(
    tag = "keys",
    security(("oauth2" = ["keys:write"])),
    params(("id" = KeyId, Path)),
    request_body = KeyChange,
    responses((status = 200, description = "Changed", body = KeyView)),
)]
#[patch("/keys/{id}")]
async fn keys_update(mut caller: Caller<need::KeysWrite>) -> Result<HttpResponse, Problem> {
    let (body, expected): (KeyChange, _) = (caller.json().await?, caller.if_match()?);
    let id = caller.id("key")?;
    check_class(&caller.state, body.rate_class.as_deref())?;
    let own = caller.credential.key.rate_class.clone();
    let change = Change { rate_class: body.rate_class, spend_cap: body.spend_cap };
    caller
        .write(async move |work, actor| {
            let key = keys::change(work, actor, id, &expected, change, &own).await?;
            let version = key.version;
            Ok(Answer::ok(&KeyView::from(key)).version(version).about(id))
        })
        .await
}

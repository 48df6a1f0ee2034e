use std::collections::BTreeSet;

use actix_web::{HttpResponse, put};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use validator::Validate;

use crate::access::assertions;
use crate::api::answer::Answer;
use crate::api::caller::Caller;
use crate::api::problem::Problem;
use crate::domain::Error;
use crate::domain::accounts::keys;
use crate::model::accounts::clients::{AuthMethod, Jwk, Jwks};
use crate::model::accounts::keys::KeyView;
use crate::model::ids::KeyId;
use crate::model::scopes::need;

pub fn routes(v1: &mut ServiceConfig) {
    v1.service(keys_set_client);
}

/// How a key authenticates as an OAuth client, in the words of RFC 7591.
#[derive(Debug, Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct ClientSettings {
    /// `client_secret_basic`: with the key itself, which is taken in the form as well. `private_key_jwt`: with
    /// assertions (RFC 7523), and at the OAuth endpoints with nothing else.
    token_endpoint_auth_method: AuthMethod,
    /// The public keys of which each assertion is signed with one.
    // `api/unions.rs` has it go with `private_key_jwt`, and with nothing else.
    #[schema(nullable = false)]
    jwks: Option<Jwks>,
}

impl ClientSettings {
    fn keys(self) -> Result<Vec<Jwk>, Error> {
        let keys = self.jwks.map(|jwks| jwks.keys).unwrap_or_default();
        let mut names = BTreeSet::new();
        for (index, key) in keys.iter().enumerate() {
            let place = format!("/jwks/keys/{index}");
            if !assertions::is_key(key) {
                return Err(Error::invalid(place, "not_a_key", "must be a public key of Ed25519 or P-256"));
            }
            if key.kid.as_ref().is_some_and(|kid| !names.insert(kid)) {
                return Err(Error::invalid(place + "/kid", "duplicate", "names another key already"));
            }
        }
        Ok(keys)
    }
}

/// Set how a key authenticates as an OAuth client
///
/// With `private_key_jwt` the client signs assertions (RFC 7523) with a private key that never leaves it: EdDSA
/// or ES256, `iss` and `sub` its id, `aud` the issuer or the token endpoint, `exp` at most 300 seconds ahead, each
/// `jti` once. The key needs every right of the one that it changes. On the API itself a key works as before.
#[utoipa::path(
    tag = "keys",
    security(("oauth2" = ["keys:write"])),
    params(("id" = KeyId, Path)),
    request_body = ClientSettings,
    responses((status = 200, description = "The key", body = KeyView)),
)]
#[put("/keys/{id}/client")]
async fn keys_set_client(mut caller: Caller<need::KeysWrite>) -> Result<HttpResponse, Problem> {
    let (id, expected) = (caller.id("key")?, caller.if_match()?);
    let body: ClientSettings = caller.json().await?;
    let auth_method = body.token_endpoint_auth_method;
    let jwks = body.keys()?;
    caller
        .write(async move |work, actor| {
            let key = keys::set_client(work, actor, id, &expected, auth_method, jwks).await?;
            let version = key.version;
            Ok(Answer::ok(&KeyView::from(key)).version(version).about(id))
        })
        .await
}

use actix_web::{HttpResponse, get, web};
use serde_json::json;

use super::token::GRANTS;
use crate::api::state::State;
use crate::model::accounts::clients::SignatureAlgorithm;
use crate::model::scopes::Scope;

/// How clients authenticate.
const METHODS: [&str; 3] = ["client_secret_basic", "client_secret_post", "private_key_jwt"];

/// Get the public keys of access tokens
///
/// A JSON Web Key Set (RFC 7517). A key is in it a day before tokens are first signed with it, and until the last of
/// them has ended.
#[utoipa::path(tag = "discovery", responses((status = 200, description = "The key set", body = Object)))]
#[get("/oauth/jwks")]
pub async fn oauth_jwks(state: web::Data<State>) -> HttpResponse {
    HttpResponse::Ok().json(state.tokens.ring.keys().jwks(state.clock.now()))
}

/// Describe the authorization server
///
/// RFC 8414 metadata.
#[utoipa::path(tag = "discovery", responses((status = 200, description = "The metadata", body = Object)))]
#[get("/.well-known/oauth-authorization-server")]
pub async fn oauth_server(state: web::Data<State>) -> HttpResponse {
    let issuer = &state.tokens.issuer;
    let scopes: Vec<_> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
    let algorithms: Vec<_> = SignatureAlgorithm::ALL.iter().map(|algorithm| algorithm.as_str()).collect();
    HttpResponse::Ok().json(json!({
        "issuer": issuer,
        "token_endpoint": format!("{issuer}/oauth/token"),
        "revocation_endpoint": format!("{issuer}/oauth/revoke"),
        "introspection_endpoint": format!("{issuer}/oauth/introspect"),
        "jwks_uri": format!("{issuer}/oauth/jwks"),
        "grant_types_supported": GRANTS,
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": METHODS,
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "revocation_endpoint_auth_methods_supported": METHODS,
        "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
        "introspection_endpoint_auth_methods_supported": METHODS,
        "introspection_endpoint_auth_signing_alg_values_supported": algorithms,
        "scopes_supported": scopes,
        "service_documentation": format!("{issuer}/docs"),
    }))
}

/// Describe the protected resource
///
/// RFC 9728 metadata.
#[utoipa::path(tag = "discovery", responses((status = 200, description = "The metadata", body = Object)))]
#[get("/.well-known/oauth-protected-resource")]
pub async fn oauth_resource(state: web::Data<State>) -> HttpResponse {
    let issuer = &state.tokens.issuer;
    let scopes: Vec<_> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
    HttpResponse::Ok().json(json!({
        "resource": issuer,
        "authorization_servers": [issuer],
        "scopes_supported": scopes,
        "bearer_methods_supported": ["header"],
        "resource_documentation": format!("{issuer}/docs"),
    }))
}

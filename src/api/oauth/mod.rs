//! OAuth 2.0: short-lived access tokens for keys (RFC 6749 client_credentials, RFC 9068), tokens for the accounts
//! below (RFC 8693), their end (RFC 7009) and their state (RFC 7662), and what clients discover all of it by
//! (RFC 8414, RFC 9728).

mod client;
mod discovery;
mod exchange;
mod failures;
mod introspect;
mod request;
mod revoke;
mod token;

use utoipa_actix_web::service_config::ServiceConfig;

pub use failures::Failures;
pub use request::{Refused, Told};

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(token::oauth_token)
        .service(revoke::oauth_revoke)
        .service(introspect::oauth_introspect)
        .service(discovery::oauth_jwks)
        .service(discovery::oauth_server)
        .service(discovery::oauth_resource);
}

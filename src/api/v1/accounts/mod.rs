#[expect(clippy::module_inception, reason = "a capability's first noun has its name, in every layer")]
mod accounts;
mod audit;
mod keys;
mod leaks;
mod me;

use utoipa_actix_web::service_config::ServiceConfig;

pub fn routes(v1: &mut ServiceConfig) {
    v1.configure(me::routes)
        .configure(accounts::routes)
        .configure(leaks::routes)
        .configure(keys::routes)
        .configure(audit::routes);
}

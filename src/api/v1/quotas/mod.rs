mod checks;
#[expect(clippy::module_inception, reason = "a capability's first noun has its name, in every layer")]
mod quotas;
mod requests;

use utoipa_actix_web::service_config::ServiceConfig;

pub fn routes(v1: &mut ServiceConfig) {
    v1.configure(quotas::routes).configure(checks::routes).configure(requests::routes);
}

mod deliveries;
#[expect(clippy::module_inception, reason = "a capability's first noun has its name, in every layer")]
mod events;
mod webhooks;

use utoipa_actix_web::service_config::ServiceConfig;

pub fn routes(v1: &mut ServiceConfig) {
    v1.configure(events::routes).configure(webhooks::routes).configure(deliveries::routes);
}

mod holds;
mod operations;
pub mod resources;
#[expect(clippy::module_inception, reason = "a capability's first noun has its name, in every layer")]
mod services;
mod timelines;

use utoipa_actix_web::service_config::ServiceConfig;

pub fn routes(v1: &mut ServiceConfig) {
    v1.configure(services::routes)
        .configure(resources::routes)
        .configure(holds::routes)
        .configure(operations::routes)
        .configure(timelines::routes);
}

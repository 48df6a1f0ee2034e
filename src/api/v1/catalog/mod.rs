mod plans;
mod servers;

use utoipa_actix_web::service_config::ServiceConfig;

pub fn routes(v1: &mut ServiceConfig) {
    v1.configure(servers::routes).configure(plans::routes);
}

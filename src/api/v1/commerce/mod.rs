mod orders;
mod subscriptions;

use utoipa_actix_web::service_config::ServiceConfig;

pub fn routes(v1: &mut ServiceConfig) {
    v1.configure(orders::routes).configure(subscriptions::routes);
}

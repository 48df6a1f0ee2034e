mod orders;
mod quotes;
mod subscriptions;

use utoipa_actix_web::service_config::ServiceConfig;

pub fn routes(v1: &mut ServiceConfig) {
    v1.configure(quotes::routes).configure(orders::routes).configure(subscriptions::routes);
}

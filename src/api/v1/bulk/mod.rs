mod batches;
mod reconciles;
mod selections;

use utoipa_actix_web::service_config::ServiceConfig;

pub fn routes(v1: &mut ServiceConfig) {
    v1.configure(batches::routes).configure(selections::routes).configure(reconciles::routes);
}

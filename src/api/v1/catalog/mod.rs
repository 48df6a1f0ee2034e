mod addons;
mod plans;
mod price_lists;
mod prices;
mod pricing;
mod servers;

use utoipa_actix_web::service_config::ServiceConfig;

pub fn routes(v1: &mut ServiceConfig) {
    v1.configure(servers::routes)
        .configure(plans::routes)
        .configure(addons::routes)
        .configure(price_lists::routes)
        .configure(prices::routes)
        .configure(pricing::routes);
}

#[expect(clippy::module_inception, reason = "a capability's first noun has its name, in every layer")]
mod accounts;
mod audit;
mod branding;
mod clients;
mod closings;
mod console;
mod key_changes;
mod keys;
mod leaks;
mod limits;
mod me;
mod members;
mod moves;
mod requests;
mod search;
mod signups;
mod storefront_keys;
mod topology;

use utoipa_actix_web::service_config::ServiceConfig;

pub fn routes(v1: &mut ServiceConfig) {
    v1.configure(me::routes)
        .configure(limits::routes)
        .configure(accounts::routes)
        .configure(console::routes)
        .configure(search::routes)
        .configure(topology::routes)
        .configure(branding::routes)
        .configure(moves::routes)
        .configure(closings::routes)
        .configure(members::routes)
        .configure(signups::routes)
        .configure(leaks::routes)
        .configure(keys::routes)
        .configure(clients::routes)
        .configure(key_changes::routes)
        .configure(storefront_keys::routes)
        .configure(audit::routes)
        .configure(requests::routes);
}

//! Version 1 of the API: one file per resource, each with its own routes.

/// Declares the answer of a list.
macro_rules! list {
    ($name:ident, $view:ty) => {
        /// A part of a list.
        #[derive(Debug, serde::Serialize, utoipa::ToSchema)]
        pub struct $name {
            pub data: Vec<$view>,
            /// Where the next part begins; none at the end.
            pub next_cursor: Option<String>,
        }

        impl $name {
            pub fn answer(data: Vec<$view>, next_cursor: Option<String>) -> actix_web::HttpResponse {
                actix_web::HttpResponse::Ok().json(Self { data, next_cursor })
            }
        }
    };
}

mod accounts;
mod bulk;
mod catalog;
mod commerce;
mod events;
mod fields;
mod quotas;
mod services;

use utoipa_actix_web::service_config::ServiceConfig;

pub fn routes(v1: &mut ServiceConfig) {
    v1.configure(accounts::routes)
        .configure(catalog::routes)
        .configure(commerce::routes)
        .configure(services::routes)
        .configure(quotas::routes)
        .configure(bulk::routes)
        .configure(events::routes);
}

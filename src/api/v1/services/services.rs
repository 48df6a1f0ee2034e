use actix_web::{HttpResponse, get};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::api::caller::Caller;
use crate::api::problem::{Code, Problem};
use crate::domain::Error;
use crate::model::Path;
use crate::model::connector::{Connection, ResourceGoal, ServiceGoal, Target};
use crate::model::ids::{ServiceId, SubscriptionId};
use crate::model::scopes::need;
use crate::model::services::services::{Service, ServiceView};
use crate::store;

pub fn routes(v1: &mut ServiceConfig) {
    v1.service(services_list).service(services_get).service(services_connection);
}

list!(ServiceList, ServiceView);

/// List services
///
/// All in the caller's reach, or those of one subscription.
#[utoipa::path(
    tag = "services",
    security(("oauth2" = ["services:read"])),
    params(("subscription_id" = Option<SubscriptionId>, Query, description = "Of this subscription alone", nullable = false)),
    responses((status = 200, description = "Services", body = ServiceList)),
)]
#[get("/services")]
async fn services_list(mut caller: Caller<need::ServicesRead>) -> Result<HttpResponse, Problem> {
    let page = caller.page()?;
    let after: Option<(Path, ServiceId)> = page.after()?;
    let mut conn = caller.read().await?;
    let rows = match caller.parameter("subscription_id") {
        None => store::services::services::page(&mut conn, after.as_ref(), page.rows()).await?,
        Some(named) => {
            let id = named.parse().map_err(|_| Error::NotFound("subscription"))?;
            let subscription = store::commerce::subscriptions::find(&mut conn, id).await?;
            caller.saw(&subscription.ok_or(Error::NotFound("subscription"))?.path);
            let mut rows = store::services::services::of_subscription(&mut conn, id).await?;
            rows.retain(|service| after.as_ref().is_none_or(|(_, last)| service.id > *last));
            rows
        }
    };
    let (rows, next) = page.cut(rows, |service| (service.path.clone(), service.id));
    caller.saw_each(rows.iter().map(|service| &service.path));
    Ok(ServiceList::answer(rows.into_iter().map(ServiceView::from).collect(), next))
}

/// Get a service
///
/// Its `status` says lifecycle and access in one word.
#[utoipa::path(
    tag = "services",
    security(("oauth2" = ["services:read"])),
    params(("id" = ServiceId, Path)),
    responses((status = 200, description = "The service", body = ServiceView)),
)]
#[get("/services/{id}")]
async fn services_get(mut caller: Caller<need::ServicesRead>) -> Result<HttpResponse, Problem> {
    let id = caller.id("service")?;
    let found = store::services::services::find(&mut caller.read().await?, id).await?;
    let service = found.ok_or(Error::NotFound("service"))?;
    caller.saw(&service.path);
    caller.show(service.version, &ServiceView::from(service))
}

/// Show how to connect
///
/// All that a welcome mail needs: hosts and ports, the DNS records to set, links.
#[utoipa::path(
    tag = "services",
    security(("oauth2" = ["services:read"])),
    params(("id" = ServiceId, Path)),
    responses((status = 200, description = "How to connect", body = Connection)),
)]
#[get("/services/{id}/connection")]
async fn services_connection(mut caller: Caller<need::ServicesRead>) -> Result<HttpResponse, Problem> {
    let id = caller.id("service")?;
    let mut conn = caller.read().await?;
    let service: Service =
        store::services::services::find(&mut conn, id).await?.ok_or(Error::NotFound("service"))?;
    caller.saw(&service.path);
    let server = store::catalog::servers::find_any(&mut conn, service.server_id).await?;
    let resources = store::services::resources::present(&mut conn, id).await?;
    drop(conn);
    let known = server.and_then(|server| Some((caller.state.connectors.get(&server.connector)?, server)));
    let Some((connector, server)) = known else {
        let detail = "The service's connector is not part of this installation.";
        return Err(Problem::new(Code::NotImplementedByConnector, detail));
    };
    let target = Target { server_id: server.id, settings: server.settings.0, credentials: None };
    let access = service.access();
    let goal = ServiceGoal {
        id: service.id,
        account_id: service.account_id,
        service_type: service.service_type,
        settings: service.settings.0,
        access,
    };
    let resources: Vec<_> = resources
        .into_iter()
        .map(|resource| ResourceGoal {
            id: resource.id,
            service: goal.clone(),
            spec: resource.spec.0,
            password_hash: None,
        })
        .collect();
    Ok(HttpResponse::Ok().json(connector.connection(&target, &goal, &resources)))
}

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, delete, get, patch, post};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use validator::Validate;

use crate::access::passwords;
use crate::api::answer::Answer;
use crate::api::caller::Caller;
use crate::api::problem::{Code, Fault, Problem};
use crate::api::v1::fields;
use crate::domain::accounts::accounts::Made;
use crate::domain::services::resources::{self, Change};
use crate::domain::{self, Error, digest};
use crate::model::Path;
use crate::model::ids::{ResourceId, ServiceId};
use crate::model::scopes::need;
use crate::model::services::resources::{Resource, ResourceView};
use crate::model::services::specs::{Record, ResourceSpec};
use crate::store;

pub fn routes(v1: &mut ServiceConfig) {
    v1.service(service_resources_list)
        .service(resources_create)
        .service(resources_list)
        .service(resources_get)
        .service(resources_update)
        .service(resources_delete)
        .service(resources_set_password);
}

list!(ResourceList, ResourceView);

/// A new resource: its type, what it is to be, and, for one that has a login, its password.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct NewResource {
    #[serde(flatten)]
    spec: ResourceSpec,
    /// Kept as a hash only and never read back. A mailbox without one refuses every login until it is set.
    #[serde(default, skip_serializing)]
    #[schema(value_type = Option<String>, min_length = 8, max_length = 72, format = Password, nullable = false)]
    password: Option<SecretString>,
    /// The caller's own name for it. A second create with the same name and content answers 200 with the
    /// resource that is there.
    #[schema(min_length = 1, max_length = 128, nullable = false)]
    external_id: Option<String>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

impl Validate for NewResource {
    fn validate(&self) -> Result<(), validator::ValidationErrors> {
        let mut errors = validator::ValidationErrors::new();
        if let Err(error) = fields::metadata(&self.metadata) {
            errors.add("metadata", error);
        }
        let bytes = self.password.as_ref().map_or(0, |password| password.expose_secret().len());
        if bytes > passwords::MAX_BYTES {
            let error = validator::ValidationError::new("too_long");
            let detail = format!("has at most {} bytes", passwords::MAX_BYTES);
            errors.add("password", error.with_message(detail.into()));
        }
        validator::ValidationErrors::merge(
            if errors.is_empty() { Ok(()) } else { Err(errors) },
            "spec",
            self.spec.validate(),
        )
    }
}

impl NewResource {
    /// The resource with its password hashed.
    pub async fn hashed(self) -> Result<resources::NewResource, Problem> {
        let spec = self.spec.normalized();
        let fingerprint = digest(&(&spec, &self.external_id, &self.metadata));
        Ok(resources::NewResource {
            spec,
            password_hash: hash(self.password).await?,
            external_id: self.external_id,
            metadata: self.metadata,
            fingerprint,
        })
    }
}

async fn hash(password: Option<SecretString>) -> Result<Option<String>, Problem> {
    let Some(password) = password else { return Ok(None) };
    match passwords::hash(password).await {
        Some(hash) => Ok(Some(hash)),
        None => {
            Err(Problem::new(Code::InternalError, "The password could not be hashed. Nothing was changed."))
        }
    }
}

fn answer(resource: Resource, done: StatusCode) -> Answer {
    let (id, version, operation) = (resource.id, resource.version, resource.operation_id);
    let answer = Answer::accepted(operation, done, &ResourceView::from(resource)).version(version).about(id);
    Answer { location: answer.location.or(Some(format!("/v1/resources/{id}"))), ..answer }
}

/// List a service's resources
#[utoipa::path(
    tag = "resources",
    security(("oauth2" = ["resources:read"])),
    params(("id" = ServiceId, Path)),
    responses((status = 200, description = "Resources", body = ResourceList)),
)]
#[get("/services/{id}/resources")]
async fn service_resources_list(mut caller: Caller<need::ResourcesRead>) -> Result<HttpResponse, Problem> {
    let page = caller.page()?;
    let after: Option<ResourceId> = page.after()?;
    let id = caller.id("service")?;
    let mut conn = caller.read().await?;
    let service = store::services::services::find(&mut conn, id).await?.ok_or(Error::NotFound("service"))?;
    caller.saw(&service.path);
    let rows = store::services::resources::page(&mut conn, id, after, page.rows()).await?;
    let (rows, next) = page.cut(rows, |resource| resource.id);
    Ok(ResourceList::answer(rows.into_iter().map(ResourceView::from).collect(), next))
}

/// Make a resource
///
/// In a service: a domain, a mailbox, a zone, a site. It takes from the subscription's quota; a refusal says
/// which quota is short and which calls would make room.
#[utoipa::path(
    tag = "resources",
    security(("oauth2" = ["resources:write"])),
    params(("id" = ServiceId, Path)),
    request_body = NewResource,
    responses(
        (status = 202, description = "Being made", body = ResourceView),
        (status = 201, description = "Made, within the time waited", body = ResourceView),
        (status = 200, description = "It was there already, under this external_id and with this content", body = ResourceView),
    ),
)]
#[post("/services/{id}/resources")]
async fn resources_create(mut caller: Caller<need::ResourcesWrite>) -> Result<HttpResponse, Problem> {
    let body: NewResource = caller.json().await?;
    let service: ServiceId = caller.id("service")?;
    let new = body.hashed().await?;
    caller
        .write(async move |work, actor| {
            let made = resources::create(work, actor, service, new).await?;
            let done = if made.is_new() { StatusCode::CREATED } else { StatusCode::OK };
            Ok(answer(Made::into_inner(made), done))
        })
        .await
}

/// List resources
///
/// Of all services of the caller's account and of all below.
#[utoipa::path(
    tag = "resources",
    security(("oauth2" = ["resources:read"])),
    responses((status = 200, description = "Resources", body = ResourceList)),
)]
#[get("/resources")]
async fn resources_list(mut caller: Caller<need::ResourcesRead>) -> Result<HttpResponse, Problem> {
    let page = caller.page()?;
    let after: Option<(Path, ResourceId)> = page.after()?;
    let mut conn = caller.read().await?;
    let rows = store::services::resources::page_all(&mut conn, after.as_ref(), page.rows()).await?;
    let (rows, next) = page.cut(rows, |resource| (resource.path.clone(), resource.id));
    caller.saw_each(rows.iter().map(|resource| &resource.path));
    Ok(ResourceList::answer(rows.into_iter().map(ResourceView::from).collect(), next))
}

/// Get a resource
#[utoipa::path(
    tag = "resources",
    security(("oauth2" = ["resources:read"])),
    params(("id" = ResourceId, Path)),
    responses((status = 200, description = "The resource", body = ResourceView)),
)]
#[get("/resources/{id}")]
async fn resources_get(mut caller: Caller<need::ResourcesRead>) -> Result<HttpResponse, Problem> {
    let id = caller.id("resource")?;
    let found = store::services::resources::find(&mut caller.read().await?, id).await?;
    let resource = found.ok_or(domain::Error::NotFound("resource"))?;
    let version = resource.version;
    caller.saw(&resource.path);
    caller.show(version, &ResourceView::from(resource))
}

/// What is to change of a resource; what is left out stays.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct ResourceChange {
    #[validate(nested)]
    spec: SpecChange,
}

/// The members that can change; which ones there are depends on the resource's type.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct SpecChange {
    /// Of a mailbox or a site.
    #[schema(minimum = 1, maximum = 1_048_576, nullable = false)]
    quota_mb: Option<i64>,
    /// Of a mailbox; `null` clears.
    #[serde(default, deserialize_with = "fields::present")]
    #[schema(min_length = 1, max_length = 128, value_type = Option<String>)]
    display_name: Option<Option<String>>,
    /// Of a zone: all its records.
    #[validate(nested)]
    #[schema(max_items = 1000, nullable = false)]
    records: Option<Vec<Record>>,
}

/// Change a resource
///
/// More quota is taken at once; what is less is free when the change is made.
#[utoipa::path(
    tag = "resources",
    security(("oauth2" = ["resources:write"])),
    params(("id" = ResourceId, Path)),
    request_body = ResourceChange,
    responses(
        (status = 202, description = "Being changed", body = ResourceView),
        (status = 200, description = "Changed, within the time waited", body = ResourceView),
    ),
)]
#[patch("/resources/{id}")]
async fn resources_update(mut caller: Caller<need::ResourcesWrite>) -> Result<HttpResponse, Problem> {
    let (body, expected): (ResourceChange, _) = (caller.json().await?, caller.if_match()?);
    let id = caller.id("resource")?;
    let change = Change {
        quota_mb: body.spec.quota_mb,
        display_name: body.spec.display_name,
        records: body.spec.records,
        password_hash: None,
    };
    caller
        .write(async move |work, actor| {
            let resource = resources::change(work, actor, id, change, &expected).await?;
            Ok(answer(resource, StatusCode::OK))
        })
        .await
}

/// Delete a resource
///
/// With its data, for good.
#[utoipa::path(
    tag = "resources",
    security(("oauth2" = ["resources:write"])),
    params(("id" = ResourceId, Path)),
    responses(
        (status = 202, description = "Being deleted", body = ResourceView),
        (status = 200, description = "Deleted, within the time waited", body = ResourceView),
    ),
)]
#[delete("/resources/{id}")]
async fn resources_delete(caller: Caller<need::ResourcesWrite>) -> Result<HttpResponse, Problem> {
    let expected = caller.if_match()?;
    let id = caller.id("resource")?;
    caller
        .write(async move |work, actor| {
            let resource = resources::delete(work, actor, id, &expected).await?;
            Ok(answer(resource, StatusCode::OK))
        })
        .await
}

/// A new password.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewPassword {
    #[schema(value_type = String, min_length = 8, max_length = 72, format = Password)]
    password: SecretString,
}

/// Set a resource's password
///
/// It is kept as a hash only and never read back.
#[utoipa::path(
    tag = "resources",
    security(("oauth2" = ["resources:write"])),
    params(("id" = ResourceId, Path)),
    request_body = NewPassword,
    responses(
        (status = 202, description = "Being set", body = ResourceView),
        (status = 200, description = "Set, within the time waited", body = ResourceView),
    ),
)]
#[post("/resources/{id}/set_password")]
async fn resources_set_password(mut caller: Caller<need::ResourcesWrite>) -> Result<HttpResponse, Problem> {
    let (body, expected): (NewPassword, _) = (caller.json().await?, caller.if_match()?);
    if body.password.expose_secret().len() > passwords::MAX_BYTES {
        let fault = Fault::at("/password", "too_long", format!("has at most {} bytes", passwords::MAX_BYTES));
        return Err(
            Problem::new(Code::ValidationFailed, "The password is too long.").with_errors(vec![fault])
        );
    }
    let id = caller.id("resource")?;
    let password_hash = hash(Some(body.password)).await?;
    let change = Change { password_hash, ..Change::default() };
    caller
        .write(async move |work, actor| {
            let resource = resources::change(work, actor, id, change, &expected).await?;
            Ok(answer(resource, StatusCode::OK))
        })
        .await
}

use std::collections::BTreeMap;

use actix_web::{HttpResponse, delete, get, patch, post};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use validator::Validate;

use crate::api::answer::Answer;
use crate::api::caller::Caller;
use crate::api::problem::Problem;
use crate::api::v1::fields;
use crate::domain::accounts::members::{self, Appointing, Change};
use crate::model::Path;
use crate::model::accounts::members::{MemberRole, MemberView};
use crate::model::ids::{AccountId, MemberId};
use crate::model::scopes::{Scope, need};
use crate::store;

pub fn routes(v1: &mut ServiceConfig) {
    v1.service(members_list)
        .service(members_create)
        .service(members_get)
        .service(members_update)
        .service(members_remove);
}

list!(MemberList, MemberView);

/// A person who is to be a member of an account.
#[derive(Debug, Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewMember {
    /// Whose member it is to be; the caller's own account's if left out.
    account_id: Option<AccountId>,
    role: MemberRole,
    #[validate(custom(function = fields::name))]
    #[schema(min_length = 1, max_length = 128, example = "Alice Ames")]
    name: String,
    /// Kept in lower case; an account has one member with it.
    #[validate(custom(function = fields::email))]
    #[schema(min_length = 3, max_length = 254, example = "alice@acme.example")]
    email: String,
    /// What a peer may do: for a peer it is needed, for the other roles left out.
    #[schema(min_items = 1, max_items = 100)]
    scopes: Option<Vec<Scope>>,
    #[serde(default)]
    #[validate(custom(function = fields::metadata))]
    metadata: BTreeMap<String, String>,
}

/// What is to change of a member; what is left out stays.
#[derive(Debug, Clone, Default, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct MemberChange {
    #[schema(nullable = false)]
    role: Option<MemberRole>,
    #[validate(custom(function = fields::name))]
    #[schema(min_length = 1, max_length = 128, nullable = false)]
    name: Option<String>,
    #[validate(custom(function = fields::email))]
    #[schema(min_length = 3, max_length = 254, nullable = false)]
    email: Option<String>,
    /// All that a peer may do from now on; needed where somebody becomes one.
    #[schema(min_items = 1, max_items = 100, nullable = false)]
    scopes: Option<Vec<Scope>>,
    #[validate(custom(function = fields::metadata))]
    #[schema(nullable = false)]
    metadata: Option<BTreeMap<String, String>>,
}

/// List members
///
/// The people who act for the caller's account and for those below it.
#[utoipa::path(
    tag = "accounts",
    security(("oauth2" = ["accounts:read"])),
    responses((status = 200, description = "Members", body = MemberList)),
)]
#[get("/members")]
async fn members_list(mut caller: Caller<need::AccountsRead>) -> Result<HttpResponse, Problem> {
    let page = caller.page()?;
    let after: Option<(Path, MemberId)> = page.after()?;
    let mut conn = caller.read().await?;
    let rows = store::accounts::members::page(&mut conn, after.as_ref(), page.rows()).await?;
    let (rows, next) = page.cut(rows, |member| (member.path.clone(), member.id));
    caller.saw_each(rows.iter().map(|member| &member.path));
    Ok(MemberList::answer(rows.into_iter().map(MemberView::from).collect(), next))
}

/// Add a member
///
/// A person who acts for an account, by a role that says what the person may do: nothing that the caller's own key may not. Keys
/// are made for members by `POST /v1/keys` with `member_id`, and the audit names the member whose key it was.
#[utoipa::path(
    tag = "accounts",
    security(("oauth2" = ["members:write"])),
    request_body = NewMember,
    responses((status = 201, description = "Added", body = MemberView)),
)]
#[post("/members")]
async fn members_create(mut caller: Caller<need::MembersWrite>) -> Result<HttpResponse, Problem> {
    let body: NewMember = caller.json().await?;
    let NewMember { account_id, role, name, email, scopes, metadata } = body;
    let asked = Appointing { role, name, email, scopes, metadata };
    caller
        .write(async move |work, actor| {
            let member = members::create(work, actor, account_id, asked).await?;
            Ok(Answer::made(true, format!("/v1/members/{}", member.id), &member).version(1).about(member.id))
        })
        .await
}

/// Get a member
#[utoipa::path(
    tag = "accounts",
    security(("oauth2" = ["accounts:read"])),
    params(("id" = MemberId, Path)),
    responses((status = 200, description = "The member", body = MemberView)),
)]
#[get("/members/{id}")]
async fn members_get(mut caller: Caller<need::AccountsRead>) -> Result<HttpResponse, Problem> {
    let id = caller.id("member")?;
    let member = members::find(&mut caller.read().await?, id).await?;
    caller.saw(&member.path);
    caller.show(member.version, &MemberView::from(member))
}

/// Change a member
///
/// The caller's own key may do all that the member may, before and after. What the member may not do any more, its keys may
/// not either from now on; what it may do in addition, new keys of its may.
#[utoipa::path(
    tag = "accounts",
    security(("oauth2" = ["members:write"])),
    params(("id" = MemberId, Path)),
    request_body = MemberChange,
    responses((status = 200, description = "Changed", body = MemberView)),
)]
#[patch("/members/{id}")]
async fn members_update(mut caller: Caller<need::MembersWrite>) -> Result<HttpResponse, Problem> {
    let (body, expected): (MemberChange, _) = (caller.json().await?, caller.if_match()?);
    let id = caller.id("member")?;
    let MemberChange { role, name, email, scopes, metadata } = body;
    let change = Change { role, name, email, scopes, metadata };
    caller
        .write(async move |work, actor| {
            let (member, version) = members::change(work, actor, id, change, &expected).await?;
            Ok(Answer::ok(&member).version(version).about(id))
        })
        .await
}

/// Remove a member
///
/// The member's keys are revoked, within five seconds on every replica. The account's only owner is not removed.
#[utoipa::path(
    tag = "accounts",
    security(("oauth2" = ["members:write"])),
    params(("id" = MemberId, Path)),
    responses((status = 204, description = "Removed")),
)]
#[delete("/members/{id}")]
async fn members_remove(caller: Caller<need::MembersWrite>) -> Result<HttpResponse, Problem> {
    let (id, expected) = (caller.id("member")?, caller.if_match()?);
    caller
        .write(async move |work, actor| {
            members::remove(work, actor, id, &expected).await?;
            Ok(Answer::none().about(id))
        })
        .await
}

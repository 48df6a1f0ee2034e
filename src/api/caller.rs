//! Who calls and what they may do. A handler names the scope it needs in its [`Caller`]'s type; there is no
//! other way to the store.

use std::marker::PhantomData;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::{Method, header};
use actix_web::{FromRequest, HttpMessage, HttpRequest, HttpResponse, web};
use serde_json::Value;

use super::answer::Answer;
use super::body::{self, Body};
use super::credentials::authenticate;
use super::document::Route;
use super::page::Page;
use super::problem::{Code, Fault, Problem};
use super::state::State;
use super::{door, idempotency};
use crate::domain::{self, Work};
use crate::model::accounts::accounts::AccountType;
use crate::model::accounts::addresses::admits;
use crate::model::ids::{AccountId, RequestId};
use crate::model::scopes::{Need, Scope};
use crate::model::services::Access;
use crate::model::{Actor, Path, Subtree, Time};
use crate::store;
use crate::store::Conn;
use crate::store::accounts::keys::Credential;

/// Someone whose credential is good and holds the scope `S`.
pub struct Caller<S> {
    pub state: web::Data<State>,
    pub request: HttpRequest,
    pub credential: Arc<Credential>,
    pub scopes: Arc<[Scope]>,
    pub now: Time,
    pub route: Arc<Route>,
    acts_for: Option<(AccountId, Path)>,
    payload: Option<Payload>,
    body: Value,
    scope: PhantomData<S>,
}

impl<S> Caller<S> {
    /// The identifier in the route's path; a text that is none names nothing.
    pub fn id<I: std::str::FromStr>(&self, noun: &'static str) -> Result<I, Problem> {
        let text = self.request.match_info().get("id").unwrap_or_default();
        text.parse().map_err(|_| domain::Error::NotFound(noun).into())
    }

    /// The account in the route's path.
    pub fn account_id(&self) -> Result<AccountId, Problem> {
        let text = self.request.match_info().get("id").unwrap_or_default();
        text.parse().map_err(|_| domain::Error::AccountNotFound.into())
    }

    /// The body, valid by its schema and its own rules.
    pub async fn json<T: Body>(&mut self) -> Result<T, Problem> {
        self.read_body().await?;
        body::typed(&self.state.schemas, self.body.clone())
    }

    /// The body, or the one that stands for none.
    pub async fn json_or<T: Body>(&mut self, none: T) -> Result<T, Problem> {
        self.read_body().await?;
        match &self.body {
            Value::Null => Ok(none),
            body => body::typed(&self.state.schemas, body.clone()),
        }
    }

    async fn read_body(&mut self) -> Result<(), Problem> {
        if let Some(payload) = self.payload.take() {
            let bytes = body::read(&self.request, payload).await?;
            self.body = body::value(&self.request, &bytes)?.unwrap_or(Value::Null);
        }
        Ok(())
    }

    /// The version that `If-Match` demands, if it is sent.
    pub fn if_match(&self) -> Result<Option<i64>, Problem> {
        let Some(told) = self.request.headers().get(header::IF_MATCH) else { return Ok(None) };
        let told = told.to_str().unwrap_or_default().trim();
        if told == "*" {
            return Ok(None);
        }
        let version = told.strip_prefix("\"v").and_then(|rest| rest.strip_suffix('"')?.parse().ok());
        // A tag that is none of ours matches no version.
        Ok(Some(version.unwrap_or(-1)))
    }

    /// A query parameter that the route documents.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let query = self.request.query_string();
        form(query).find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// Where in a list the caller wants to go on, and how much it wants.
    pub fn page(&self) -> Result<Page, Problem> {
        Page::of(self, "cursor")
    }

    /// The same, where the parameter has another name.
    pub fn page_after(&self, parameter: &str) -> Result<Page, Problem> {
        Page::of(self, parameter)
    }

    /// A connection for reading what the caller may see.
    pub async fn read(&mut self) -> Result<Conn, Problem> {
        let (_, path) = self.subject().await?;
        Ok(self.state.db.read(Subtree::of(&path)).await?)
    }

    /// The account acted for: the credential's own, or the one below it that `Tenantry-Account` names.
    pub async fn subject(&mut self) -> Result<(AccountId, Path), Problem> {
        if let Some(subject) = &self.acts_for {
            return Ok(subject.clone());
        }
        let key = &self.credential.key;
        let subject = match self.request.headers().get("tenantry-account") {
            None => (key.account_id, key.path.clone()),
            Some(named) => {
                let not_there = || Problem::from(domain::Error::AccountNotFound);
                let id: AccountId =
                    named.to_str().ok().and_then(|text| text.parse().ok()).ok_or_else(not_there)?;
                let mut conn = self.state.db.read(Subtree::of(&key.path)).await?;
                let account = store::accounts::accounts::find(&mut conn, id).await?.ok_or_else(not_there)?;
                (account.id, account.path)
            }
        };
        self.acts_for = Some(subject.clone());
        Ok(subject)
    }

    /// What a use-case may know of the caller.
    pub async fn actor(&mut self) -> Result<Actor, Problem> {
        let (subject_id, subject_path) = self.subject().await?;
        let key = &self.credential.key;
        Ok(Actor {
            principal_id: key.account_id,
            principal_path: key.path.clone(),
            subject_id,
            subject_path,
            key_id: key.id,
            scopes: self.scopes.clone(),
            hold_classes: key.hold_classes.0.clone().into(),
            allowed_addresses: key.allowed_addresses.0.clone().into(),
            expires_at: key.expires_at,
            environment: key.environment,
            request_id: request_id(&self.request),
            address: address(&self.state, &self.request),
            now: self.now,
        })
    }

    /// What the credential's account is in the channel.
    pub fn principal_type(&self) -> AccountType {
        self.credential.account_type
    }

    /// The one door through which requests write: runs `work` in a transaction that also holds its events,
    /// its audit line and the answer to be repeated for the request's Idempotency-Key. All of it is kept or
    /// nothing. The work runs in a task of its own, which nothing cancels.
    pub async fn write<W>(mut self, work: W) -> Result<HttpResponse, Problem>
    where
        W: AsyncFnOnce(&mut Work, &Actor) -> domain::Result<Answer> + 'static,
    {
        self.read_body().await?;
        let entry = door::Entry {
            key: self.idempotency_key()?,
            dry_run: self.dry_run()?,
            wait: door::wait_asked(&self.request),
            query: self.sorted_query(),
            body: std::mem::take(&mut self.body),
            actor: self.actor().await?,
            route: self.route.clone(),
            method: self.request.method().clone(),
            path: self.request.path().to_owned(),
            state: self.state.clone(),
        };
        door::enter(entry, work).await
    }

    fn idempotency_key(&self) -> Result<Option<String>, Problem> {
        let lines = self.request.headers().get_all("idempotency-key").map(|line| line.as_bytes());
        idempotency::key(lines).map_err(|error| {
            Problem::new(Code::IdempotencyKeyInvalid, format!("{error}.")).with_errors(vec![Fault::header(
                "Idempotency-Key",
                "invalid",
                error.to_string(),
            )])
        })
    }

    fn dry_run(&self) -> Result<bool, Problem> {
        match self.parameter("dry_run").as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Problem::new(Code::ValidationFailed, "A parameter is not valid.")
                .with_errors(vec![Fault::parameter("dry_run", "invalid", "must be true or false")])),
        }
    }

    fn sorted_query(&self) -> String {
        let mut pairs: Vec<_> = form(self.request.query_string()).collect();
        pairs.sort();
        pairs.iter().map(|(name, value)| format!("{name}={value}&")).collect()
    }
}

/// The pairs of a query string, decoded.
pub fn form(query: &str) -> impl Iterator<Item = (String, String)> + '_ {
    url::form_urlencoded::parse(query.as_bytes()).map(|(name, value)| (name.into_owned(), value.into_owned()))
}

/// From where the request came, as far as our own proxies tell.
pub fn address(state: &State, request: &HttpRequest) -> Option<IpAddr> {
    let told = request.headers().get_all("x-forwarded-for").filter_map(|line| line.to_str().ok());
    let told: Vec<_> = told.collect();
    Some(state.trusted_proxies.client(request.peer_addr()?.ip(), told.into_iter()))
}

/// The identifier that the request was given on its way in.
pub fn request_id(request: &HttpRequest) -> RequestId {
    request.extensions().get::<RequestId>().copied().unwrap_or_else(RequestId::new)
}

impl<S: Need> FromRequest for Caller<S> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let state = request.app_data::<web::Data<State>>().expect("the state is registered").clone();
            let now = state.clock.now();
            let address = address(&state, &request);
            let (credential, scopes) = authenticate(&state, &request, now).await?;
            if !admits(&credential.key.allowed_addresses, address) {
                return Err(Problem::new(
                    Code::IpNotAllowed,
                    "The credential is not taken from this address.",
                ));
            }
            if !scopes.contains(&S::SCOPE) {
                return Err(lacking(S::SCOPE));
            }
            check_account(&credential, &request)?;
            let pattern = request.match_pattern().unwrap_or_default();
            let route =
                state.routes.find(request.method(), &pattern).expect("every route is in the document");
            check_parameters(&route, &request)?;
            state.principals.used(credential.key.id, now, address);
            Ok(Self {
                state,
                request,
                credential,
                scopes,
                now,
                route,
                acts_for: None,
                payload: Some(payload),
                body: Value::Null,
                scope: PhantomData,
            })
        })
    }
}

fn lacking(scope: Scope) -> Problem {
    Problem {
        challenge: Some(format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"")),
        ..Problem::new(Code::InsufficientScope, format!("The credential lacks the scope {scope}."))
    }
}

/// The keys of a suspended account may read only.
fn check_account(credential: &Credential, request: &HttpRequest) -> Result<(), Problem> {
    let suspended = credential.held.is_some_and(|weight| weight >= Access::Suspended.weight());
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    match suspended && !reads {
        false => Ok(()),
        true => {
            Err(Problem::new(Code::AccountSuspended, "The account is suspended; its keys may read only."))
        }
    }
}

/// Parameters that the document does not name are refused, and so is one that is there twice.
fn check_parameters(route: &Route, request: &HttpRequest) -> Result<(), Problem> {
    let mut seen: Vec<String> = Vec::new();
    let mut faults = Vec::new();
    for (name, _) in form(request.query_string()) {
        if !route.parameters.iter().any(|known| known == &name) {
            let known = match route.parameters.is_empty() {
                true => "there are none here".to_owned(),
                false => format!("known here: {}", route.parameters.join(", ")),
            };
            faults.push(Fault::parameter(name.clone(), "unknown_parameter", known));
        } else if seen.contains(&name) {
            faults.push(Fault::parameter(name.clone(), "repeated", "can be sent once"));
        }
        seen.push(name);
    }
    match faults.is_empty() {
        true => Ok(()),
        false => {
            let detail = "The query has a parameter that is not known here, or has one twice.";
            Err(Problem::new(Code::UnknownParameter, detail).with_errors(faults))
        }
    }
}

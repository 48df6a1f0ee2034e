//! Who calls and what they may do. A handler names the scope it needs in its [`Caller`]'s type; there is no
//! other way to the store.

use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage, HttpRequest, HttpResponse, web};
use serde::Serialize;
use serde_json::Value;

use super::answer::Answer;
use super::body::{self, Body};
use super::credentials::{Authenticated, authenticate, invalid_token};
use super::inside::OnBehalf;
use super::limits;
use super::page::{self, Page};
use super::parameters::{self, address, reads, request_id};
use super::problem::{Code, Fault, Problem};
use super::request_log::Known;
use super::routes::Route;
use super::state::State;
use super::{conditional, denials, door, environments, idempotency, pace, shedding, storefront};
use crate::access::tokens::Claims;
use crate::domain::{self, Work};
use crate::limits::load::Holder;
use crate::limits::{Cost, origin};
use crate::model::accounts::accounts::{Account, AccountStatus, AccountType};
use crate::model::accounts::addresses::admits;
use crate::model::accounts::delegation::{Guard, Rule};
use crate::model::accounts::storefront_keys::Storefront;
use crate::model::ids::AccountId;
use crate::model::scopes::{Need, Scope};
use crate::model::services::Access;
use crate::model::{Actor, Path, Precondition, Subtree, Time};
use crate::store;
use crate::store::Conn;
use crate::store::accounts::keys::Credential;

/// Someone whose credential is good and holds the scope `S`.
pub struct Caller<S> {
    pub state: web::Data<State>,
    pub request: HttpRequest,
    pub credential: Arc<Credential>,
    pub scopes: Arc<[Scope]>,
    /// What the token says, if the credential is one.
    token: Option<Arc<Claims>>,
    /// The storefront whose key it is, if it is one: everybody has it.
    pub storefront: Option<Arc<Storefront>>,
    pub now: Time,
    pub route: Arc<Route>,
    acts_for: Option<(AccountId, Path)>,
    payload: Option<Payload>,
    body: Value,
    has_body: bool,
    asks: Scope,
    scope: PhantomData<S>,
}

impl<S> Caller<S> {
    /// Whether it is a storefront's key, which everybody has.
    pub fn is_public(&self) -> bool {
        self.storefront.is_some()
    }

    /// What the access token says, if the credential is one.
    pub fn claims(&self) -> Option<Value> {
        self.token.as_ref().map(|token| serde_json::to_value(&**token).expect("claims serialize"))
    }

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
        match self.has_body {
            false => Ok(none),
            true => body::typed(&self.state.schemas, self.body.clone()),
        }
    }

    async fn read_body(&mut self) -> Result<(), Problem> {
        if let Some(payload) = self.payload.take() {
            let bytes = body::read(&self.request, payload, self.route.largest_body).await?;
            let body = body::value(&self.request, &bytes)?;
            // `null` is a body, and no good one.
            self.has_body = body.is_some();
            self.body = body.unwrap_or(Value::Null);
            environments::note(&self.request, &self.body);
        }
        Ok(())
    }

    /// What `If-Match` demands of the object.
    pub fn if_match(&self) -> Result<Precondition, Problem> {
        conditional::precondition(&self.request)
    }

    /// Answers a read of one object.
    pub fn show(&self, version: i64, view: &impl Serialize) -> Result<HttpResponse, Problem> {
        conditional::show(&self.request, version, view)
    }

    /// A query parameter that the route documents.
    pub fn parameter(&self, name: &str) -> Option<String> {
        parameters::value(&self.request, name)
    }

    /// A query parameter that is one of some words, if it is there.
    pub fn choice<T: std::str::FromStr + std::fmt::Display>(
        &self,
        name: &str,
        known: &[T],
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.parameter(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| {
            let known: Vec<_> = known.iter().map(ToString::to_string).collect();
            let fault = Fault::parameter(name, "invalid", format!("must be one of {}", known.join(", ")));
            Problem::new(Code::ValidationFailed, "A parameter is not valid.").with_errors(vec![fault])
        })
    }

    /// Where in a list the caller wants to go on, and how much it wants.
    pub fn page(&self) -> Result<Page, Problem> {
        Page::of(self, page::CURSOR)
    }

    /// The same, where the parameter has another name.
    pub fn page_after(&self, parameter: &str) -> Result<Page, Problem> {
        Page::of(self, parameter)
    }

    /// A connection for reading what the caller may see.
    pub async fn read(&mut self) -> Result<Conn, Problem> {
        let reach = self.reach().await?;
        Ok(self.state.db.read(reach).await?)
    }

    /// A connection for reading what the caller may see at and below an account that it has seen.
    pub async fn read_below(&self, path: &Path) -> Result<Conn, Problem> {
        let reach = self.reach_at(path).await?;
        Ok(self.state.db.read(reach).await?)
    }

    /// What the caller may reach: the account acted for and all below, as far as its key goes and the accounts let it.
    /// Every connection of a caller's is made of it.
    pub async fn reach(&mut self) -> Result<Subtree, Problem> {
        let (_, path) = self.subject().await?;
        self.reach_at(&path).await
    }

    /// What the caller may reach with another scope than the one that the operation asks for.
    pub async fn reach_with(&mut self, scope: Scope) -> Result<Subtree, Problem> {
        let (_, path) = self.subject().await?;
        Ok(self.credential.key.reach_at(&path).guarded(self.guard(scope).await?))
    }

    async fn reach_at(&self, path: &Path) -> Result<Subtree, Problem> {
        let key = &self.credential.key;
        Ok(key.reach_at(path).guarded(self.guard(self.asks).await?))
    }

    /// What stands between the caller and the accounts below it.
    async fn guard(&self, asks: Scope) -> Result<Option<Guard>, Problem> {
        let state = &self.state;
        let reads = reads(&self.request);
        let rule = Rule::of(asks, &self.route.operation_id, reads, &state.withheld);
        let has_none_below = matches!(self.credential.account_type, AccountType::Tenant | AccountType::Agent);
        if rule == Rule::Theirs || has_none_below {
            return Ok(None);
        }
        let walls = state.delegations.walls(&state.db, self.now).await?;
        Ok(Guard::over(&self.credential.key.path, rule, walls))
    }

    /// The account acted for: the credential's own, or the one below it that `Tenantry-Account` names.
    pub async fn subject(&mut self) -> Result<(AccountId, Path), Problem> {
        if let Some(subject) = &self.acts_for {
            return Ok(subject.clone());
        }
        let own = self.own_account().await?;
        // To a key that is narrowed, nothing is anywhere else, on no side.
        if self.credential.key.roots.is_empty() {
            environments::reaches(&self.request, &own.1, self.credential.key.environment);
        }
        let subject = match self.request.headers().get("tenantry-account") {
            None => own,
            // It shows what its own account offers.
            Some(_) if self.is_public() => return Err(domain::Error::AccountNotFound.into()),
            Some(named) => {
                let not_there = || Problem::from(domain::Error::AccountNotFound);
                let id: AccountId =
                    named.to_str().ok().and_then(|text| text.parse().ok()).ok_or_else(not_there)?;
                self.find_below(&own.1, id).await?.map(placed).ok_or_else(not_there)?
            }
        };
        self.saw(&subject.1);
        self.acts_for = Some(subject.clone());
        Ok(subject)
    }

    /// Says that the answer tells of the account at a path. One below the credential's gets to know who read of it.
    pub fn saw(&self, path: &Path) {
        let own = &self.credential.key.path;
        if own.covers(path) && own != path {
            denials::saw(&self.request, path);
        }
    }

    /// Says that the answer is a list of what the accounts at these paths have. If it is the caller's own list and goes
    /// beyond the caller's account, that is a line of the caller's account, and not one of each that is in it.
    pub fn saw_each<'a>(&self, mut paths: impl Iterator<Item = &'a Path>) {
        let own = &self.credential.key.path;
        if !denials::has_seen(&self.request) && paths.any(|path| own.covers(path) && own != path) {
            denials::saw(&self.request, own);
        }
    }

    /// The credential's account: the key's, or the one below it that a token was exchanged for. A token ends with
    /// its account's place below the key's.
    async fn own_account(&self) -> Result<(AccountId, Path), Problem> {
        let key = &self.credential.key;
        match self.token.as_ref().map(|token| token.acct).filter(|id| *id != key.account_id) {
            None => Ok((key.account_id, key.path.clone())),
            Some(id) => {
                let found = self.find_below(&key.path, id).await?;
                let open = found.filter(|account| account.status == AccountStatus::Active);
                open.map(placed).ok_or_else(|| invalid_token(&self.state))
            }
        }
    }

    async fn find_below(&self, path: &Path, id: AccountId) -> Result<Option<Account>, Problem> {
        let mut conn = self.state.db.read(self.reach_at(path).await?).await?;
        Ok(store::accounts::accounts::find(&mut conn, id).await?)
    }

    /// What a use-case may know of the caller.
    pub async fn actor(&mut self) -> Result<Actor, Problem> {
        let (subject_id, subject_path) = self.subject().await?;
        let reach = self.reach().await?;
        let key = &self.credential.key;
        Ok(Actor {
            principal_id: key.account_id,
            principal_path: key.path.clone(),
            subject_id,
            subject_path,
            reach,
            actors: self.token.as_ref().map(|token| token.actors()).unwrap_or_default().into(),
            key_id: key.id,
            scopes: self.scopes.clone(),
            hold_classes: key.hold_classes.0.clone().into(),
            allowed_addresses: key.allowed_addresses.0.clone().into(),
            expires_at: key.expires_at,
            spend_cap: key.spend_cap.map(|cap| cap.0),
            member_id: key.member_id,
            is_public: self.is_public(),
            batch_id: OnBehalf::of(&self.request).map(|of| of.batch_id),
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
        // Anybody could have requests wait here, and what is waited for is the seller's to follow.
        let wait = door::wait_asked(&self.request).filter(|_| !self.is_public());
        self.allow(wait);
        let actor = self.actor().await?;
        let entry = door::Entry {
            address: door::veiled(&self.state, actor.principal_id, actor.address).await?,
            key: self.idempotency_key()?,
            dry_run: self.dry_run()?,
            wait,
            turn: shedding::turn(&self.request),
            query: parameters::sorted(&self.request),
            body: std::mem::take(&mut self.body),
            actor,
            route: self.route.clone(),
            method: self.request.method().clone(),
            path: self.request.path().to_owned(),
            state: self.state.clone(),
        };
        door::enter(entry, work).await
    }

    /// Gives the handler the time that the caller asked it to wait.
    pub fn allow(&self, wait: Option<Duration>) {
        if let (Some(wait), Some(allowance)) = (wait, pace::Allowance::of(&self.request)) {
            allowance.extend(wait);
        }
    }

    fn idempotency_key(&self) -> Result<Option<String>, Problem> {
        if let Some(of) = OnBehalf::of(&self.request) {
            return Ok(Some(of.idempotency_key));
        }
        let lines = self.request.headers().get_all("idempotency-key").map(|line| line.as_bytes());
        let key =
            idempotency::key(lines).map_err(|error| {
                Problem::new(Code::IdempotencyKeyInvalid, format!("{error}."))
                    .with_errors(vec![Fault::header("Idempotency-Key", "invalid", error.to_string())])
            })?;
        // What strangers send takes no key from the account's own requests.
        let apart = |key: String| match &self.storefront {
            Some(of) => format!("{}/{key}", of.key.id),
            None => key,
        };
        Ok(key.map(apart))
    }

    fn dry_run(&self) -> Result<bool, Problem> {
        match self.parameter("dry_run").as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Problem::new(Code::ValidationFailed, "A parameter is not valid.")
                .with_errors(vec![Fault::parameter("dry_run", "invalid", "must be true or false")])),
        }
    }
}

impl<S: Need> FromRequest for Caller<S> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let state = request.app_data::<web::Data<State>>().expect("the state is registered").clone();
            let pattern = request.match_pattern().unwrap_or_default();
            // A path of its own that another pattern fits as well.
            if pattern.contains('{')
                && let Some(methods) = state.routes.methods_of(request.path())
            {
                return Err(Problem::method_not_allowed(methods));
            }
            let now = state.clock.now();
            let address = address(&state, &request);
            let Authenticated { credential, scopes, token, storefront } =
                match authenticate(&state, &request, now).await {
                    Ok(found) => found,
                    // Nobody outside is guessing.
                    Err(problem) if OnBehalf::of(&request).is_some() => return Err(problem),
                    Err(problem) => return Err(limits::failed(&state, address, now, problem).await),
                };
            let route =
                state.routes.find(request.method(), &pattern).expect("every route is in the document");
            parameters::note_route(&request, &route);
            request.extensions_mut().insert(Known {
                credential: credential.clone(),
                route: route.clone(),
                address,
                received_at: now,
            });
            // What comes from within was let in when it was left, and takes no turn from anybody.
            let from_within = OnBehalf::of(&request).is_some();
            if !from_within && !admits(&credential.key.allowed_addresses, address) {
                let problem =
                    Problem::new(Code::IpNotAllowed, "The credential is not taken from this address.");
                return Err(limits::failed(&state, address, now, problem).await);
            }
            let holder = match &storefront {
                None => Holder::Account(credential.key.account_id),
                // Everybody has that key: its visitors do not crowd out the account.
                Some(_) => Holder::Address(address.map(origin)),
            };
            shedding::belongs(&request, &state.load, holder)?;
            match &storefront {
                None if from_within => {}
                None => {
                    let cost = Cost::of(S::SCOPE, route.exports);
                    limits::admit(&state, &request, &credential, cost, now).await?;
                }
                Some(of) => {
                    storefront::admit(&state, &request, of, &route.operation_id, address, now).await?;
                }
            }
            if !scopes.contains(&S::SCOPE) {
                return Err(lacking(S::SCOPE));
            }
            environments::check(&credential)?;
            check_account(&credential, &request)?;
            parameters::check(&route, &request)?;
            if !from_within {
                idempotency::check_required(&state.keys_required, &route, &credential, &request)?;
            }
            if storefront.is_none() && !from_within {
                state.principals.used(credential.key.id, now, address);
            }
            Ok(Self {
                state,
                request,
                credential,
                scopes,
                token,
                storefront,
                now,
                route,
                acts_for: None,
                payload: Some(payload),
                body: Value::Null,
                has_body: false,
                asks: S::SCOPE,
                scope: PhantomData,
            })
        })
    }
}

/// The refusal of what the credential has no scope for.
pub fn lacking(scope: Scope) -> Problem {
    Problem {
        challenge: Some(format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"")),
        ..Problem::new(Code::InsufficientScope, format!("The credential lacks the scope {scope}."))
    }
}

/// The keys of a suspended account may read only.
fn check_account(credential: &Credential, request: &HttpRequest) -> Result<(), Problem> {
    let suspended = credential.held.is_some_and(|weight| weight >= Access::Suspended.weight());
    let reads = reads(request);
    match suspended && !reads {
        false => Ok(()),
        true => {
            Err(Problem::new(Code::AccountSuspended, "The account is suspended; its keys may read only."))
        }
    }
}

fn placed(account: Account) -> (AccountId, Path) {
    (account.id, account.path)
}

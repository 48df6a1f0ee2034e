//! Requests that come from within: those of batches, sent through the very routes that callers' requests take, in the
//! name of whoever left them.

use std::sync::Arc;

use actix_http::BoxedPayloadStream;
use actix_http::Request;
use actix_http::body::to_bytes;
use actix_service::boxed::{self, BoxService};
use actix_service::{IntoServiceFactory, Service, ServiceFactory, map_config};
use actix_web::body::BoxBody;
use actix_web::dev::{AppConfig, Payload, ServiceResponse};
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::http::{Method, Uri};
use actix_web::web::Bytes;
use actix_web::{App, Error, HttpMessage, HttpRequest, middleware, web};
use futures_util::stream;
use utoipa_actix_web::service_config::ServiceConfig;

use super::credentials::{self, Authenticated};
use super::denials::came_with;
use super::middleware::around;
use super::problem::Problem;
use super::state::State;
use crate::access::tokens::Claims;
use crate::model::Time;
use crate::model::ids::{BatchId, KeyId};

/// In whose name a request from within is sent. Nothing that comes through a socket has it.
#[derive(Debug, Clone)]
pub struct OnBehalf {
    pub batch_id: BatchId,
    pub key_id: KeyId,
    /// What the access token said, if it was one.
    pub claims: Option<Arc<Claims>>,
    /// What it is sent once under. No caller can say the same: theirs have no spaces.
    pub idempotency_key: String,
}

impl OnBehalf {
    /// Of a request, if it comes from within.
    pub fn of(request: &HttpRequest) -> Option<Self> {
        request.extensions().get::<Self>().cloned()
    }
}

/// Whose credential stands behind the request, if it is good still. A token lets nobody in after its end: it could not be
/// revoked any more.
pub async fn authenticate(
    state: &State,
    request: &HttpRequest,
    of: OnBehalf,
    now: Time,
) -> Result<Authenticated, Problem> {
    let invalid = || credentials::invalid_token(state);
    let known = state.principals.find(&state.db, of.key_id, now).await?.ok_or_else(invalid)?;
    came_with(request, &known);
    match of.claims {
        Some(claims) if claims.exp <= now.as_seconds() => None,
        Some(claims) => credentials::granted(state, claims, known, now).await?,
        None => credentials::held(known, now),
    }
    .ok_or_else(invalid)
}

/// A request to be sent from within.
#[derive(Debug)]
pub struct Asked {
    pub method: Method,
    pub target: Uri,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Option<Bytes>,
    pub on_behalf: OnBehalf,
}

/// What it was answered.
#[derive(Debug)]
pub struct Told {
    pub status: u16,
    pub body: Bytes,
}

/// The API without a socket before it.
pub struct Inside(BoxService<Request, ServiceResponse<BoxBody>, Error>);

impl Inside {
    pub async fn new(state: web::Data<State>) -> Self {
        let app = App::new()
            .app_data(state)
            .configure(|config| super::routes(&mut ServiceConfig::new(config)))
            .wrap(middleware::from_fn(around));
        let factory = map_config(app.into_factory(), |()| AppConfig::default());
        let service = factory.new_service(()).await;
        Self(boxed::service(service.unwrap_or_else(|()| unreachable!("routes are made without fail"))))
    }

    /// Sends a request, as if it had come through a socket and its sender had waited for its turn.
    pub async fn send(&self, asked: Asked) -> Result<Told, Error> {
        let body = asked.body.unwrap_or_default();
        let length = body.len();
        let payload: BoxedPayloadStream = Box::pin(stream::iter([Ok(body)]));
        let payload = Payload::Stream { payload };
        let mut request: Request = Request::with_payload(payload);
        let head = request.head_mut();
        head.method = asked.method;
        head.uri = asked.target;
        for (name, value) in asked.headers {
            head.headers.insert(name, value);
        }
        if length > 0 {
            head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            head.headers.insert(header::CONTENT_LENGTH, length.into());
        }
        request.extensions_mut().insert(asked.on_behalf);
        let response = self.0.call(request).await?.into_parts().1;
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body()).await.map_err(Error::from)?;
        Ok(Told { status, body })
    }
}

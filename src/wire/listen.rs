use std::fmt;
use std::future::ready;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_http::body::{BoxBody, MessageBody};
use actix_http::error::DispatchError;
use actix_http::{HttpService, KeepAlive, Protocol, Request, Response};
use actix_server::{Server, ServerBuilder};
use actix_service::{IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_tls::accept::rustls_0_23::{Acceptor, TlsStream};
use actix_web::dev::AppConfig;
use tokio::net::TcpStream;

use super::Certificates;
use super::guarded::{Guarded, Refusals};
use super::watch::Patience;
use crate::config::Timeouts;

/// How a port is served.
#[derive(Clone)]
pub struct Settings {
    pub workers: usize,
    pub max_connections: usize,
    pub timeouts: Timeouts,
    /// How long requests in flight are waited for once the server is told to stop.
    pub shutdown: Duration,
    /// Those that TLS is ended with; without any nobody ends it here.
    pub certificates: Option<Arc<Certificates>>,
    pub refusals: Refusals,
}

/// Serves an application until the server is told to stop; it takes no signals itself.
pub fn serve<F, I, S, B>(listener: TcpListener, app: F, settings: Settings) -> io::Result<Server>
where
    F: Fn() -> I + Send + Clone + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Future: 'static,
    S::Error: Into<Response<BoxBody>> + 'static,
    S::InitError: fmt::Debug,
    S::Response: Into<Response<B>> + 'static,
    <S::Service as Service<Request>>::Future: 'static,
    S::Service: 'static,
    B: MessageBody + 'static,
{
    let builder = ServerBuilder::new()
        .workers(settings.workers)
        .max_concurrent_connections((settings.max_connections / settings.workers).max(1))
        .shutdown_timeout(settings.shutdown.as_secs())
        .disable_signals();
    let stopping = builder.graceful_shutdown_signal();
    let Settings { timeouts, refusals, .. } = settings;
    let patience = Patience { head: timeouts.head, idle: timeouts.keep_alive };

    macro_rules! http {
        ($io:ty) => {{
            let stopping = stopping.clone();
            HttpService::<Guarded<$io>, _, _>::build()
                .graceful_shutdown_signal(move || {
                    let stopping = stopping.clone();
                    async move { stopping.notified().await }
                })
                // The guard sees to both: to the heads of all requests, and not of a connection's first alone.
                .keep_alive(KeepAlive::Os)
                .client_request_timeout(Duration::ZERO)
                .client_disconnect_timeout(Duration::from_secs(1))
                .on_connect_ext(|io: &Guarded<$io>, data| {
                    data.insert(io.watch());
                })
                .finish(map_config(app().into_factory(), |_| AppConfig::default()))
        }};
    }

    let builder = match settings.certificates {
        None => builder.listen("api", listener, move || {
            let refusals = refusals.clone();
            fn_service(move |io: TcpStream| {
                let peer = io.peer_addr().ok();
                let io = Guarded::new(io, patience, refusals.clone());
                ready(Ok::<_, DispatchError>((io, Protocol::Http1, peer)))
            })
            .and_then(http!(TcpStream))
        }),
        Some(certificates) => builder.listen("api", listener, move || {
            let refusals = refusals.clone();
            Acceptor::new(certificates.server_config())
                .map_err(|error| DispatchError::Io(io::Error::other(format!("{error:?}"))))
                .and_then(fn_service(move |io: TlsStream<TcpStream>| {
                    let peer = io.get_ref().0.peer_addr().ok();
                    let io = Guarded::new(io, patience, refusals.clone());
                    ready(Ok::<_, DispatchError>((io, Protocol::Http1, peer)))
                }))
                .and_then(http!(TlsStream<TcpStream>))
        }),
    }?;
    Ok(builder.run())
}

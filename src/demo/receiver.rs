//! The reseller's side of webhooks: a small server that takes a delivery only with a right signature, as
//! Standard Webhooks has it.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use tokio::sync::watch;

use crate::clock::Clock;

/// How old or how far ahead a delivery may be, in seconds.
const TOLERANCE: u64 = 300;
/// How long a delivery waits for the secret that it is to be checked with.
const PATIENCE: Duration = Duration::from_secs(5);

/// A delivery that arrived.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The header `webhook-id`, by which a receiver knows what it has had before.
    pub id: String,
    pub timestamp: String,
    pub signatures: String,
    pub signed: bool,
    pub body: Value,
}

/// The server, and what it was sent.
pub struct Receiver {
    pub port: u16,
    path: String,
    secret: watch::Sender<Option<Vec<u8>>>,
    arrived: Arc<Mutex<Vec<Delivery>>>,
}

#[derive(Clone)]
struct Desk {
    secret: watch::Receiver<Option<Vec<u8>>>,
    arrived: Arc<Mutex<Vec<Delivery>>>,
    clock: Clock,
}

impl Receiver {
    /// Listens at the path on a free port of loopback, until the process ends.
    pub fn start(path: &str, clock: Clock) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let (secret, given) = watch::channel(None);
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let desk = Desk { secret: given, arrived: arrived.clone(), clock };
        let route = path.to_owned();
        let app =
            move || App::new().app_data(web::Data::new(desk.clone())).route(&route, web::post().to(receive));
        let server =
            HttpServer::new(app).workers(1).disable_signals().shutdown_timeout(1).listen(listener)?.run();
        tokio::spawn(server);
        Ok(Self { port, path: path.to_owned(), secret, arrived })
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}{}", self.port, self.path)
    }

    /// Checks deliveries with the secret from now on; false if it is none.
    pub fn trust(&self, secret: &str) -> bool {
        let bytes = secret.strip_prefix("whsec_").and_then(|digits| BASE64.decode(digits).ok());
        let known = bytes.is_some();
        self.secret.send_replace(bytes);
        known
    }

    /// What has arrived so far, each as often as it came.
    pub fn arrived(&self) -> Vec<Delivery> {
        self.arrived.lock().expect("nothing panics while it holds the list").clone()
    }
}

async fn receive(request: HttpRequest, body: web::Bytes, desk: web::Data<Desk>) -> HttpResponse {
    let mut given = desk.secret.clone();
    let secret = match tokio::time::timeout(PATIENCE, given.wait_for(Option::is_some)).await {
        Ok(Ok(secret)) => secret.clone().unwrap_or_default(),
        _ => return HttpResponse::ServiceUnavailable().finish(),
    };
    let header = |name: &str| {
        let value = request.headers().get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let (id, timestamp, signatures) =
        (header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"));
    let now = desk.clock.now().as_seconds();
    let signed = is_signed(&secret, &id, &timestamp, &body, &signatures, now);
    let body = serde_json::from_slice(&body).unwrap_or_default();
    let delivery = Delivery { id, timestamp, signatures, signed, body };
    desk.arrived.lock().expect("nothing panics while it holds the list").push(delivery);
    if signed { HttpResponse::NoContent().finish() } else { HttpResponse::Unauthorized().finish() }
}

/// The check that every receiver has to make, written from the standard and not from our own sender.
fn is_signed(secret: &[u8], id: &str, timestamp: &str, body: &[u8], signatures: &str, now: i64) -> bool {
    let fresh = timestamp.parse::<i64>().is_ok_and(|at| now.abs_diff(at) <= TOLERANCE);
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        mac.update(part);
    }
    let right = |signature: &str| {
        let digits = signature.strip_prefix("v1,").and_then(|digits| BASE64.decode(digits).ok());
        digits.is_some_and(|digits| mac.clone().verify_slice(&digits).is_ok())
    };
    fresh && signatures.split(' ').any(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_vector_is_right_and_whatever_differs_from_it_is_wrong() {
        let secret = BASE64.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let (id, at, body) =
            ("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", br#"{"test": 2432232314}"#.as_slice());
        let told = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        let now = 1_614_265_330;
        assert!(is_signed(&secret, id, at, body, &format!("v1,AAAA {told}"), now + 300));
        assert!(!is_signed(&secret, id, at, body, told, now + 301));
        assert!(!is_signed(&secret, "msg_other", at, body, told, now));
        assert!(!is_signed(&secret, id, "1614265331", body, told, now));
        assert!(!is_signed(&secret, id, at, b"{}", told, now));
        assert!(!is_signed(b"another", id, at, body, told, now));
    }
}

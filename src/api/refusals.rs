//! What is answered to what is no request.

use std::fmt::Write;

use actix_web::body::MessageBody;
use actix_web::http::StatusCode;

use super::middleware::dress;
use super::problem::{Code, Problem};
use crate::model::ids::RequestId;

/// A refusal as it goes over the wire, to a caller who sent what cannot be read, or did not send it. The connection
/// is closed after it.
pub fn refusal(status: u16, secure: bool) -> Vec<u8> {
    let (code, detail) = match status {
        400 => (Code::MalformedRequest, "What was sent is no request that can be read."),
        408 => (Code::RequestTimeout, "The head of the request did not arrive in time."),
        431 => (Code::HeadersTooLarge, "A request has at most 64 headers, of 16 KiB in all."),
        _ => (Code::InternalError, "Something broke on our side."),
    };
    let id = RequestId::new();
    tracing::info!(request_id = %id, status, "refused what is no request");
    let mut answer = Problem::new(code, detail).render(Some(id));
    dress(answer.headers_mut(), id, secure);
    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    let mut head = format!("HTTP/1.1 {status} {}\r\nconnection: close\r\n", reason.unwrap_or_default());
    for (name, value) in answer.headers() {
        let _ = write!(head, "{name}: {}\r\n", value.to_str().unwrap_or_default());
    }
    let body = answer.into_body().try_into_bytes().unwrap_or_default();
    let _ = write!(head, "content-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), &body].concat()
}

//! What stands in the header `Idempotency-Key`, and who must send one.

use actix_web::HttpRequest;

use super::parameters::{reads, value};
use super::problem::{Code, Problem};
use super::routes::Route;
use crate::store::accounts::keys::Credential;

/// A header that names no key, or more than one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Idempotency-Key must be sent once, with 1 to 255 visible ASCII characters other than \" and \\")]
pub struct InvalidKey;

/// The key among the header's lines, none if there is no line. In quotation marks or bare, it is the same key.
pub fn key<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Result<Option<String>, InvalidKey> {
    let mut lines = lines.into_iter();
    let Some(line) = lines.next() else { return Ok(None) };
    if lines.next().is_some() {
        return Err(InvalidKey);
    }
    let bare = match line {
        [b'"', inner @ .., b'"'] => inner,
        bare => bare,
    };
    let fit = bare.iter().all(|&byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
    match std::str::from_utf8(bare) {
        Ok(key) if fit && (1..=255).contains(&key.len()) => Ok(Some(key.to_owned())),
        _ => Err(InvalidKey),
    }
}

/// An account can demand that its own keys and tokens send an `Idempotency-Key` with each change, and the operator that
/// everybody sends one with some operations. What only computes and what is only tried needs none.
pub fn check_required(
    by_operator: &[String],
    route: &Route,
    credential: &Credential,
    request: &HttpRequest,
) -> Result<(), Problem> {
    let detail = if by_operator.contains(&route.operation_id) {
        "The operation needs an Idempotency-Key."
    } else if credential.require_idempotency_key {
        "The account demands an Idempotency-Key with each change."
    } else {
        return Ok(());
    };
    let changes = !reads(request);
    let tried = value(request, "dry_run").is_some_and(|value| value == "true");
    match changes && !tried && !request.headers().contains_key("idempotency-key") {
        false => Ok(()),
        true => Err(Problem::new(Code::IdempotencyKeyRequired, detail)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_same_in_quotation_marks_and_bare() {
        assert_eq!(key([b"crm-4711".as_slice()]), Ok(Some("crm-4711".into())));
        assert_eq!(key([b"\"crm-4711\"".as_slice()]), Ok(Some("crm-4711".into())));
        assert_eq!(key([]), Ok(None));
        let longest = "k".repeat(255);
        assert_eq!(key([longest.as_bytes()]), Ok(Some(longest.clone())));
        assert_eq!(key([format!("\"{longest}\"").as_bytes()]), Ok(Some(longest)));
    }

    #[test]
    fn every_other_header_is_refused() {
        let long = "k".repeat(256);
        for line in [
            "",
            "\"\"",
            "\"",
            "\"a",
            "a\"",
            "a\\b",
            "a\"b",
            "a b",
            "a\tb",
            "\"a\";p=1",
            "ä",
            "a\u{7f}",
            &long,
        ] {
            assert_eq!(key([line.as_bytes()]), Err(InvalidKey), "{line}");
        }
        assert_eq!(key([b"a\xff".as_slice()]), Err(InvalidKey));
        assert_eq!(key([b"a".as_slice(), b"a".as_slice()]), Err(InvalidKey));
    }
}

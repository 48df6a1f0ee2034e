//! Entity tags and what is asked by them (RFC 9110, sections 8.8.3 and 13).
//!
//! A tag has two parts, `"v7.mPqk0u1pXfI"`: the version, which every change of the object raises, and a digest of the
//! representation, which also follows what the object does not hold itself, such as a hold on an account
//! above it. `If-Match` goes by the version, so that a write is refused for a change of the object and for
//! nothing else; `If-None-Match` goes by the whole tag, so that nothing shown is ever stale.

use actix_web::http::header::{self, EntityTag, Header, IfMatch, IfNoneMatch};
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::problem::{Code, Fault, Problem};
use crate::model::Precondition;

/// How many bytes of the digest stand in a tag.
const DIGEST: usize = 8;

/// The strong entity tag of an object with this version that looks like this.
pub fn etag(version: i64, body: &[u8]) -> String {
    format!("\"v{version}.{}\"", digest(body))
}

/// A tag that names a version and no look, which is enough for `If-Match`.
pub fn version_tag(version: i64) -> String {
    format!("\"v{version}\"")
}

/// The strong entity tag of something that has no version.
pub fn content_tag(body: &[u8]) -> String {
    format!("\"{}\"", digest(body))
}

fn digest(body: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(&Sha256::digest(body)[..DIGEST])
}

/// Which versions `If-Match` names. Weak tags and those that are none of ours fit no version.
pub fn precondition(request: &HttpRequest) -> Result<Precondition, Problem> {
    if !request.headers().contains_key(header::IF_MATCH) {
        return Ok(Precondition::NONE);
    }
    let told = IfMatch::parse(request).map_err(|_| malformed("If-Match"))?;
    Ok(match told {
        IfMatch::Any => Precondition::NONE,
        IfMatch::Items(tags) => Precondition::one_of(tags.iter().filter_map(version).collect()),
    })
}

fn version(tag: &EntityTag) -> Option<i64> {
    let told = tag.tag().strip_prefix('v').filter(|_| !tag.weak)?;
    told.split('.').next()?.parse().ok()
}

/// Answers a read of an object: with 304 and no body where `If-None-Match` names what it looks like.
pub fn show(request: &HttpRequest, version: i64, view: &impl Serialize) -> Result<HttpResponse, Problem> {
    let body = serde_json::to_vec(view).expect("views serialize");
    let tag = etag(version, &body);
    match is_known(request, &tag)? {
        true => Ok(HttpResponse::NotModified().insert_header((header::ETAG, tag)).finish()),
        false => Ok(HttpResponse::Ok()
            .insert_header((header::ETAG, tag))
            .content_type("application/json")
            .body(body)),
    }
}

/// Whether the caller already has what has this tag.
pub fn is_known(request: &HttpRequest, tag: &str) -> Result<bool, Problem> {
    if !request.headers().contains_key(header::IF_NONE_MATCH) {
        return Ok(false);
    }
    let told = IfNoneMatch::parse(request).map_err(|_| malformed("If-None-Match"))?;
    let ours: EntityTag = tag.parse().expect("our own tags are well-formed");
    Ok(match told {
        IfNoneMatch::Any => true,
        IfNoneMatch::Items(tags) => tags.iter().any(|tag| tag.weak_eq(&ours)),
    })
}

fn malformed(name: &'static str) -> Problem {
    let detail = format!("{name} is not a list of entity tags.");
    let fault =
        Fault::header(name, "invalid", "must be * or entity tags in quotation marks, with commas between");
    Problem::new(Code::MalformedRequest, detail).with_errors(vec![fault])
}

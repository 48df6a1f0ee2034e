//! Rules that fields of several bodies share.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use validator::ValidationError;

use crate::model::text::is_assigned;

/// An absent member is none, `null` is the wish to clear it.
pub fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

fn refuse(code: &'static str, message: &'static str) -> ValidationError {
    ValidationError::new(code).with_message(message.into())
}

/// At most 50 pairs, keys up to 40 and values up to 500 characters.
pub fn metadata(metadata: &BTreeMap<String, String>) -> Result<(), ValidationError> {
    let fits = |(key, value): (&String, &String)| {
        (1..=40).contains(&key.chars().count()) && value.chars().count() <= 500
    };
    match metadata.len() <= 50 && metadata.iter().all(fits) {
        true => Ok(()),
        false => Err(refuse("metadata", "has at most 50 keys of 40 characters with values of 500")),
    }
}

/// A name as people read it: not blank, of characters that there are.
pub fn name(name: &str) -> Result<(), ValidationError> {
    if name.trim().is_empty() || name.contains(['\n', '\t']) {
        return Err(refuse("name", "must be one line and not blank"));
    }
    match is_assigned(name) {
        true => Ok(()),
        false => Err(refuse("unassigned", "has a character that Unicode has not assigned")),
    }
}

pub fn email(address: &str) -> Result<(), ValidationError> {
    use validator::ValidateEmail;
    match address.validate_email() {
        true => Ok(()),
        false => Err(refuse("email", "is no mail address")),
    }
}

pub fn time_zone(name: &str) -> Result<(), ValidationError> {
    match jiff::tz::TimeZone::get(name) {
        Ok(_) => Ok(()),
        Err(_) => Err(refuse("time_zone", "is no time zone of the IANA database")),
    }
}

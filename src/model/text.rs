//! Texts that customers give: the forms they are checked against and compared in.

use unicode_normalization::{UnicodeNormalization, is_nfc};
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// The domain as A-labels in lower case without a final dot; none if it is no domain of at least two labels.
pub fn domain(name: &str) -> Option<String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let ascii = idna::domain_to_ascii_strict(name).ok()?.to_ascii_lowercase();
    let labels = ascii.split('.');
    let shaped = labels.clone().all(|label| {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    });
    let numeric =
        labels.clone().next_back().is_none_or(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    (shaped && !numeric && labels.count() >= 2 && ascii.len() <= 253).then_some(ascii)
}

/// The mail address in lower case with its domain as A-labels; none if it is no address we can host.
pub fn address(text: &str) -> Option<String> {
    let (local, host) = text.rsplit_once('@')?;
    let local = local.to_lowercase();
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._+-".contains(&byte);
    let dots = local.starts_with('.') || local.ends_with('.') || local.contains("..");
    let shaped =
        (1..=64).contains(&local.len()) && local.bytes().all(inner) && !dots && !local.starts_with('-');
    let address = format!("{local}@{}", domain(host)?);
    (shaped && address.len() <= 254).then_some(address)
}

/// Whether the text can own a record below a zone.
pub fn is_record_name(name: &str) -> bool {
    name == "@"
        || name.len() <= 253
            && name.split('.').enumerate().all(|(at, label)| {
                let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
                (1..=63).contains(&label.len()) && (label.bytes().all(inner) || at == 0 && label == "*")
            })
}

/// Whether a character has no place in a text: a control, or one that changes the direction of what follows.
fn is_unfit(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

/// Whether a text from outside can be kept; a long one may have line breaks and tabs.
pub fn is_fit(text: &str) -> bool {
    !text.chars().any(|c| is_unfit(c) && c != '\n' && c != '\t')
}

/// Whether every character of a name stands for something: none is unassigned, for private use or a noncharacter.
pub fn is_assigned(name: &str) -> bool {
    use GeneralCategory::{PrivateUse, Unassigned};
    !name.chars().any(|c| matches!(c.general_category(), PrivateUse | Unassigned))
}

/// The text in Unicode's normal form C, in which it is kept.
pub fn nfc(text: String) -> String {
    if is_nfc(&text) { text } else { text.nfc().collect() }
}

/// A member's name as a step of a JSON Pointer (RFC 6901, section 3).
pub fn pointer_step(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_compared_as_a_labels_in_lower_case() {
        assert_eq!(domain("Müller.Example."), Some("xn--mller-kva.example".into()));
        for wrong in [
            "",
            "example",
            "a..example",
            "-a.example",
            "a b.example",
            "10.0.0.1",
            "a/b.example",
            "_x.example",
        ] {
            assert_eq!(domain(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn addresses_have_no_characters_that_a_backend_would_read_as_its_own() {
        assert_eq!(address("Alice.Ames+x@Acme.example"), Some("alice.ames+x@acme.example".into()));
        for wrong in [
            "@acme.example",
            "a:b@acme.example",
            "a/b@acme.example",
            "..@acme.example",
            "a@b",
            "a\n@acme.example",
            "%d@acme.example",
            "-a@acme.example",
        ] {
            assert_eq!(address(wrong), None, "{wrong}");
        }
    }
}

//! From which pages a storefront's key is used.

use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

/// An origin (RFC 6454) as browsers write it: `https://shop.example`, with a port that is not the scheme's own. Of
/// plain http there are only origins on the caller's own machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(String);

/// A text that is no origin, not as browsers write it, or of plain http.
#[derive(Debug, thiserror::Error)]
#[error("not an origin as browsers write it: https://host or https://host:port, without a path")]
pub struct NoOrigin;

/// No host is longer than 253, nor a port than 5 digits.
const LONGEST: usize = 270;

impl Origin {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Origin {
    type Err = NoOrigin;
    fn from_str(text: &str) -> Result<Self, NoOrigin> {
        if text.len() > LONGEST {
            return Err(NoOrigin);
        }
        let url = Url::parse(text).map_err(|_| NoOrigin)?;
        let own_machine = match url.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        let wanted = url.scheme() == "https" || url.scheme() == "http" && own_machine;
        // A name in which a browser would write other characters, a path or a port of the scheme's own is not this.
        match wanted && url.origin().ascii_serialization() == text && !text.contains('*') {
            true => Ok(Self(text.to_owned())),
            false => Err(NoOrigin),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl serde::Serialize for Origin {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Origin {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl utoipa::PartialSchema for Origin {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .pattern(Some("^https?://[0-9a-z.:\\[\\]-]+$"))
            .max_length(Some(LONGEST))
            .description(Some(
                "An origin as browsers write it, exactly: scheme and host, and the port if it is not the scheme's \
                 own. https; http only for this machine (`http://localhost:5173`).",
            ))
            .examples(["https://shop.example"])
            .into()
    }
}

impl utoipa::ToSchema for Origin {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_origins_as_browsers_write_them_are_read() {
        for right in [
            "https://shop.example",
            "https://shop.example:8443",
            "https://xn--bcher-kva.example",
            "https://203.0.113.7",
            "https://[2001:db8::1]:8443",
            "http://localhost:5173",
            "http://127.0.0.1:8080",
            "http://[::1]",
            "http://shop.localhost",
        ] {
            assert_eq!(right.parse::<Origin>().unwrap().as_str(), right);
        }
        for wrong in [
            "",
            "*",
            "null",
            "https://*",
            "https://*.shop.example",
            "http://shop.example",
            "http://localhost.shop.example",
            "http://203.0.113.7",
            "https://shop.example/",
            "https://shop.example:443",
            "https://shop.example/path",
            "https://shop.example?x",
            "https://user@shop.example",
            "https://Shop.example",
            "HTTPS://shop.example",
            "https://bücher.example",
            " https://shop.example",
            "shop.example",
            "ftp://shop.example",
            "file:///etc/passwd",
            "https://",
        ] {
            assert!(wrong.parse::<Origin>().is_err(), "{wrong}");
        }
    }
}

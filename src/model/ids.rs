//! Identifiers: a prefix that says what is meant, then 26 characters of UUIDv7 in base 32 (TypeID's
//! alphabet). They sort by the time they were made and tell nothing else.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// What no character of the alphabet stands for.
const NONE: u8 = u8::MAX;
/// The alphabet read backwards: what each byte stands for.
const DIGITS: [u8; 256] = {
    let mut digits = [NONE; 256];
    let mut digit = 0;
    while digit < ALPHABET.len() {
        digits[ALPHABET[digit] as usize] = digit as u8;
        digit += 1;
    }
    digits
};

/// A text that is no identifier of the kind that was expected.
#[derive(Debug, thiserror::Error)]
#[error("not a well-formed identifier")]
pub struct Malformed;

/// The 26 characters that stand for 128 bits.
pub(crate) fn encode(id: Uuid) -> [u8; 26] {
    let mut rest = id.as_u128();
    let mut text = [0; 26];
    for place in text.iter_mut().rev() {
        *place = ALPHABET[(rest & 31) as usize];
        rest >>= 5;
    }
    text
}

fn decode(text: &str) -> Result<Uuid, Malformed> {
    if text.len() != 26 || text.as_bytes()[0] > b'7' {
        return Err(Malformed);
    }
    let mut id: u128 = 0;
    for byte in text.bytes() {
        let digit = DIGITS[usize::from(byte)];
        if digit == NONE {
            return Err(Malformed);
        }
        id = id << 5 | u128::from(digit);
    }
    Ok(Uuid::from_u128(id))
}

/// Declares identifier types, each with its prefix.
macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            pub const PREFIX: &str = $prefix;

            /// A new identifier, later in order than those made before it in this process.
            #[expect(clippy::new_without_default, reason = "an identifier has no default")]
            #[expect(clippy::disallowed_methods, reason = "the one place where identifiers are made")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// The 26 characters without the prefix.
            pub fn bare(&self) -> String {
                String::from_utf8_lossy(&encode(self.0)).into_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!($prefix, "_"))?;
                f.write_str(std::str::from_utf8(&encode(self.0)).map_err(|_| fmt::Error)?)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = Malformed;
            fn from_str(text: &str) -> Result<Self, Malformed> {
                decode(text.strip_prefix(concat!($prefix, "_")).ok_or(Malformed)?).map(Self)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .pattern(Some(concat!("^", $prefix, "_[0-7][0-9a-hjkmnp-tv-z]{25}$")))
                    .examples([concat!($prefix, "_01jq3v8z0kf5n9d2t7x4m6c1ab")])
                    .into()
            }
        }

        impl utoipa::ToSchema for $name {}

        $crate::stored_as_str!($name);
    )+};
}

ids! {
    /// An account: a node of the tree from the operator down to tenants.
    AccountId = "acc";
    /// A person of an account.
    MemberId = "mbr";
    SignupId = "sgn";
    /// An API key, which is also an OAuth client.
    KeyId = "key";
    ServerId = "srv";
    VirtualServerId = "vsr";
    PlanId = "pln";
    AddonId = "add";
    PriceListId = "prl";
    QuotaRequestId = "qrq";
    QuoteId = "quo";
    OrderId = "ord";
    SubscriptionId = "sub";
    ServiceId = "svc";
    ResourceId = "res";
    HoldId = "hld";
    BatchId = "bat";
    ReconcileRunId = "rcn";
    OperationId = "op";
    EventId = "evt";
    WebhookEndpointId = "whk";
    WebhookSecretId = "whs";
    DeliveryId = "dlv";
    /// One request; stands in the `X-Request-Id` header, in logs, audit lines and events.
    RequestId = "req";
    SigningKeyId = "jwk";
}

impl AccountId {
    /// The twelve characters by which the account is known in a [`super::Path`]: the random end of its identifier.
    pub fn label(&self) -> String {
        self.bare()[14..].to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specifications_own_vector_is_met() {
        let id: Uuid = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();
        assert_eq!(&encode(id), b"01h455vb4pex5vsknk084sn02q");
    }

    #[test]
    fn an_identifier_reads_back_as_itself_and_only_under_its_own_prefix() {
        let id = AccountId::new();
        assert_eq!(id.to_string().parse::<AccountId>().unwrap(), id);
        assert!(id.to_string().parse::<KeyId>().is_err());
        assert!(format!("acc_{}", "z".repeat(26)).parse::<AccountId>().is_err());
        assert!("acc_".parse::<AccountId>().is_err());
    }
}

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::accounts::AccountType;
use crate::model::{Json, Path};

/// Declares texts that the document has a pattern for.
macro_rules! patterned {
    ($($(#[$doc:meta])* $name:ident = $pattern:expr, $most:literal, $description:literal, $example:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .pattern(Some($pattern))
                    .max_length(Some($most))
                    .description(Some($description))
                    .examples([$example])
                    .into()
            }
        }

        impl utoipa::ToSchema for $name {}
    )+};
}

macro_rules! host {
    () => {
        "([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]"
    };
}

patterned! {
    HostName = concat!("^", host!(), "$"), 253, "A host name in lower case.", "panel.acme.example";
    PageUrl = concat!("^https://", host!(), "(/[!-~]*)?$"), 500, "An https URL without user and port.", "https://acme.example/logo.svg";
    Color = "^#[0-9a-fA-F]{6}$", 7, "`#` and six hexadecimal digits.", "#1a6fb0";
    /// E.164 (ITU-T).
    Phone = "^\\+[1-9][0-9]{6,14}$", 16, "E.164.", "+4930123456";
}

/// Under which name and with which looks an account sells.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Branding {
    #[schema(example = "Acme Mail")]
    pub name: Option<String>,
    pub logo_url: Option<PageUrl>,
    pub icon_url: Option<PageUrl>,
    pub primary_color: Option<Color>,
    pub accent_color: Option<Color>,
    pub support_email: Option<String>,
    pub support_phone: Option<Phone>,
    pub support_url: Option<PageUrl>,
    pub terms_url: Option<PageUrl>,
    pub privacy_url: Option<PageUrl>,
    /// From whom mail to its customers comes.
    pub sender_name: Option<String>,
    pub sender_address: Option<String>,
    /// Where its pages are.
    pub domains: Option<Vec<HostName>>,
}

impl Branding {
    /// With what the other says where this one says nothing.
    fn or(self, other: Branding) -> Self {
        Self {
            name: self.name.or(other.name),
            logo_url: self.logo_url.or(other.logo_url),
            icon_url: self.icon_url.or(other.icon_url),
            primary_color: self.primary_color.or(other.primary_color),
            accent_color: self.accent_color.or(other.accent_color),
            support_email: self.support_email.or(other.support_email),
            support_phone: self.support_phone.or(other.support_phone),
            support_url: self.support_url.or(other.support_url),
            terms_url: self.terms_url.or(other.terms_url),
            privacy_url: self.privacy_url.or(other.privacy_url),
            sender_name: self.sender_name.or(other.sender_name),
            sender_address: self.sender_address.or(other.sender_address),
            domains: self.domains.or(other.domains),
        }
    }

    /// What is seen at an account, by what those on the way from it upwards say, the nearest first. What the operator says of
    /// itself is for those who buy of it directly: no reseller's customer learns of whom that buys. Names of accounts are not
    /// in it, which are for those above them.
    pub fn along(way: Vec<Branded>) -> Self {
        let seller = way.iter().position(|of| of.account_type.sells()).unwrap_or_default();
        let tells = |(at, of): &(usize, Branded)| *at == seller || of.account_type != AccountType::Operator;
        let told = way.into_iter().enumerate().filter(tells).filter_map(|(_, of)| of.branding);
        told.fold(Self::default(), |nearer, Json(further)| nearer.or(further))
    }
}

/// An account on the way up from another one, with what it says of its looks.
#[derive(Debug, Clone, PartialEq, Eq, crate::model::rows::Record)]
pub struct Branded {
    pub path: Path,
    #[record(rename = "type")]
    pub account_type: AccountType,
    pub branding: Option<Json<Branding>>,
    pub version: i64,
}

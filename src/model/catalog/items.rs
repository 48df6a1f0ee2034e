//! What a catalogue holds, each with its price: plans and add-ons.

use std::fmt;
use std::str::FromStr;

use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::{RefOr, schema};

use super::addons::Addon;
use super::components::Component;
use super::plans::Plan;
use crate::model::Path;
use crate::model::ids::{AddonId, Malformed, PlanId};

/// What price lists can say a price of.
pub trait Item {
    fn item_id(&self) -> ItemId;
    /// Where the account stands that made it.
    fn path(&self) -> &Path;
    /// What of it is charged.
    fn components(&self) -> &[Component];
}

impl Item for Plan {
    fn item_id(&self) -> ItemId {
        ItemId::Plan(self.id)
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn components(&self) -> &[Component] {
        &self.terms.components
    }
}

impl Item for Addon {
    fn item_id(&self) -> ItemId {
        ItemId::Addon(self.id)
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn components(&self) -> &[Component] {
        &self.terms.components
    }
}

/// The identifier of a plan or an add-on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ItemId {
    Plan(PlanId),
    Addon(AddonId),
}

impl fmt::Display for ItemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ItemId::Plan(id) => id.fmt(f),
            ItemId::Addon(id) => id.fmt(f),
        }
    }
}

impl fmt::Debug for ItemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ItemId {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        text.parse().map(ItemId::Plan).or_else(|_| text.parse().map(ItemId::Addon))
    }
}

impl serde::Serialize for ItemId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for ItemId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl utoipa::PartialSchema for ItemId {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(schema::SchemaType::Type(Type::String))
            .pattern(Some("^(pln|add)_[0-7][0-9a-hjkmnp-tv-z]{25}$"))
            .examples(["pln_01jq3v8z0kf5n9d2t7x4m6c1ab", "add_01jq3v8z0kf5n9d2t7x4m6c1ab"])
            .into()
    }
}

impl utoipa::ToSchema for ItemId {}

crate::stored_as_str!(ItemId);

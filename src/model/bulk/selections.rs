use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::BatchMethod;
use crate::model::catalog::service_types::ServiceType;
use crate::model::ids::AccountId;

/// Of which noun all are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SelectedNoun {
    Services,
    Subscriptions,
}

/// All of a noun's objects that have something in common and have not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    pub noun: SelectedNoun,
    /// At which account and below.
    pub account_id: AccountId,
    /// The plan's code or identifier.
    pub plan: Option<String>,
    pub service_type: Option<ServiceType>,
}

/// The one request that is sent for each of a selection, with `{id}` in its path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelectionRequest {
    pub method: BatchMethod,
    pub path: String,
    pub body: Option<Map<String, Value>>,
}

impl SelectionRequest {
    /// The path for one object.
    pub fn path_for(&self, id: &str) -> String {
        self.path.replace(PLACE, id)
    }
}

/// What stands for an object's identifier.
pub const PLACE: &str = "{id}";

/// What tells a selection of objects from every other one.
pub fn digest(ids: &[String]) -> String {
    let mut hasher = Sha256::new();
    for id in ids {
        hasher.update(id);
        hasher.update([0]);
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

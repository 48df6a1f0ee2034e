use serde::Serialize;

use super::{Mode, Quota, QuotaKey, QuotaView};
use crate::model::ids::AccountId;
use crate::model::{Path, Time};

/// A quota that has come to be fuller or emptier than was told last.
#[derive(Debug, Clone, PartialEq, Eq, crate::model::rows::Record)]
pub struct Crossing {
    pub holder: String,
    pub key: QuotaKey,
    pub account_id: AccountId,
    pub path: Path,
    pub mode: Mode,
    pub ceiling: i64,
    pub used: i64,
    pub reserved: i64,
    pub updated_at: Time,
    /// The last threshold it has reached, in per cent; 101 where more is taken than there is.
    pub filled: i64,
    pub told: i64,
}

/// A threshold that a quota has reached, as events tell it.
#[derive(Debug, Clone, Serialize)]
pub struct ThresholdView {
    /// The subscription or account whose quota it is.
    pub holder: String,
    /// In per cent.
    pub threshold: i64,
    #[serde(flatten)]
    pub quota: QuotaView,
}

impl Crossing {
    /// What there is to tell: that it is emptier is nobody's concern, and that it is full is told once.
    pub fn view(&self) -> Option<ThresholdView> {
        let quota = Quota {
            holder: self.holder.clone(),
            key: self.key,
            account_id: self.account_id,
            path: self.path.clone(),
            mode: self.mode,
            ceiling: self.ceiling,
            used: self.used,
            reserved: self.reserved,
            updated_at: self.updated_at,
        };
        let (reached, told) = (self.filled.min(100), self.told.min(100));
        (reached > told).then(|| ThresholdView {
            holder: quota.owner(),
            threshold: reached,
            quota: quota.into(),
        })
    }
}

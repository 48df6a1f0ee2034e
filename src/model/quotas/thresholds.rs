use serde::Serialize;

use super::{Quota, QuotaView};

/// A quota that has come to be fuller or emptier than was told last.
#[derive(Debug, Clone, PartialEq, Eq, crate::model::rows::Record)]
pub struct Crossing {
    #[record(flatten)]
    pub quota: Quota,
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
        let (reached, told) = (self.filled.min(100), self.told.min(100));
        (reached > told).then(|| ThresholdView {
            holder: self.quota.owner(),
            threshold: reached,
            quota: self.quota.clone().into(),
        })
    }
}

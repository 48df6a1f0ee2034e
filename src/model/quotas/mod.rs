//! Quotas: what may be taken, level by level up the tree.

mod checks;
#[expect(clippy::module_inception, reason = "a capability's first noun has its name, in every layer")]
mod quotas;
mod recounts;
mod requests;
mod thresholds;

pub use checks::{Amount, Checked, ExplainedLevel, Explanation};
pub use quotas::*;
pub use recounts::{Correction, Recount};
pub use requests::{QuotaRequest, QuotaRequestStatus, QuotaRequestView};
pub use thresholds::{Crossing, ThresholdView};

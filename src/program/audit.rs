//! The audit, examined on the server itself.

use super::{Program, Stop};
use crate::domain::accounts::audit::{self, Verdict};

impl Program {
    /// Follows the chains of all accounts' audit lines.
    pub async fn verify_audit(&self) -> Result<Verdict, Stop> {
        Ok(audit::verify(&self.db).await?)
    }
}

//! What runs: opens the database and the keys, puts the parts together, starts and stops them.

pub mod audit;
pub mod checkpoints;
pub mod doctor;
pub mod keys;
mod limits;
mod open;
pub mod secrets;
mod serve;
pub mod signing;
mod sink;
mod state;
mod upkeep;

use std::fmt;
use std::sync::Arc;

use crate::access::keyring::Keyring;
use crate::access::principals::Principals;
use crate::access::seal::Sealer;
use crate::cli::exit;
use crate::clock::Clock;
use crate::config::Config;
use crate::connectors::Connectors;
use crate::store::Db;

pub use open::migrate;
pub use serve::{Roles, Running};

/// Why the program did not start or had to stop: one line for each reason, and the code it ends with.
#[derive(Debug)]
pub struct Stop {
    pub code: u8,
    pub reasons: Vec<String>,
}

impl Stop {
    pub fn because(code: u8, reason: impl fmt::Display) -> Self {
        Self { code, reasons: vec![reason.to_string()] }
    }

    /// Something failed that the settings cannot mend.
    pub fn failed(reason: impl fmt::Display) -> Self {
        Self::because(exit::FAILED, reason)
    }

    /// The settings, or what they lead to, are not safe to run with.
    pub fn unsafe_to_run(reason: impl fmt::Display) -> Self {
        Self::because(exit::CONFIG, reason)
    }
}

impl From<sqlx::Error> for Stop {
    fn from(error: sqlx::Error) -> Self {
        Stop::failed(format!("the database failed: {error}"))
    }
}

/// An opened installation: its database, keys and connectors.
pub struct Program {
    pub config: Config,
    pub db: Db,
    pub clock: Clock,
    pub sealer: Arc<Sealer>,
    pub connectors: Connectors,
    pub principals: Principals,
    ring: Arc<Keyring>,
    derived: secrets::Derived,
}

//! What the program promises when it is killed, stopped, or started twice.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/process.rs"]
mod process;

mod batches;
mod checkpoints;
mod ends;
mod hosting;
mod orders;
mod replicas;

use std::time::{Duration, Instant};

use common::Fresh;
use process::{Installation, Outsider, times};
use serde_json::{Value, json};

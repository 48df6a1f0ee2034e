//! What is kept secret: sealed at rest, moved from key to key, and nowhere to be read.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/process.rs"]
mod process;

mod memory;
mod nowhere;
mod rotation;
mod settings;
mod signing;

use std::path::Path;

use common::Fresh;
use process::{Installation, Outsider, Process};
use reqwest::Method;
use serde_json::{Value, json};
use tenantry::access::kek;
use tenantry::access::seal::{Context, Sealer};
use tenantry::model::Subtree;
use tenantry::store::Db;

/// Writes each test once and runs it on an installation with SQLite and one with PostgreSQL.
macro_rules! on_both_installations {
    ($($(#[$attribute:meta])* async fn $name:ident($installation:ident: Installation, $url:ident: String) $body:block)+) => {$(
        mod $name {
            use super::*;
            $(#[$attribute])*
            async fn test($installation: Installation, $url: String) $body
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                let installation = Installation::new();
                let url = format!("sqlite://{}", installation.folder.join("data/tenantry.db").display());
                test(installation, url).await;
            }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                let fresh = Fresh::postgres().await;
                test(Installation::on(&fresh.url), fresh.url.clone()).await;
                fresh.remove().await;
            }
        }
    )+};
}
pub(crate) use on_both_installations;

/// Runs a command that must succeed and gives what it said on stdout.
fn said(installation: &Installation, arguments: &[&str]) -> String {
    let output = installation.run(arguments);
    let (text, error) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{arguments:?}: {text}{error}");
    text
}

/// Whether the installation says that it can take requests.
async fn is_ready(installation: &Installation) -> bool {
    let answer = reqwest::get(format!("http://{}/readyz", installation.admin)).await;
    answer.is_ok_and(|answer| answer.status() == 200)
}

/// A sealer with the keys in a file.
fn sealer(file: &Path) -> Sealer {
    Sealer::of(kek::load(file).unwrap())
}

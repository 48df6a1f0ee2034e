//! What tests share: a fresh database on both engines, the accounts, servers and plans to begin with, and a
//! connector that keeps all in memory and fails as it is told.

#![allow(dead_code, unused_macros, unused_imports, reason = "no test uses all of it")]

pub mod api;
pub mod calls;
pub mod database;
pub mod engines;
pub mod recording;
pub mod template;
pub mod world;

pub use database::Fresh;
pub use engines::{Running, until};
pub use recording::{Method, Recording, Trick};
pub use world::World;

/// Writes each test once and runs it twice: `name::sqlite` and `name::postgres`.
#[macro_export]
macro_rules! on_both_engines {
    ($($(#[$attribute:meta])* async fn $name:ident($db:ident: Db) $body:block)+) => {$(
        mod $name {
            use super::*;
            $(#[$attribute])*
            async fn test($db: Db) $body
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() { $crate::common::Fresh::sqlite().await.run(test).await }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() { $crate::common::Fresh::postgres().await.run(test).await }
        }
    )+};
}

//! Each test on both engines.

/// Makes each function a test on SQLite and a test on PostgreSQL.
#[macro_export]
macro_rules! on_both_engines {
    ($($(#[$attribute:meta])* async fn $name:ident($world:ident: &World) $body:block)+) => {$(
        mod $name {
            use super::*;

            async fn test($world: &World) $body

            $(#[$attribute])*
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_sqlite() {
                let world = World::new($crate::database::Fresh::sqlite().await).await;
                test(&world).await;
                world.remove().await;
            }

            $(#[$attribute])*
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_postgres() {
                let world = World::new($crate::database::Fresh::postgres().await).await;
                test(&world).await;
                world.remove().await;
            }
        }
    )+};
}

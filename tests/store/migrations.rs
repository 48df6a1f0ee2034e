//! Bringing a database to the program's schema.

use tenantry::model::accounts::accounts::Environment;
use tenantry::model::catalog::servers::Server;
use tenantry::model::ids::ServerId;
use tenantry::store::catalog::servers;
use tenantry::store::migrate::{self, Standing};

use super::process::Installation;
use super::program::{as_owner, as_owner_run, refused};
use super::*;
use crate::common::{Recording, World};

/// How often a migration is killed.
const KILLS: u64 = 12;

async fn applied(db: &Db) -> Vec<(i64, String)> {
    let statement = tenantry::sql!(
        "SELECT version, " sqlite("hex(checksum) || installed_on") pg("encode(checksum, 'hex') || installed_on")
        " AS made FROM _sqlx_migrations ORDER BY version"
    );
    read(db).await.query(statement).all().await.unwrap()
}

#[tokio::test]
async fn a_second_migration_changes_nothing() {
    let fresh = Fresh::sqlite().await;
    let before = applied(&fresh.db).await;
    assert_eq!(before.last().map(|(version, _)| *version), Some(migrate::newest()));
    migrate::sqlite(&fresh.db).await.unwrap();
    assert_eq!(applied(&fresh.db).await, before);
    assert_eq!(migrate::standing(&fresh.db).await.unwrap(), Standing::Current);
    fresh.remove().await;

    let fresh = Fresh::postgres().await;
    let before = applied(&fresh.db).await;
    let serving: (String,) =
        read(&fresh.db).await.query("SELECT current_user::text AS name").one().await.unwrap();
    migrate::postgres_as_owner(&as_owner(&fresh), &serving.0).await.unwrap();
    assert_eq!(applied(&fresh.db).await, before);
    assert_eq!(migrate::standing(&fresh.db).await.unwrap(), Standing::Current);
    fresh.remove().await;
}

const NEWER: &str = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
     VALUES (9999, 'of a newer program', TRUE, '', 0)";

async fn refuses_newer(installation: Installation) {
    for arguments in [["serve"], ["migrate"]] {
        let text = refused(&installation, &arguments);
        assert!(text.contains("newer than this program"), "{arguments:?}: {text}");
    }
    let status = installation.run(&["migrate", "--status"]);
    assert!(String::from_utf8_lossy(&status.stdout).contains("newer than this program"));
    installation.remove();
}

/// CFG-1, SHUT-3
#[tokio::test]
async fn a_schema_of_a_newer_program_is_refused_and_left_alone_on_sqlite() {
    let installation = Installation::new();
    assert!(installation.run(&["migrate"]).status.success());
    let url = format!("sqlite://{}", installation.folder.join("data/tenantry.db").display());
    let db = Db::connect(&url, 2).await.unwrap();
    let mut tx = write(&db).await.unwrap();
    tx.query(NEWER).execute().await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(migrate::standing(&db).await.unwrap(), Standing::Ahead);
    db.close().await;
    refuses_newer(installation).await;
}

/// CFG-1, SHUT-3
#[tokio::test]
async fn a_schema_of_a_newer_program_is_refused_and_left_alone_on_postgres() {
    let fresh = Fresh::postgres().await;
    as_owner_run(&fresh, NEWER).await;
    assert_eq!(migrate::standing(&fresh.db).await.unwrap(), Standing::Ahead);
    refuses_newer(Installation::on(&fresh.url).with("DATABASE__MIGRATE_URL", as_owner(&fresh))).await;
    fresh.remove().await;
}

/// Kills the migration at moments that are spread over its course, then lets it run.
async fn goes_on(installation: &Installation) -> u64 {
    let mut unfinished = 0;
    for round in 0..KILLS {
        let process = installation.start(&["migrate"]);
        tokio::time::sleep(Duration::from_millis(10 + 12 * round)).await;
        process.kill();
        unfinished += u64::from(
            !installation.run(&["migrate", "--status"]).stdout.starts_with(b"the schema is up to date"),
        );
    }
    let finished = installation.run(&["migrate"]);
    assert!(finished.status.success(), "{}", String::from_utf8_lossy(&finished.stderr));
    let status = installation.run(&["migrate", "--status"]);
    assert!(
        status.stdout.starts_with(b"the schema is up to date"),
        "{}",
        String::from_utf8_lossy(&status.stdout)
    );
    let key = installation.run(&["key", "create", "--bundle", "operator_admin"]);
    assert!(key.status.success(), "{}", String::from_utf8_lossy(&key.stderr));
    unfinished
}

/// SHUT-3
#[tokio::test]
async fn a_migration_that_was_killed_can_be_run_again_on_sqlite() {
    let installation = Installation::new();
    assert!(goes_on(&installation).await > 0, "it was never killed in time");
    installation.remove();
}

/// SHUT-3
#[tokio::test]
async fn a_migration_that_was_killed_can_be_run_again_on_postgres() {
    let fresh = Fresh::postgres().await;
    let emptied = "DO $$ DECLARE name text := current_schema(); BEGIN
         EXECUTE format('DROP SCHEMA %I CASCADE', name); EXECUTE format('CREATE SCHEMA %I', name); END $$";
    as_owner_run(&fresh, emptied).await;
    let installation = Installation::on(&fresh.url).with("DATABASE__MIGRATE_URL", as_owner(&fresh));
    assert!(goes_on(&installation).await > 0, "it was never killed in time");
    installation.remove();
    fresh.remove().await;
}

/// The schema before servers had an environment, with a server of a live account and one of a test account in it.
async fn before_environments(fresh: &Fresh, live: &World) -> (ServerId, ServerId) {
    let mut tx = write(&fresh.db).await.unwrap();
    let (live, test) = (live.server.clone(), Server { id: ServerId::new(), ..live.server.clone() });
    servers::insert(&mut tx, &test).await.unwrap();
    tx.commit().await.unwrap();
    let back = [
        "DROP TABLE storefront_keys".to_owned(),
        "ALTER TABLE servers DROP COLUMN environment".to_owned(),
        "DELETE FROM _sqlx_migrations WHERE version = 11".to_owned(),
        "INSERT INTO accounts (id, path, parent_id, type, status, environment, name, fingerprint, metadata, version, created_at, updated_at)
         SELECT 'acc_01jq3v8z0kf5n9d2t7x4m6c1ab', '/otried/', id, type, status, 'test', name, '', metadata, 1, created_at, updated_at FROM accounts WHERE parent_id IS NULL".to_owned(),
        format!("UPDATE servers SET account_id = 'acc_01jq3v8z0kf5n9d2t7x4m6c1ab' WHERE id = '{}'", test.id),
    ];
    fresh.tamper(&back.join(";")).await;
    (live.id, test.id)
}

/// KEY-11
async fn tells_servers_apart(db: &Db, live: ServerId, test: ServerId) {
    let mut conn = read(db).await;
    for (id, environment) in [(live, Environment::Live), (test, Environment::Test)] {
        let server = servers::find_any(&mut conn, id).await.unwrap().unwrap();
        assert_eq!(server.environment, environment);
    }
}

#[tokio::test]
async fn servers_that_are_there_already_get_the_environment_of_their_account() {
    let fresh = Fresh::sqlite().await;
    let (live, test) = before_environments(&fresh, &World::new(&fresh.db, &Recording::default()).await).await;
    migrate::sqlite(&fresh.db).await.unwrap();
    tells_servers_apart(&fresh.db, live, test).await;
    fresh.remove().await;

    let fresh = Fresh::postgres().await;
    let (live, test) = before_environments(&fresh, &World::new(&fresh.db, &Recording::default()).await).await;
    let serving: (String,) =
        read(&fresh.db).await.query("SELECT current_user::text AS name").one().await.unwrap();
    migrate::postgres_as_owner(&as_owner(&fresh), &serving.0).await.unwrap();
    let db = Db::connect(&fresh.url, 2).await.unwrap();
    tells_servers_apart(&db, live, test).await;
    db.close().await;
    fresh.remove().await;
}

/// The schema before quotas had thresholds, with one of the operator's that is nearly full.
async fn before_thresholds(fresh: &Fresh) {
    let world = World::new(&fresh.db, &Recording::default()).await;
    let (id, path) = (world.operator.id, &world.operator.path);
    let back = format!(
        "DROP INDEX quotas_to_tell; DROP INDEX quotas_passed; DROP INDEX accounts_by_name; DROP INDEX subscriptions_by_external_id;
         DROP INDEX operations_troubled; DROP INDEX holds_closing;
         ALTER TABLE quotas DROP COLUMN filled; ALTER TABLE quotas DROP COLUMN told; ALTER TABLE accounts DROP COLUMN name_key;
         DELETE FROM _sqlx_migrations WHERE version = 30;
         INSERT INTO quotas (holder, key, account_id, path, mode, ceiling, used, updated_at)
         VALUES ('{path}', 'mail.mailboxes', '{id}', '{path}', 'shared', 20, 18, '2026-01-01T00:00:00.000000Z')"
    );
    fresh.tamper(&back).await;
}

async fn knows_how_full_they_are(db: &Db) {
    let mut conn = read(db).await;
    let full: (i64, i64) = conn.query("SELECT filled, told FROM quotas").one().await.unwrap();
    assert_eq!(full, (90, 90), "what was full before is no news");
    let named: (String,) =
        conn.query("SELECT name_key FROM accounts WHERE parent_id IS NULL").one().await.unwrap();
    assert_eq!(named.0, "operator");
}

#[tokio::test]
async fn quotas_that_are_full_already_are_known_to_be_and_not_told_of_again() {
    let fresh = Fresh::sqlite().await;
    before_thresholds(&fresh).await;
    migrate::sqlite(&fresh.db).await.unwrap();
    knows_how_full_they_are(&fresh.db).await;
    fresh.remove().await;

    let fresh = Fresh::postgres().await;
    before_thresholds(&fresh).await;
    let serving: (String,) =
        read(&fresh.db).await.query("SELECT current_user::text AS name").one().await.unwrap();
    migrate::postgres_as_owner(&as_owner(&fresh), &serving.0).await.unwrap();
    let db = Db::connect(&fresh.url, 2).await.unwrap();
    knows_how_full_they_are(&db).await;
    db.close().await;
    fresh.remove().await;
}

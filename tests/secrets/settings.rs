//! What the program refuses to start with, and what it shows of its settings.

use std::net::TcpStream;

use tenantry::store::migrate;

use super::*;

/// CFG-1: each fault is a line, the code is 78, and nobody listens meanwhile or afterwards.
#[test]
fn it_does_not_start_with_settings_that_are_not_safe() {
    let installation = Installation::new();
    for (settings, faults) in [
        (vec![("SERVER__LISSTEN", "x")], vec!["TENANTRY_SERVER__LISSTEN"]),
        (vec![("SECRETS__KEK", "c2hvcnQ=")], vec!["secrets.kek"]),
        (vec![("SERVER__PUBLIC_URL", "http://api.example")], vec!["server.public_url"]),
        (
            vec![("SERVER__LISTEN", "0.0.0.0:0"), ("SERVER__PUBLIC_URL", "https://api.example")],
            vec!["server.listen"],
        ),
        (
            vec![("WORKER__SLOTS", "0"), ("LOG__FORMAT", "xml"), ("SERVER__PUBLIC_URL", "ftp://api.example")],
            vec!["server.public_url", "worker.slots", "log.format"],
        ),
    ] {
        let one = settings.iter().fold(installation.beside(), |one, (name, value)| one.with(name, *value));
        for arguments in [&["serve"][..], &["work"], &["config", "check"]] {
            let output = one.run(arguments);
            let text = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(78), "{settings:?} {arguments:?}: {text}");
            assert_eq!(text.lines().count(), faults.len(), "{text}");
            for fault in &faults {
                assert_eq!(text.lines().filter(|line| line.contains(fault)).count(), 1, "{fault}: {text}");
            }
            assert!(TcpStream::connect(one.listen).is_err() && TcpStream::connect(one.admin).is_err());
        }
    }
    assert!(!installation.folder.join("data").exists(), "it was refused before anything was made");
    installation.remove();
}

/// CFG-2
#[test]
fn the_settings_are_shown_with_stars_for_secrets_and_no_database_is_touched() {
    let kek = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    let installation = Installation::on("postgres://app:hunter2hunter2@127.0.0.1:1/nowhere")
        .with("SECRETS__KEK", kek)
        .with("REDIS__URL", "redis://:hunter3hunter3@127.0.0.1:1/0");
    let shown = said(&installation, &["config", "check"]);
    for secret in ["hunter2hunter2", "hunter3hunter3", kek] {
        assert!(!shown.contains(secret), "{shown}");
    }
    assert!(shown.contains("kek = \"***\"") && shown.contains("app:***@"), "{shown}");
    assert!(!installation.folder.join("data").exists());
    installation.remove();
}

on_both_installations! {
    /// CFG-8: nobody gets in before a key was made on the server itself.
    async fn a_new_installation_has_no_account_and_no_key(installation: Installation, url: String) {
        let served = installation.serve().await;
        let db = Db::connect(&url, 1).await.unwrap();
        for statement in [
            "SELECT COUNT(*) AS rows FROM accounts",
            "SELECT COUNT(*) AS rows FROM api_keys",
        ] {
            let mut conn = db.read(Subtree::everything()).await.unwrap();
            let (rows,): (i64,) = conn.query(statement).one().await.unwrap();
            assert_eq!(rows, 0, "{statement}");
        }
        db.close().await;
        let answer = reqwest::get(format!("http://{}/v1/me", installation.listen)).await.unwrap();
        assert_eq!(answer.status(), 401);
        let key = installation.key();
        let me = Outsider::new(installation.listen, &key).get("/me").await;
        assert!(me["account"]["id"].is_string());
        served.kill();
        installation.remove();
    }
}

/// AUD-4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_role_that_serves_adds_and_reads_audit_lines_and_does_nothing_else_to_them() {
    let fresh = Fresh::postgres().await;
    let privileges = |db: Db| async move {
        let mut conn = db.read(Subtree::everything()).await.unwrap();
        let held: (bool, bool, bool, bool, bool) = conn
            .query(tenantry::sql!(
                "SELECT has_table_privilege('audit', 'SELECT') AS s, has_table_privilege('audit', 'INSERT') AS i,
                     has_table_privilege('audit', 'UPDATE') OR has_any_column_privilege('audit', 'UPDATE') AS u,
                     has_table_privilege('audit', 'DELETE') AS d, has_table_privilege('audit', 'TRUNCATE') AS t"
            ))
            .one()
            .await
            .unwrap();
        held
    };
    assert_eq!(privileges(fresh.db.clone()).await, (true, true, false, false, false));
    for statement in ["UPDATE audit SET outcome = 'none'", "DELETE FROM audit", "TRUNCATE audit"] {
        let mut tx = fresh.db.write(Subtree::everything()).await.unwrap();
        let refused = tx.query(statement).execute().await.unwrap_err();
        assert!(refused.to_string().contains("permission denied"), "{statement}: {refused}");
        tx.undo().await.unwrap();
    }
    // However often the schema is brought up to date, and whatever was granted before.
    fresh.tamper("GRANT ALL ON audit TO tenantry_app").await;
    let owner = common::database::owner_of(&fresh.url);
    migrate::postgres_as_owner(&owner, "tenantry_app").await.unwrap();
    assert_eq!(privileges(fresh.db.clone()).await, (true, true, false, false, false));
    fresh.remove().await;
}

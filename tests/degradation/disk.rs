//! A disk without space, and one that does not keep what it was given.

use std::fs::{self, File};
use std::io::Write;

use super::hosting::Hosting;
use super::*;

/// Mounts a small file system on the data folder, seen by nobody else, makes the first key, and becomes the
/// server.
const SMALL: &str = r#"mkdir -p data && mount -t tmpfs -o size=16m tmpfs data &&
    "$@" key create --bundle operator_admin > first.key && exec "$@" serve"#;

/// DEG (disk full), DEG-2, IDEM-9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_reads_go_on_and_writes_are_refused_until_there_is_space_again() {
    let kek = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let alone = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", SMALL, "sh"];
    let installation = Installation::new().with("SECRETS__KEK", kek).under(&alone);
    let process = installation.serve_with(&[]).await;
    let key = fs::read_to_string(installation.folder.join("first.key")).unwrap().trim().to_owned();
    let hosting = Hosting::new(&installation, &key).await;
    let caller = hosting.caller.clone();
    // The program's own view of its folder.
    let within = format!("/proc/{}/root{}/data", process.id(), installation.folder.display());
    let (mut accepted, mut refused, mut n) = (Vec::new(), 0, 0);
    for round in 0..2 {
        for _ in 0..3 {
            let name = format!("domain-{n}");
            n += 1;
            accepted.push((name.clone(), hosting.place(&[installation.listen], &name).await.1));
        }
        let mut ballast = File::create(format!("{within}/ballast")).unwrap();
        while ballast.write_all(&[0; 4096]).is_ok() {}
        // What SQLite still has space for in its log is used up sooner or later.
        let (before, begun) = (refused, Instant::now());
        while refused < before + 20 {
            assert!(begun.elapsed() < LONGEST, "round {round}: only {} were refused", refused - before);
            let name = format!("domain-{n}");
            n += 1;
            let answer = order(&caller, &hosting.tenant, &name).await.unwrap();
            match answer.status {
                202 => accepted.push((name, answer.body["id"].as_str().unwrap().to_owned())),
                _ => {
                    answer.is_refused("read_only");
                    refused += 1;
                }
            }
        }
        assert_eq!(get(&caller, "/orders").await.status, 200);
        assert_eq!(get(&caller, "/accounts").await.status, 200);
        assert_eq!(ask_token(installation.listen, &key).await.status, 200);
        assert_eq!(probe(installation.admin, "healthz").await.status, 200);
        // What is refused now is accepted under the same key when there is space again, and is there once.
        let name = format!("domain-again-{round}");
        order(&caller, &hosting.tenant, &name).await.unwrap().is_refused("read_only");
        drop(ballast);
        fs::remove_file(format!("{within}/ballast")).unwrap();
        let what = "there is space again";
        let after =
            until(what, async || order(&caller, &hosting.tenant, &name).await.unwrap().status == 202).await;
        println!("round {round}: written again after {after:?}");
        let again = order(&caller, &hosting.tenant, &name).await.unwrap();
        assert_eq!(again.status, 202);
        accepted.push((name, again.body["id"].as_str().unwrap().to_owned()));
    }
    let orders = hosting.completed().await;
    println!("{} accepted, {refused} refused", accepted.len());
    assert_eq!(orders.len(), accepted.len());
    for (name, id) in &accepted {
        assert_eq!(orders[name]["id"].as_str(), Some(id.as_str()), "{name}");
    }
    hosting.agrees(&orders).await;
    let file = format!("{within}/tenantry.db");
    let db = tenantry::store::Db::connect(&format!("sqlite://{file}"), 2).await.unwrap();
    let mut conn = db.read(tenantry::model::Subtree::everything()).await.unwrap();
    let sound: (String,) = conn.query("PRAGMA integrity_check").one().await.unwrap();
    assert_eq!(sound.0, "ok");
    drop(conn);
    db.close().await;
    process.kill();
    installation.remove();
}

/// DEG (fsync error)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_that_fails_ends_the_program_with_74_and_what_was_accepted_is_there_afterwards() {
    let installation = Installation::new();
    let key = installation.key();
    let process = installation.serve().await;
    let hosting = Hosting::new(&installation, &key).await;
    let mut accepted = Vec::new();
    for n in 0..5 {
        let name = format!("domain-{n}");
        accepted.push((name.clone(), hosting.place(&[installation.listen], &name).await.1));
    }
    process.kill();
    // The mail server's database is synced by the same program and is not what fails here.
    let wal = installation.folder.join("data/tenantry.db-wal");
    let fails = ["strace", "-f", "-y", "-qq", "-o", "syncs.trace", "-P", wal.to_str().unwrap()];
    let fails = [&fails[..], &["-e", "trace=fsync,fdatasync"]].concat();
    let fails = [&fails[..], &["-e", "inject=fsync,fdatasync:error=EIO:when=25+"]].concat();
    let broken = installation.beside().under(&fails);
    let process = broken.serve().await;
    let caller = hosting.caller.at(broken.listen);
    for n in 5.. {
        assert!(n < 500, "no sync fails");
        let name = format!("domain-{n}");
        match order(&caller, &hosting.tenant, &name).await {
            Ok(answer) if answer.status == 202 => {
                accepted.push((name, answer.body["id"].as_str().unwrap().to_owned()));
            }
            // Whoever is told nothing, or that it failed, asks again after the restart.
            _ => break,
        }
    }
    assert_eq!(process.ended().await.code(), Some(74), "{}", broken.said());
    let trace = fs::read_to_string(installation.folder.join("syncs.trace")).unwrap();
    let failed = trace.lines().filter(|line| line.contains("(INJECTED)")).count();
    assert_eq!(failed, 1, "a sync was tried again: {trace}");

    let process = installation.serve().await;
    let orders = hosting.completed().await;
    println!("{} accepted, {} found", accepted.len(), orders.len());
    for (name, id) in &accepted {
        assert_eq!(orders[name]["id"].as_str(), Some(id.as_str()), "{name} was accepted");
    }
    let file = installation.folder.join("data/tenantry.db");
    let db = tenantry::store::Db::connect(&format!("sqlite://{}", file.display()), 2).await.unwrap();
    let mut conn = db.read(tenantry::model::Subtree::everything()).await.unwrap();
    let sound: (String,) = conn.query("PRAGMA integrity_check").one().await.unwrap();
    assert_eq!(sound.0, "ok");
    drop(conn);
    db.close().await;
    process.kill();
    installation.remove();
}

//! The key-encryption key is changed while replicas serve, and the rotation is killed over and over.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use tenantry::access::seal::SealError;
use tenantry::model::ids::WebhookEndpointId;
use tenantry::store::sealed::{self, COLUMNS, Text};

use super::*;

const ENDPOINTS: usize = 1500;
/// After how many lines of its report a rotation is killed, each time it is begun again.
const KILLED_AFTER: [usize; 7] = [1, 2, 1, 4, 3, 6, 2];

/// Every sealed text, with what it was sealed for.
async fn texts(db: &Db) -> Vec<(&'static sealed::Column, Text)> {
    let mut all = Vec::new();
    for column in COLUMNS {
        let mut last = Text::default();
        loop {
            let mut conn = db.read(Subtree::everything()).await.unwrap();
            let page = sealed::page(&mut conn, column, &last, 400).await.unwrap();
            let Some(end) = page.last() else { break };
            last = end.clone();
            all.extend(page.into_iter().map(|text| (column, text)));
        }
    }
    all
}

/// How a sealer opens each text.
fn opened(sealer: &Sealer, texts: &[(&'static sealed::Column, Text)]) -> Vec<Result<(), SealError>> {
    let open = |(column, text): &(&'static sealed::Column, Text)| {
        let (account_id, record_id) = (text.account_id.as_str(), text.record_id.as_str());
        let context = Context { table: column.table, column: column.column, account_id, record_id };
        sealer.open(&context, &text.sealed).map(drop)
    };
    texts.iter().map(open).collect()
}

/// Endpoints beside those made through the API, so that a rotation takes its time.
async fn many_endpoints(db: &Db, sealer: &Sealer, account: &str) {
    let mut tx = db.write(Subtree::everything()).await.unwrap();
    for made in 0..ENDPOINTS {
        // Nobody keeps the writer for long.
        if made % 100 == 99 {
            tx.commit().await.unwrap();
            tx = db.write(Subtree::everything()).await.unwrap();
        }
        let id = WebhookEndpointId::new().to_string();
        let context =
            Context { table: "webhook_endpoints", column: "secret", account_id: account, record_id: &id };
        tx.query(
            "INSERT INTO webhook_endpoints (id, account_id, path, url, event_types, secret, status, version, created_at,
                 updated_at)
             SELECT $1, id, path, 'https://hooks.example', '[]', $2, 'disabled', 1, created_at, created_at
             FROM accounts WHERE id = $3",
        )
        .bind(&id)
        .bind(sealer.seal(&context, id.as_bytes()))
        .bind(account)
        .execute()
        .await
        .unwrap();
    }
    tx.commit().await.unwrap();
}

/// An endpoint whose secret is told, and told again when the request is repeated.
async fn endpoint(caller: &Outsider, key: &str) -> (u16, Value) {
    let asked = json!({
        "url": "https://hooks.example/in", "event_types": ["account.created"], "asymmetric": true,
        "secret_headers": {"authorization": "Bearer sesame"},
    });
    let call = caller.call(Method::POST, "/webhook_endpoints").header("Idempotency-Key", key).json(&asked);
    let answer = call.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// Runs a rotation and kills it when it has said so many lines; says whether it came to its end before.
fn rotate_until(installation: &Installation, lines: usize) -> bool {
    let mut command = installation.command(&["secrets", "rotate-kek"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let report = BufReader::new(child.stderr.take().unwrap());
    let told = report.lines().take(lines).count();
    child.kill().unwrap();
    child.wait().unwrap();
    told < lines
}

on_both_installations! {
    /// SEC-2, SEC-6, AUD-1
    async fn secrets_move_to_another_key_while_replicas_serve_however_often_it_is_killed(one: Installation, url: String) {
        let data = one.folder.join("data");
        let (file, kept) = (data.join("kek"), one.folder.join("kek-of-before"));
        let operator = one.key();
        let two = one.beside();
        let replicas: Vec<&Installation> = if url.starts_with("sqlite") { vec![&one] } else { vec![&one, &two] };
        let mut running: Vec<Process> = Vec::new();
        for replica in &replicas {
            running.push(replica.serve().await);
        }
        let caller = Outsider::new(one.listen, &operator);
        let account = caller.get("/me").await["account"]["id"].as_str().unwrap().to_owned();
        let first = endpoint(&caller, "before").await;
        assert_eq!(first.0, 201, "{first:?}");
        let second = endpoint(&caller, "second").await.1["id"].as_str().unwrap().to_owned();
        caller.make(&format!("/webhook_endpoints/{second}/rotate_secret"), json!({"overlap_hours": 168})).await;
        let page = caller.get("/webhook_endpoints?limit=1").await;
        let cursor = page["next_cursor"].as_str().unwrap().to_owned();
        fs::copy(&file, &kept).unwrap();
        let db = Db::connect(&url, 2).await.unwrap();
        many_endpoints(&db, &sealer(&kept), &account).await;

        // Both keys to all replicas, one after another; secrets still lie, and are sealed, under the one before.
        said(&one, &["secrets", "add-kek"]);
        for (at, replica) in replicas.iter().enumerate() {
            running.remove(at).kill();
            running.insert(at, replica.serve().await);
        }
        assert!(said(&one, &["secrets", "status"]).contains("tenantry secrets rotate-kek"));
        endpoint(&caller, "between").await;
        let before = texts(&db).await;
        assert!(opened(&sealer(&kept), &before).iter().all(Result::is_ok));
        let filled: BTreeSet<_> = before.iter().map(|(of, _)| (of.table, of.column)).collect();
        assert!(filled.len() >= 6, "{filled:?}");
        let of_before = "SELECT COUNT(*) AS kept FROM webhook_old_secrets WHERE signing_key IS NOT NULL";
        let (kept_secrets,): (i64,) =
            db.read(Subtree::everything()).await.unwrap().query(of_before).one().await.unwrap();
        assert_eq!(kept_secrets, 1);

        let mut ended = false;
        for (round, lines) in KILLED_AFTER.into_iter().enumerate() {
            ended |= rotate_until(&one, lines);
            // Whatever key a secret lies under now, every replica opens and makes secrets.
            for replica in &replicas {
                let caller = caller.at(replica.listen);
                assert_eq!(endpoint(&caller, "before").await, first);
                let made = endpoint(&caller, &format!("{round}-{}", replica.listen)).await;
                assert_eq!(made.0, 201, "{made:?}");
            }
            let both = texts(&db).await;
            assert!(opened(&sealer(&file), &both).iter().all(Result::is_ok));
            if round == 0 {
                let doctor = said(&one, &["doctor"]);
                assert!(doctor.contains("secrets: sealed under") && doctor.contains("are still under older keys"), "{doctor}");
                let early = one.run(&["secrets", "drop-kek"]);
                assert_eq!(early.status.code(), Some(1), "{early:?}");
                // The new key alone would leave secrets behind.
                let alone = one.folder.join("new-alone");
                let text = fs::read_to_string(&file).unwrap();
                fs::write(&alone, text.lines().next().unwrap()).unwrap();
                fs::set_permissions(&alone, fs::metadata(&file).unwrap().permissions()).unwrap();
                let refused = one.beside().with("SECRETS__KEK_FILE", alone.display().to_string()).run(&["doctor"]);
                let text = String::from_utf8(refused.stdout).unwrap();
                assert!(text.contains("secrets lie under the key-encryption key"), "{text}");
                fs::remove_file(alone).unwrap();
            }
        }
        assert!(!ended, "the rotation was over before it could be killed");
        said(&one, &["secrets", "rotate-kek"]);
        assert!(said(&one, &["secrets", "rotate-kek"]).starts_with("0 secrets were moved"));
        let status = said(&one, &["secrets", "status"]);
        assert!(status.contains(": 0 secrets\n") && status.contains("drop-kek"), "{status}");

        let lines = caller.list("/audit").await;
        let rotations: Vec<_> = lines.iter().filter(|line| line["action"] == "secrets_rotate_kek").collect();
        assert_eq!(rotations.len(), 1, "however often it was gone on with");
        assert!(status.contains(rotations[0]["resource"].as_str().unwrap()), "{status}");

        // The new key alone to all replicas, one after another.
        said(&one, &["secrets", "drop-kek"]);
        for (at, replica) in replicas.iter().enumerate() {
            running.remove(at).kill();
            running.insert(at, replica.serve().await);
        }
        for replica in &replicas {
            let caller = caller.at(replica.listen);
            assert_eq!(endpoint(&caller, "before").await, first, "an answer from before the rotation is replayed");
            let next = caller.get(&format!("/webhook_endpoints?limit=1&cursor={cursor}")).await;
            assert_ne!(next["data"][0]["id"], page["data"][0]["id"]);
            assert_eq!(endpoint(&caller, &format!("after-{}", replica.listen)).await.0, 201);
        }
        let after = texts(&db).await;
        assert!(after.len() > before.len());
        assert!(opened(&sealer(&file), &after).iter().all(Result::is_ok));
        let by_the_old = opened(&sealer(&kept), &after);
        assert!(by_the_old.iter().all(|opened| *opened == Err(SealError::OtherKey)), "the old key opens something");
        let refused = one.beside().with("SECRETS__KEK_FILE", kept.display().to_string()).run(&["secrets", "status"]);
        assert_eq!(refused.status.code(), Some(78), "{refused:?}");
        db.close().await;
        running.into_iter().for_each(Process::kill);
        one.remove();
    }
}

/// SEC-2, SEC-6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_was_not_given_the_new_key_takes_no_more_callers() {
    let fresh = Fresh::postgres().await;
    let one = Installation::on(&fresh.url);
    one.key();
    let file = one.folder.join("data/kek");
    let old = one.folder.join("old");
    fs::copy(&file, &old).unwrap();
    let forgotten = one.beside().with("SECRETS__KEK_FILE", old.display().to_string());
    let running = forgotten.serve().await;
    said(&one, &["secrets", "add-kek"]);
    assert!(is_ready(&forgotten).await);
    said(&one, &["secrets", "rotate-kek"]);
    common::until("it is no longer ready", async || !is_ready(&forgotten).await).await;
    assert!(forgotten.said().contains("a key-encryption key that this replica does not have"));
    running.kill();
    one.remove();
    fresh.remove().await;
}

/// SEC-1, SEC-2: a place that a rotation does not know would keep secrets under a key that is thrown away.
#[test]
fn every_place_that_is_sealed_is_one_that_a_rotation_goes_through() {
    fn walk(folder: &Path, found: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            for (at, _) in code.match_indices("Context {") {
                let literal = |field: &str| {
                    let rest = code[at..].split('}').next()?.split_once(&format!("{field}: \""))?.1;
                    Some(rest.split('"').next()?.to_owned())
                };
                if let (Some(table), Some(column)) = (literal("table"), literal("column")) {
                    found.push((table, column));
                }
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    found.sort();
    found.dedup();
    let mut known: Vec<_> = COLUMNS.iter().map(|of| (of.table.to_owned(), of.column.to_owned())).collect();
    known.sort();
    // What was sealed for one place may lie in several.
    known.dedup();
    assert_eq!(found, known);
}

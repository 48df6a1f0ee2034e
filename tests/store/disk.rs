//! A disk without space, and one that has some again.

use std::fs::{self, File};
use std::io::Write;

use super::crash::{hidden, pair};
use super::*;

/// Where a small file system is put that only the process sees which runs below.
const MOUNTED: &str = "TEST_CRASH_FILE";

/// Not a test but what the one below runs in a file system of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "another test runs it"]
async fn filling_a_disk() {
    let folder = std::env::var(MOUNTED).expect("another test says where");
    let db = Db::connect(&format!("sqlite://{folder}/t.db"), 2).await.unwrap();
    let mut tx = write(&db).await.unwrap();
    let made =
        "CREATE TABLE pairs (id TEXT NOT NULL, half BIGINT NOT NULL, pad TEXT, PRIMARY KEY (id, half))";
    tx.query(made).execute().await.unwrap();
    tx.commit().await.unwrap();
    let mut acknowledged: HashSet<String> = HashSet::new();
    for round in 0..3 {
        let before = acknowledged.len();
        write_pairs(&db, &mut acknowledged, 40).await;
        assert_eq!(acknowledged.len(), before + 40, "round {round}: there is space");
        let mut ballast = File::create(format!("{folder}/ballast")).unwrap();
        while ballast.write_all(&[0; 4096]).is_ok() {}
        // What SQLite still has space for in its log is used up sooner or later.
        let mut refused = 0;
        for _ in 0..100 {
            refused += write_pairs(&db, &mut acknowledged, 10).await;
        }
        assert!(refused > 100, "round {round}: only {refused} units were refused on a full disk");
        assert_eq!(there(&db).await, acknowledged, "round {round}: what is read from a full disk");
        fs::remove_file(format!("{folder}/ballast")).unwrap();
    }
    let before = acknowledged.len();
    write_pairs(&db, &mut acknowledged, 40).await;
    assert_eq!(acknowledged.len(), before + 40, "there is space again");
    assert_eq!(there(&db).await, acknowledged);
    db.close().await;
    let db = Db::connect(&format!("sqlite://{folder}/t.db"), 2).await.unwrap();
    assert_eq!(there(&db).await, acknowledged);
    let sound: (String,) = read(&db).await.query("PRAGMA integrity_check").one().await.unwrap();
    assert_eq!(sound.0, "ok");
    println!("{} units acknowledged", acknowledged.len());
}

/// Writes so many units at once; how many were refused.
async fn write_pairs(db: &Db, acknowledged: &mut HashSet<String>, count: usize) -> usize {
    let units: Vec<_> = (0..count)
        .map(|_| {
            let db = db.clone();
            tokio::spawn(async move {
                let id = RequestId::new().bare();
                pair(&db, &id).await.map(|()| id)
            })
        })
        .collect();
    let mut refused = 0;
    for unit in units {
        match unit.await.unwrap() {
            Ok(id) => assert!(acknowledged.insert(id)),
            Err(_) => refused += 1,
        }
    }
    refused
}

/// The pairs that are there, each of them whole.
async fn there(db: &Db) -> HashSet<String> {
    let rows: Vec<(String, i64)> =
        read(db).await.query("SELECT id, COUNT(*) FROM pairs GROUP BY id").all().await.unwrap();
    assert!(rows.iter().all(|(_, halves)| *halves == 2));
    rows.into_iter().map(|(id, _)| id).collect()
}

/// DEG (disk full)
#[test]
fn a_full_disk_refuses_writes_and_goes_on_reading_until_there_is_space_again() {
    let folder = file();
    fs::create_dir(&folder).unwrap();
    let mount = r#"mount -t tmpfs -o size=1m tmpfs "$TEST_CRASH_FILE" && exec "$@""#;
    let alone = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh"];
    let status = hidden(&alone, "disk::filling_a_disk", &folder).status().unwrap();
    assert!(status.success(), "{status}; it needs a file system of its own (unshare, mount)");
    fs::remove_dir(&folder).unwrap();
}

//! A process that is killed, or whose disk fails, while 64 tasks write pairs of rows.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::process::Command;

use super::*;

const TASKS: usize = 64;
/// The database of the process that writes.
const FILE: &str = "TEST_CRASH_FILE";
/// How many pairs each of its tasks writes; without end if it is not set.
const PAIRS: &str = "TEST_CRASH_PAIRS";
/// How many bytes each row has.
const PAD: &str = "TEST_CRASH_PAD";

/// Not a test but the process that others here kill: says `ok ID` for each pair acknowledged and `no ID` for
/// each refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "other tests run it"]
async fn writing_pairs() {
    let file = std::env::var(FILE).expect("another test says where");
    let pairs = std::env::var(PAIRS).map_or(u64::MAX, |pairs| pairs.parse().unwrap());
    let db = Db::connect(&format!("sqlite://{file}"), 2).await.unwrap();
    let mut tx = write(&db).await.unwrap();
    let made =
        "CREATE TABLE pairs (id TEXT NOT NULL, half BIGINT NOT NULL, pad TEXT, PRIMARY KEY (id, half))";
    tx.query(made).execute().await.unwrap();
    tx.commit().await.unwrap();
    say(&file, "ready");
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let (db, file) = (db.clone(), file.clone());
            tokio::spawn(async move {
                for _ in 0..pairs {
                    let id = RequestId::new().bare();
                    match pair(&db, &id).await {
                        Ok(()) => say(&file, &format!("ok {id}")),
                        Err(error) => say(&file, &format!("no {id} {error}")),
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

pub async fn pair(db: &Db, id: &str) -> Result<()> {
    let pad = std::env::var(PAD).map_or(300, |pad| pad.parse().unwrap());
    let mut tx = write(db).await?;
    for half in 0..2_i64 {
        let statement = "INSERT INTO pairs (id, half, pad) VALUES ($1, $2, $3)";
        tx.query(statement).bind(id).bind(half).bind("x".repeat(pad)).execute().await?;
    }
    tx.commit().await
}

/// One write(2) for each line, so that a kill loses none that was said.
fn say(file: &str, line: &str) {
    let mut said = OpenOptions::new().create(true).append(true).open(said(file)).unwrap();
    said.write_all(format!("{}\n", line.replace('\n', " ")).as_bytes()).unwrap();
}

fn said(file: &str) -> String {
    format!("{file}.said")
}

/// The command that runs one of the hidden processes here, behind another if one is named.
pub fn hidden(before: &[&str], test: &str, file: &str) -> Command {
    let own = std::env::current_exe().unwrap();
    let mut words = before.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    words.push(own.to_str().unwrap().to_owned());
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).args(["--exact", test, "--ignored", "--nocapture"]).env(FILE, file);
    command
}

/// Every pair acknowledged is there, and every one that is there is whole; how many of each, and what was
/// said to those refused.
fn compare(file: &str) -> (usize, usize, Vec<String>) {
    let said = fs::read_to_string(said(file)).unwrap();
    let of = |word: &str| -> Vec<String> {
        said.lines().filter_map(|line| line.strip_prefix(word)).map(str::to_owned).collect()
    };
    let acknowledged = of("ok ");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (pairs, sound): (Vec<(String, i64)>, (String,)) = runtime.block_on(async {
        let db = Db::connect(&format!("sqlite://{file}"), 2).await.unwrap();
        let mut conn = read(&db).await;
        let pairs = conn.query("SELECT id, COUNT(*) FROM pairs GROUP BY id").all().await.unwrap();
        (pairs, conn.query("PRAGMA integrity_check").one().await.unwrap())
    });
    assert_eq!(sound.0, "ok");
    assert!(pairs.iter().all(|(_, halves)| *halves == 2));
    let found: HashSet<&str> = pairs.iter().map(|(id, _)| id.as_str()).collect();
    for id in &acknowledged {
        assert!(found.contains(id.as_str()), "{id} was acknowledged");
    }
    for end in ["", "-wal", "-shm", ".said"] {
        let _ = fs::remove_file(format!("{file}{end}"));
    }
    (acknowledged.len(), pairs.len(), of("no "))
}

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    const ROUNDS: u64 = 30;
    let (mut acknowledged, mut found) = (0, 0);
    for round in 0..ROUNDS {
        let file = file();
        let mut child = hidden(&[], "crash::writing_pairs", &file).spawn().unwrap();
        while !fs::read_to_string(said(&file)).is_ok_and(|said| said.contains("ready")) {
            assert!(child.try_wait().unwrap().is_none());
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_micros(20_000 + (round * 7_919_123) % 400_000));
        child.kill().unwrap();
        child.wait().unwrap();
        let (ok, there, no) = compare(&file);
        assert!(no.is_empty(), "{no:?}");
        acknowledged += ok;
        found += there;
    }
    println!("{ROUNDS} kills: {acknowledged} units acknowledged, {found} found");
    assert!(acknowledged > 1000);
}

/// Runs the process to its end with some of its system calls made to fail; how many units were acknowledged,
/// refused and found.
fn broken(inject: &str) -> (usize, usize, usize) {
    let file = file();
    let told = broken_on(&file, inject, &[], 300);
    fs::remove_file(format!("{file}.trace")).unwrap();
    told
}

/// The same with further words for `strace` and rows of so many bytes.
fn broken_on(file: &str, inject: &str, further: &[&str], pad: usize) -> (usize, usize, usize) {
    let calls = format!("trace={}", inject.split(':').next().unwrap());
    let inject = format!("inject={inject}");
    let trace = format!("{file}.trace");
    let strace = ["strace", "-f", "-qq", "-o", &trace, "-e", &calls, "-e", &inject];
    let strace = [&strace[..], further].concat();
    let mut command = hidden(&strace, "crash::writing_pairs", file);
    let status = command.env(PAIRS, "20").env(PAD, pad.to_string()).status();
    assert!(status.expect("strace is installed; `make setup` does that").success());
    let (ok, found, no) = compare(file);
    println!("{inject}: {ok} acknowledged, {} refused, {found} found; {:?}", no.len(), no.first());
    assert_eq!(ok + no.len(), TASKS * 20, "everyone is answered");
    (ok, no.len(), found)
}

// Whoever was refused may yet be found: SQLite had written the commit, only the sync failed, so it counts
// when the file is next recovered, unless a later transaction has overwritten it by then.

#[test]
fn a_sync_that_fails_fails_everyone_in_the_transaction_and_nobody_acknowledged() {
    for when in ["12", "12+3", "12+"] {
        let (ok, no, found) = broken(&format!("fsync,fdatasync:error=EIO:when={when}"));
        assert!(no > 1 && (ok..=ok + no).contains(&found));
    }
}

/// DEG (fsync error): the log is copied to the file now and then, and what fails of that concerns no commit.
#[test]
fn a_sync_of_the_file_itself_that_fails_is_the_last_thing_that_is_tried() {
    let file = file();
    // It is made here, so that the first sync of it is of what is copied from the log…
    Db::sqlite(file.clone().into(), tenantry::store::Limits::default(), 1).unwrap();
    // …which is more than the log holds before it is copied.
    let (ok, no, found) = broken_on(&file, "fsync,fdatasync:error=EIO:when=1+", &["-P", &file], 24_000);
    assert!(no > 1 && ok > 1 && (ok..=ok + no).contains(&found));
    let trace = fs::read_to_string(format!("{file}.trace")).unwrap();
    assert_eq!(trace.lines().filter(|line| line.contains("(INJECTED)")).count(), 1, "{trace}");
    fs::remove_file(format!("{file}.trace")).unwrap();
}

#[test]
fn a_write_that_fails_fails_everyone_in_the_transaction_and_nobody_acknowledged() {
    for (error, when) in [("EIO", "200"), ("EIO", "200..600"), ("ENOSPC", "200..2000")] {
        let (ok, no, found) = broken(&format!("pwrite64:error={error}:when={when}"));
        assert!(no >= 1 && (ok..=ok + no).contains(&found));
    }
}

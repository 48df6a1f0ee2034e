//! Units of work that share a SQLite transaction.

use tenantry::store::Limits;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::*;

/// A database with an empty table, removed when it is dropped.
struct Table {
    db: Db,
    file: String,
}

impl std::ops::Deref for Table {
    type Target = Db;
    fn deref(&self) -> &Db {
        &self.db
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        for end in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{end}", self.file));
        }
    }
}

async fn table(limits: Limits) -> Table {
    let file = file();
    let db = Db::sqlite(file.clone().into(), limits, 4).unwrap();
    let mut tx = write(&db).await.unwrap();
    tx.query("CREATE TABLE t (id BIGINT PRIMARY KEY, pad TEXT)").execute().await.unwrap();
    tx.commit().await.unwrap();
    Table { db, file }
}

/// Under these the test itself decides when a transaction ends.
fn patient() -> Limits {
    Limits { span: Duration::from_secs(60), ..Limits::default() }
}

async fn insert(tx: &mut Tx, id: i64) -> Result<u64> {
    tx.query("INSERT INTO t (id) VALUES ($1)").bind(id).execute().await
}

/// A statement that runs for a while; what it says so far is undone with its unit.
const LONG: &str =
    "INSERT INTO t WITH RECURSIVE n (i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000)
     SELECT i, 'x' FROM n";

/// A statement that never ends by itself.
const ENDLESS: &str = "INSERT INTO t WITH RECURSIVE n (i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM n)
     SELECT i, 'x' FROM n";

async fn rows(db: &Db) -> Vec<i64> {
    let rows: Vec<(i64,)> = read(db).await.query("SELECT id FROM t ORDER BY id").all().await.unwrap();
    rows.into_iter().map(|(id,)| id).collect()
}

/// Time for others to come to where they must wait.
async fn settle() {
    sleep(Duration::from_millis(50)).await
}

/// A unit that waits for its turn now, and inserts and commits when it comes.
async fn queued(db: &Db, id: i64) -> JoinHandle<Result<()>> {
    let db = db.clone();
    let unit = tokio::spawn(async move {
        let mut tx = write(&db).await?;
        insert(&mut tx, id).await?;
        tx.commit().await
    });
    settle().await;
    unit
}

#[tokio::test]
async fn a_failing_unit_between_two_good_ones_leaves_both_good_and_nobody_is_answered_early() {
    let db = table(patient()).await;
    let mut first = write(&db).await.unwrap();
    insert(&mut first, 1).await.unwrap();
    let failing = queued(&db, 1).await;
    let (sender, go) = tokio::sync::oneshot::channel::<()>();
    let last = tokio::spawn({
        let db = db.clone();
        async move {
            let mut tx = write(&db).await.unwrap();
            insert(&mut tx, 3).await.unwrap();
            go.await.unwrap();
            tx.commit().await
        }
    });
    settle().await;
    let first = tokio::spawn(first.commit());
    settle().await;
    assert!(!first.is_finished(), "answered before the transaction it shares was durable");
    assert!(rows(&db).await.is_empty());
    assert!(failing.await.unwrap().unwrap_err().as_database_error().unwrap().is_unique_violation());
    sender.send(()).unwrap();
    first.await.unwrap().unwrap();
    last.await.unwrap().unwrap();
    assert_eq!(rows(&db).await, [1, 3]);
}

#[tokio::test]
async fn a_refusal_is_told_only_once_what_it_rests_on_is_durable() {
    let db = table(patient()).await;
    let mut first = write(&db).await.unwrap();
    insert(&mut first, 1).await.unwrap();
    let reading = tokio::spawn({
        let db = db.clone();
        async move {
            let mut tx = write(&db).await.unwrap();
            let (seen,): (i64,) = tx.query("SELECT COUNT(*) FROM t").one().await.unwrap();
            tx.undo().await.unwrap();
            seen
        }
    });
    settle().await;
    let (sender, go) = tokio::sync::oneshot::channel::<()>();
    let holding = tokio::spawn({
        let db = db.clone();
        async move {
            let tx = write(&db).await.unwrap();
            go.await.unwrap();
            tx.commit().await.unwrap();
        }
    });
    settle().await;
    let first = tokio::spawn(first.commit());
    settle().await;
    assert!(!reading.is_finished());
    sender.send(()).unwrap();
    assert_eq!(reading.await.unwrap(), 1);
    first.await.unwrap().unwrap();
    holding.await.unwrap();
}

#[tokio::test]
async fn a_dropped_unit_leaves_nothing_and_harms_nobody() {
    let db = table(patient()).await;
    let mut first = write(&db).await.unwrap();
    insert(&mut first, 1).await.unwrap();
    let dropped = tokio::spawn({
        let db = db.clone();
        async move {
            let mut tx = write(&db).await.unwrap();
            insert(&mut tx, 2).await.unwrap();
        }
    });
    settle().await;
    let last = queued(&db, 3).await;
    first.commit().await.unwrap();
    dropped.await.unwrap();
    last.await.unwrap().unwrap();
    assert_eq!(rows(&db).await, [1, 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unit_cut_off_while_a_statement_runs_leaves_nothing_and_harms_nobody() {
    let limits = Limits { hold: Duration::from_secs(30), wait: Duration::from_secs(60), ..patient() };
    let db = table(limits).await;
    let mut first = write(&db).await.unwrap();
    insert(&mut first, 1).await.unwrap();
    let cut = tokio::spawn({
        let db = db.clone();
        async move {
            let mut tx = write(&db).await.unwrap();
            insert(&mut tx, 2).await.unwrap();
            tx.query(LONG).execute().await.unwrap();
            tokio::task::yield_now().await;
            tx.commit().await.unwrap();
        }
    });
    settle().await;
    let last = queued(&db, 3).await;
    let first = tokio::spawn(first.commit());
    sleep(Duration::from_millis(100)).await;
    assert!(!cut.is_finished(), "the statement was over too soon to be cut off");
    cut.abort();
    assert!(cut.await.unwrap_err().is_cancelled());
    first.await.unwrap().unwrap();
    last.await.unwrap().unwrap();
    assert_eq!(rows(&db).await, [1, 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_runs_longer_than_a_unit_may_is_cut_off_with_its_unit() {
    let db = table(Limits { hold: Duration::from_millis(200), ..patient() }).await;
    let mut tx = write(&db).await.unwrap();
    insert(&mut tx, 1).await.unwrap();
    let error = tx.query(ENDLESS).execute().await.unwrap_err();
    assert!(error.to_string().contains("interrupted"), "{error}");
    assert!(insert(&mut tx, 2).await.is_err());
    assert!(tx.commit().await.is_err());
    queued(&db, 3).await.await.unwrap().unwrap();
    assert_eq!(rows(&db).await, [3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_share_a_transaction_with_an_endless_statement_are_told_the_truth() {
    let db = table(Limits { hold: Duration::from_millis(200), ..patient() }).await;
    let mut first = write(&db).await.unwrap();
    insert(&mut first, 1).await.unwrap();
    let endless = tokio::spawn({
        let db = db.clone();
        async move {
            let mut tx = write(&db).await.unwrap();
            tx.query(ENDLESS).execute().await.unwrap_err()
        }
    });
    settle().await;
    // SQLite takes the whole transaction back with the statement that is cut off.
    assert!(first.commit().await.is_err());
    endless.await.unwrap();
    assert!(rows(&db).await.is_empty());
    queued(&db, 3).await.await.unwrap().unwrap();
    assert_eq!(rows(&db).await, [3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn units_cut_off_at_any_moment_take_effect_whole_or_not_at_all() {
    const UNITS: i64 = 4000;
    let db = table(Limits::default()).await;
    let units: Vec<_> = (0..UNITS)
        .map(|n| {
            let db = db.clone();
            let work = async move {
                let mut tx = write(&db).await?;
                insert(&mut tx, 2 * n).await?;
                insert(&mut tx, 2 * n + 1).await?;
                tx.commit().await
            };
            tokio::spawn(async move { (n, cut_off(work, n as u64 % 16).await) })
        })
        .collect();
    let mut acknowledged = Vec::new();
    for unit in units {
        if let (n, Some(Ok(()))) = unit.await.unwrap() {
            acknowledged.push(n);
        }
    }
    queued(&db, -1).await.await.unwrap().unwrap();
    let found: HashSet<i64> = rows(&db).await.into_iter().collect();
    for n in &acknowledged {
        assert!(found.contains(&(2 * n)), "{n} was acknowledged");
    }
    assert!((0..UNITS).all(|n| found.contains(&(2 * n)) == found.contains(&(2 * n + 1))));
    println!("{} of {UNITS} acknowledged, {} took effect", acknowledged.len(), found.len() / 2);
    assert!((100..UNITS as usize - 100).contains(&acknowledged.len()));
}

#[tokio::test]
async fn a_unit_that_never_finishes_loses_its_turn_and_its_neighbours_do_not() {
    let db = table(Limits { hold: Duration::from_millis(200), ..patient() }).await;
    let mut first = write(&db).await.unwrap();
    insert(&mut first, 1).await.unwrap();
    let stuck = tokio::spawn({
        let db = db.clone();
        async move {
            let mut tx = write(&db).await.unwrap();
            insert(&mut tx, 2).await.unwrap();
            sleep(Duration::from_millis(600)).await;
            let late = insert(&mut tx, 4).await.is_err();
            (late, tx.commit().await.is_err())
        }
    });
    settle().await;
    let last = queued(&db, 3).await;
    first.commit().await.unwrap();
    last.await.unwrap().unwrap();
    assert_eq!(stuck.await.unwrap(), (true, true));
    std::mem::forget(write(&db).await.unwrap());
    queued(&db, 5).await.await.unwrap().unwrap();
    assert_eq!(rows(&db).await, [1, 3, 5]);
}

#[tokio::test]
async fn a_wait_that_is_too_long_ends_without_a_trace() {
    let db = table(Limits { wait: Duration::from_millis(100), ..patient() }).await;
    let mut first = write(&db).await.unwrap();
    insert(&mut first, 1).await.unwrap();
    assert!(matches!(write(&db).await, Err(sqlx::Error::PoolTimedOut)));
    first.commit().await.unwrap();
    queued(&db, 2).await.await.unwrap().unwrap();
    assert_eq!(rows(&db).await, [1, 2]);
}

#[tokio::test]
async fn when_the_whole_transaction_is_lost_every_unit_in_it_hears_of_it() {
    let db = table(patient()).await;
    let mut first = write(&db).await.unwrap();
    let _: (i64,) = first.query("PRAGMA max_page_count = 40").one().await.unwrap();
    insert(&mut first, 1).await.unwrap();
    let filling = tokio::spawn({
        let db = db.clone();
        async move {
            let mut tx = write(&db).await.unwrap();
            let pad = "x".repeat(3000);
            for id in 100.. {
                let filled = tx.query("INSERT INTO t VALUES ($1, $2)").bind(id).bind(&pad).execute().await;
                if let Err(error) = filled {
                    // What SQLite would now commit by itself, statement by statement.
                    assert!(insert(&mut tx, 50).await.is_err());
                    return (error, tx.commit().await);
                }
            }
            unreachable!()
        }
    });
    settle().await;
    let next = queued(&db, 3).await;
    let first = first.commit().await;
    let (full, filling) = filling.await.unwrap();
    assert!(full.to_string().contains("full"), "{full}");
    assert!(filling.is_err());
    let next = next.await.unwrap();
    println!("before it: {first:?}; after it: {next:?}");
    let told: Vec<i64> =
        [(first.is_ok(), 1), (next.is_ok(), 3)].iter().filter(|(ok, _)| *ok).map(|(_, id)| *id).collect();
    assert_eq!(rows(&db).await, told);
    queued(&db, 4).await.await.unwrap().unwrap();
    assert!(rows(&db).await.contains(&4));
}

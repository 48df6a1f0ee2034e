//! Writes on PostgreSQL of which the beginning was cut off.

use tenantry::store::facts;

use super::*;

const ROUNDS: u64 = 300;

/// A small pool on the schema of `fresh`, so that every connection is soon lent again.
async fn small(fresh: &Fresh) -> Db {
    Db::connect(&fresh.url, 2).await.unwrap()
}

async fn keep(db: &Db, name: &str) -> Result<()> {
    let mut tx = write(db).await?;
    facts::insert(&mut tx, name, "kept").await?;
    tx.commit().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_acknowledged_after_begins_that_were_cut_off_is_there() {
    let fresh = Fresh::postgres().await;
    let db = small(&fresh).await;
    let mut cut = 0;
    for round in 0..ROUNDS {
        cut += u64::from(cut_off(write(&db), 1 + round % 3).await.is_none());
        // A statement that fails inside what was left open would leave it good for nothing.
        let wrong = read(&db).await.query("SELECT CAST('no number' AS BIGINT)").optional::<(i64,)>().await;
        assert!(wrong.is_err());
        let name = format!("kept {round}");
        keep(&db, &name).await.unwrap_or_else(|error| panic!("{round}: {error}"));
        let mut beside = read(&fresh.db).await;
        let found = facts::find(&mut beside, &name).await.unwrap();
        assert_eq!(found.as_deref(), Some("kept"), "{round} was acknowledged");
    }
    println!("{cut} of {ROUNDS} begins cut off");
    assert!(cut > ROUNDS / 10);
    db.close().await;
    fresh.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_unit_of_work_goes_on_in_what_another_began() {
    let fresh = Fresh::postgres().await;
    let db = small(&fresh).await;
    for round in 0..ROUNDS {
        let _ = cut_off(write(&db), 1 + round % 3).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        let asked = facts::database_time(&mut read(&fresh.db).await).await.unwrap();
        let mut tx = write(&db).await.unwrap();
        let statement = "SELECT now() >= CAST($1 AS TIMESTAMPTZ), current_setting('app.subtree')";
        let began: (bool, String) = tx.query(statement).bind(asked).one().await.unwrap();
        assert_eq!(began, (true, "/".to_owned()), "round {round}");
        tx.undo().await.unwrap();
    }
    db.close().await;
    fresh.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_cut_off_at_any_moment_take_effect_whole_or_not_at_all() {
    const UNITS: u64 = 600;
    let fresh = Fresh::postgres().await;
    let db = small(&fresh).await;
    let mut acknowledged = Vec::new();
    for chunk in (0..UNITS).collect::<Vec<_>>().chunks(4) {
        let units: Vec<_> = chunk
            .iter()
            .map(|&n| {
                let db = db.clone();
                let work = async move {
                    let mut tx = write(&db).await?;
                    for half in ["one", "two"] {
                        facts::insert(&mut tx, &format!("{n} {half}"), "").await?;
                    }
                    tx.commit().await
                };
                tokio::spawn(async move { (n, cut_off(work, 1 + n % 14).await) })
            })
            .collect();
        for unit in units {
            match unit.await.unwrap() {
                (n, Some(Ok(()))) => acknowledged.push(n),
                (n, Some(Err(error))) => panic!("{n}: {error}"),
                (_, None) => {}
            }
        }
    }
    keep(&db, "the last one").await.unwrap();
    let rows: Vec<(String,)> = read(&fresh.db).await.query("SELECT name FROM facts").all().await.unwrap();
    let found: HashSet<String> = rows.into_iter().map(|(name,)| name).collect();
    for n in 0..UNITS {
        let halves = ["one", "two"].map(|half| found.contains(&format!("{n} {half}")));
        assert_eq!(halves[0], halves[1], "{n} is there by halves");
        assert!(halves[0] || !acknowledged.contains(&n), "{n} was acknowledged");
    }
    println!("{} of {UNITS} acknowledged", acknowledged.len());
    assert!((10..UNITS as usize - 10).contains(&acknowledged.len()));
    db.close().await;
    fresh.remove().await;
}

/// DEG-2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_server_has_ended_all_connections_one_request_at_most_fails() {
    let fresh = Fresh::postgres().await;
    let db = Db::connect(&fresh.url, 4).await.unwrap();
    // All four at once, so that all lie idle afterwards.
    let conns = futures_util::future::join_all((0..4).map(|_| read(&db))).await;
    drop(conns);
    let end = "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE usename = current_user AND pid <> pg_backend_pid() AND query LIKE '%only here%'";
    for mut conn in futures_util::future::join_all((0..4).map(|_| read(&db))).await {
        let _: (String,) = conn.query("SELECT 'only here'").one().await.unwrap();
    }
    let mut other = read(&fresh.db).await;
    let (ended,): (i64,) = other.query(end).one().await.unwrap();
    assert!(ended >= 1, "{ended}");
    let mut failed = 0;
    for n in 0..8 {
        failed += u32::from(keep(&db, &format!("kept {n}")).await.is_err());
    }
    assert!(failed <= 1, "{failed} of 8 failed");
    db.close().await;
    fresh.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_refused_a_statement_cannot_be_committed() {
    let fresh = Fresh::postgres().await;
    let mut tx = write(&fresh.db).await.unwrap();
    facts::insert(&mut tx, "lost", "with its neighbour").await.unwrap();
    assert!(tx.query("SELECT CAST('no number' AS BIGINT)").optional::<(i64,)>().await.is_err());
    assert!(tx.commit().await.is_err());
    assert_eq!(facts::find(&mut read(&fresh.db).await, "lost").await.unwrap(), None);
    fresh.remove().await;
}

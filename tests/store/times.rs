//! Times, to the microsecond.

use tenantry::model::Time;
use tenantry::model::ids::SigningKeyId;
use tenantry::store::facts::{self, SigningKeyRow};

use super::*;

/// Around what engines and texts could trip over: 1970, PostgreSQL's epoch, fractions that end in zeros.
fn times() -> Vec<Time> {
    let seconds =
        [-62_000_000_000, -1, 0, 1, 946_684_799, 946_684_800, 1_763_000_000, 4_102_444_800, 253_370_000_000];
    let fractions = [0, 1, 10, 999, 1000, 100_000, 123_456, 999_990, 999_999];
    let all = seconds.iter().flat_map(|second| fractions.map(|fraction| second * 1_000_000 + fraction));
    all.map(|micros| Time::from_micros(micros).unwrap()).collect()
}

on_both_engines! {
    async fn a_time_comes_back_as_it_was_and_compares_as_it_should(db: Db) {
        let times = times();
        let mut tx = write(&db).await.unwrap();
        let mut kept = Vec::new();
        for time in &times {
            let key = SigningKeyRow {
                id: SigningKeyId::new(),
                algorithm: "none".into(),
                private_key: String::new(),
                created_at: *time,
            };
            facts::insert_signing_key(&mut tx, &key).await.unwrap();
            kept.push((key.id, *time));
        }
        tx.commit().await.unwrap();
        let mut conn = read(&db).await;
        let mut found: Vec<_> = facts::signing_keys(&mut conn).await.unwrap().into_iter().map(|key| (key.id, key.created_at)).collect();
        found.sort_unstable();
        kept.sort_unstable();
        assert_eq!(found, kept);
        for time in &times {
            let before = "SELECT COUNT(*) FROM signing_keys WHERE created_at < $1";
            let (before,): (i64,) = conn.query(before).bind(*time).one().await.unwrap();
            assert_eq!(before, times.iter().filter(|other| *other < time).count() as i64, "{time}");
            let same = "SELECT COUNT(*) FROM signing_keys WHERE created_at = $1";
            let (same,): (i64,) = conn.query(same).bind(*time).one().await.unwrap();
            assert_eq!(same, 1, "{time}");
        }
        let ordered: Vec<(Time,)> =
            conn.query("SELECT created_at FROM signing_keys ORDER BY created_at").all().await.unwrap();
        assert!(ordered.is_sorted());
    }

    async fn what_the_clock_gives_is_what_comes_back(db: Db) {
        let now = tenantry::clock::Clock::system().now();
        let (back,): (Time,) = read(&db).await
            .query(tenantry::sql!("SELECT " sqlite("$1") pg("CAST($1 AS TIMESTAMPTZ)") " AS back"))
            .bind(now).one().await.unwrap();
        assert_eq!(back, now);
        let theirs = facts::database_time(&mut read(&db).await).await.unwrap();
        assert!(theirs.since(now).max(now.since(theirs)) < Duration::from_secs(2));
    }
}

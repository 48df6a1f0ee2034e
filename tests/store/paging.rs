//! Lists that are read page by page while others write.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tenantry::model::Path;
use tenantry::model::accounts::accounts::{Account, AccountType};
use tenantry::model::ids::AccountId;
use tenantry::store::accounts::accounts::page;

use super::common::{Recording, World};
use super::*;

/// The subtree's accounts, page by page, with time between the pages for others to write.
async fn walk(db: &Db, subtree: &Subtree, limit: i64) -> Vec<(Path, AccountId)> {
    let mut seen: Vec<(Path, AccountId)> = Vec::new();
    loop {
        let mut conn = db.read(subtree.clone()).await.unwrap();
        let rows = page(&mut conn, seen.last(), limit).await.unwrap();
        drop(conn);
        if rows.is_empty() {
            return seen;
        }
        seen.extend(rows.into_iter().map(|account| (account.path, account.id)));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn places(accounts: &[Account]) -> BTreeSet<(Path, AccountId)> {
    accounts.iter().map(|account| (account.path.clone(), account.id)).collect()
}

on_both_engines! {
    async fn pages_have_no_gap_and_nothing_twice_while_accounts_are_opened(db: Db) {
        let world = Arc::new(World::new(&db, &Recording::default()).await);
        let mut resellers = vec![world.reseller.clone()];
        for n in 0..4 {
            let of = world.actor(resellers.last().unwrap());
            resellers.push(World::open(&db, &of, AccountType::Reseller, &format!("Below {n}")).await);
        }
        let mut before = resellers.clone();
        for n in 0..50 {
            let of = world.actor(&resellers[n % resellers.len()]);
            before.push(World::open(&db, &of, AccountType::Tenant, &format!("Tenant {n}")).await);
        }
        before.push(world.tenant.clone());
        let over = Arc::new(AtomicBool::new(false));
        let opening = {
            let (world, resellers, over, db) = (world.clone(), resellers.clone(), over.clone(), db.clone());
            tokio::spawn(async move {
                let mut opened = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    let of = world.actor(&resellers[opened.len() % resellers.len()]);
                    opened.push(World::open(&db, &of, AccountType::Tenant, "Late").await);
                }
                opened
            })
        };
        let subtree = Subtree::of(&world.reseller.path);
        let mut walks = Vec::new();
        for limit in [1, 2, 7, 13] {
            walks.push(walk(&db, &subtree, limit).await);
        }
        over.store(true, Ordering::Relaxed);
        let opened = opening.await.unwrap();
        assert!(opened.len() > 5, "{} opened meanwhile", opened.len());
        let (before, late) = (places(&before), places(&opened));
        for walk in walks {
            assert!(walk.is_sorted_by(|one, next| one < next), "twice or out of order: {walk:?}");
            let seen: BTreeSet<_> = walk.into_iter().collect();
            assert!(before.is_subset(&seen), "missing: {:?}", before.difference(&seen));
            assert!(seen.difference(&before).all(|place| late.contains(place)));
        }
        let all: Vec<_> = walk(&db, &subtree, 10).await;
        assert_eq!(all, before.union(&late).cloned().collect::<Vec<_>>());
    }
}

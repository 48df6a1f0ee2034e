//! Quota taken by many at once through the product's own functions, below a tree of six levels with a ceiling on each; in
//! the end every counter must be exactly what was accepted, and none above its ceiling.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clap::Args;
use serde::Serialize;
use tenantry::clock::Clock;
use tenantry::domain::accounts::accounts::{Opening, create, create_root};
use tenantry::domain::{self, Error, Work, quotas};
use tenantry::model::accounts::accounts::{Account, AccountType, Environment};
use tenantry::model::events::events::Cause;
use tenantry::model::ids::{KeyId, RequestId, SubscriptionId};
use tenantry::model::quotas::{Mode, Quota, QuotaKey};
use tenantry::model::{Actor, Path, Subtree};
use tenantry::store::{self, Db};

#[derive(Args)]
pub struct Settings {
    /// The database, migrated, as the product names it; the accounts are made in it
    #[arg(long)]
    database: String,
    #[arg(long, default_value_t = 64)]
    tasks: usize,
    /// How often quota is asked for, by all tasks together
    #[arg(long, default_value_t = 1_000_000)]
    attempts: u64,
}

/// Nothing else in a database of `benches/run` takes of it.
const KEY: QuotaKey = QuotaKey::WebSites;
const CONNECTIONS: u32 = 16;
const SUBSCRIPTIONS: u64 = 8;
/// An attempt asks for one to so many, two on average.
const MOST: u64 = 3;
/// Of so many that are accepted one is given back, and of another one the reservation becomes use.
const TURNS: u64 = 8;
const PLENTY: i64 = 1_000_000_000_000;

#[derive(Serialize)]
struct Summary {
    attempts: u64,
    accepted: u64,
    refused: u64,
    /// Of the accepted.
    given_back: u64,
    seconds: f64,
    per_second: f64,
    levels: usize,
    /// What all levels together hold above their ceilings.
    overshoot: i64,
    /// Levels whose counters are not what was accepted.
    wrong: Vec<String>,
}

pub fn run(settings: Settings) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let summary = runtime.block_on(reserving(settings))?;
    println!("{}", serde_json::to_string(&summary)?);
    anyhow::ensure!(summary.overshoot == 0, "ceilings were passed");
    anyhow::ensure!(summary.wrong.is_empty(), "counters are not what was accepted");
    Ok(())
}

async fn reserving(settings: Settings) -> anyhow::Result<Summary> {
    let bench = Arc::new(Bench {
        db: Db::connect(&settings.database, CONNECTIONS).await?,
        clock: Clock::system(),
        next: AtomicU64::new(0),
        attempts: settings.attempts,
    });
    let tree = Arc::new(bench.tree().await?);
    let begun = Instant::now();
    let tasks: Vec<_> =
        (0..settings.tasks).map(|_| tokio::spawn(taking(bench.clone(), tree.clone()))).collect();
    let mut all = Taken::default();
    for task in tasks {
        all.join(task.await??);
    }
    let seconds = begun.elapsed().as_secs_f64();
    let (levels, overshoot, wrong) = bench.verified(&tree, &all).await?;
    let Taken { accepted, refused, given_back, .. } = all;
    let attempts = accepted + refused;
    let per_second = attempts as f64 / seconds;
    Ok(Summary { attempts, accepted, refused, given_back, seconds, per_second, levels, overshoot, wrong })
}

struct Bench {
    db: Db,
    clock: Clock,
    next: AtomicU64,
    attempts: u64,
}

/// Whose quota is taken: subscriptions, each with the tenant whose it is.
struct Tree {
    operator: Account,
    leaves: Vec<(SubscriptionId, Account)>,
}

/// What came of the attempts.
#[derive(Default)]
struct Taken {
    accepted: u64,
    refused: u64,
    given_back: u64,
    /// What is kept, by subscription.
    kept: BTreeMap<SubscriptionId, i64>,
}

impl Taken {
    fn join(&mut self, other: Taken) {
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.given_back += other.given_back;
        for (subscription, amount) in other.kept {
            *self.kept.entry(subscription).or_default() += amount;
        }
    }
}

impl Bench {
    /// An operator, a distributor, and below it resellers on three levels, two by two, and eight tenants with a
    /// subscription each.
    async fn tree(&self) -> anyhow::Result<Tree> {
        let tx = self.db.write(Subtree::everything()).await?;
        let cause = Cause { key_id: None, request_id: None, reason_code: None };
        let mut work = Work::because(tx, cause, self.clock.now());
        let operator = create_root(&mut work, "Operator", Environment::Live).await?;
        work.finish().await?;
        let mut conn = self.db.read(Subtree::everything()).await?;
        let before = store::quotas::quotas::of_key(&mut conn, KEY).await?;
        anyhow::ensure!(before.is_empty(), "{KEY} has ceilings in this database already");
        drop(conn);
        let of = actor(&operator, &self.clock);
        let mut levels = vec![vec![operator.clone()]];
        for (account_type, each) in [
            (AccountType::Distributor, 1),
            (AccountType::Reseller, 1),
            (AccountType::Reseller, 2),
            (AccountType::Reseller, 2),
            (AccountType::Tenant, 2),
        ] {
            let mut level = Vec::new();
            for parent in &levels[levels.len() - 1] {
                for _ in 0..each {
                    let opening = opening(parent, account_type);
                    let made = act(&self.db, &of, async |work| create(work, &of, opening).await).await?;
                    level.push(made.into_inner());
                }
            }
            levels.push(level);
        }
        let tenants = levels[levels.len() - 1].iter();
        let leaves: Vec<_> = tenants.map(|tenant| (SubscriptionId::new(), tenant.clone())).collect();
        let tight = self.tight(&levels, &leaves);
        let accounts = levels.iter().flatten().map(|account| (account.path.to_string(), account));
        let holders = accounts.chain(leaves.iter().map(|(id, tenant)| (id.to_string(), tenant)));
        let mut tx = self.db.write(Subtree::everything()).await?;
        for (holder, account) in holders {
            let quota = Quota {
                ceiling: tight.get(&holder).copied().unwrap_or(PLENTY),
                holder,
                key: KEY,
                account_id: account.id,
                path: account.path.clone(),
                mode: Mode::Shared,
                used: 0,
                reserved: 0,
                updated_at: self.clock.now(),
            };
            store::quotas::quotas::put(&mut tx, &quota).await?;
        }
        tx.commit().await?;
        Ok(Tree { operator, leaves })
    }

    /// The ceilings that refuse about a ninth of all: on a subscription, on the reseller above two, on the operator.
    fn tight(&self, levels: &[Vec<Account>], leaves: &[(SubscriptionId, Account)]) -> BTreeMap<String, i64> {
        // What would be kept of what is asked of one subscription.
        let each = self.attempts as f64 / SUBSCRIPTIONS as f64 * 2.0 * (1.0 - 1.0 / TURNS as f64);
        let ceiling = |part: f64, subscriptions: f64| (part * subscriptions * each) as i64;
        BTreeMap::from([
            (leaves[0].0.to_string(), ceiling(0.5, 1.0)),
            (levels[4][1].path.to_string(), ceiling(0.85, 2.0)),
            (levels[0][0].path.to_string(), ceiling(0.885, 8.0)),
        ])
    }

    /// How many levels there are, what they hold above their ceilings, and which are not what was accepted.
    async fn verified(&self, tree: &Tree, all: &Taken) -> anyhow::Result<(usize, i64, Vec<String>)> {
        let mut due: BTreeMap<String, i64> = BTreeMap::new();
        for (id, tenant) in &tree.leaves {
            let kept = all.kept.get(id).copied().unwrap_or_default();
            let above = tenant.path.upwards().map(|path: Path| path.to_string());
            for holder in above.chain([id.to_string()]) {
                *due.entry(holder).or_default() += kept;
            }
        }
        let mut conn = self.db.read(Subtree::everything()).await?;
        let rows = store::quotas::quotas::of_key(&mut conn, KEY).await?;
        let mut overshoot = 0;
        let mut wrong = Vec::new();
        for (holder, kept) in &due {
            let row = rows.iter().find(|row| row.holder == *holder);
            let held = row.map(|row| row.used + row.reserved);
            overshoot += row.map_or(0, |row| (row.used + row.reserved - row.ceiling).max(0));
            if held != Some(*kept) {
                wrong.push(format!("{holder} holds {held:?}, accepted were {kept}"));
            }
        }
        Ok((due.len(), overshoot, wrong))
    }
}

/// Takes its share of the attempts, one after another.
async fn taking(bench: Arc<Bench>, tree: Arc<Tree>) -> anyhow::Result<Taken> {
    let mut all = Taken::default();
    loop {
        let number = bench.next.fetch_add(1, Ordering::Relaxed);
        if number >= bench.attempts {
            return Ok(all);
        }
        let (round, leaf) = (number / SUBSCRIPTIONS, (number % SUBSCRIPTIONS) as usize);
        let (id, tenant) = &tree.leaves[leaf];
        let amount = i64::try_from(1 + round % MOST)?;
        let of = actor(&tree.operator, &bench.clock);
        let asked =
            act(&bench.db, &of, async |work| quotas::charge(work, *id, &tenant.path, &[(KEY, amount)]).await);
        let taken = match asked.await {
            Ok(taken) => taken,
            Err(Error::QuotaExceeded { .. }) => {
                all.refused += 1;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        all.accepted += 1;
        let turn = round / MOST % TURNS;
        if turn < 2 {
            act(&bench.db, &of, async |work| {
                match turn {
                    0 => quotas::release(work, &taken),
                    _ => quotas::commit(work, &taken),
                }
                Ok(())
            })
            .await?;
        }
        match turn {
            0 => all.given_back += 1,
            _ => *all.kept.entry(*id).or_default() += amount,
        }
    }
}

/// As the door does it: records, settles and commits, or leaves nothing.
async fn act<T>(
    db: &Db,
    actor: &Actor,
    use_case: impl AsyncFnOnce(&mut Work) -> domain::Result<T>,
) -> domain::Result<T> {
    let tx = loop {
        match db.write(actor.subtree()).await {
            // Nothing was begun: a caller is told to try again, and does.
            Err(sqlx::Error::PoolTimedOut) => {}
            begun => break begun?,
        }
    };
    let mut work = Work::of(tx, actor);
    let made = use_case(&mut work).await?;
    work.record(None).await?;
    work.settle(Some(actor)).await?;
    work.tx.commit().await?;
    Ok(made)
}

fn actor(account: &Account, clock: &Clock) -> Actor {
    Actor {
        principal_id: account.id,
        principal_path: account.path.clone(),
        subject_id: account.id,
        subject_path: account.path.clone(),
        reach: Subtree::of(&account.path),
        actors: Arc::new([]),
        key_id: KeyId::new(),
        scopes: Arc::new([]),
        hold_classes: Arc::new([]),
        allowed_addresses: Arc::new([]),
        expires_at: None,
        spend_cap: None,
        member_id: None,
        is_public: false,
        batch_id: None,
        environment: account.environment,
        request_id: RequestId::new(),
        address: None,
        now: clock.now(),
    }
}

fn opening(parent: &Account, account_type: AccountType) -> Opening {
    Opening {
        parent_id: Some(parent.id),
        account_type,
        environment: None,
        name: "Reservations".into(),
        contact_email: None,
        country: None,
        locale: None,
        time_zone: None,
        currency: None,
        external_id: None,
        metadata: BTreeMap::new(),
        fingerprint: String::new(),
    }
}

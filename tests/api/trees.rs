//! Whatever goes on in whatever tree: no commit passes a ceiling, and at the end all is counted where it belongs.

use std::collections::BTreeMap;
use std::sync::Mutex;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use tenantry::model::quotas::{Mode, Quota};
use tenantry::model::{Json, Path, Subtree};

use super::addons::more_mailboxes;
use super::trees_life::{Act, KEYS, Life, SELLERS, life};
use super::*;
use crate::common::Fresh;

/// Levels of the tree, the operator's and the tenants' with them.
const DEEPEST: usize = 6;

/// Keeps every change of a counter that is committed: a transaction moves each once, so every row is what a commit left.
async fn watch(fresh: &Fresh) {
    let table = "CREATE TABLE watched (holder TEXT, key TEXT, was BIGINT, used BIGINT, reserved BIGINT, ceiling BIGINT);";
    let note = "INSERT INTO watched VALUES
        (NEW.holder, NEW.key, OLD.used + OLD.reserved, NEW.used, NEW.reserved, NEW.ceiling);";
    let trigger = match fresh.url.starts_with("postgres") {
        false => format!("CREATE TRIGGER watch AFTER UPDATE ON quotas BEGIN {note} END;"),
        true => format!(
            "GRANT INSERT, SELECT ON watched TO tenantry_app;
             CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {note} RETURN NULL; END $$;
             CREATE TRIGGER watch AFTER UPDATE ON quotas FOR EACH ROW EXECUTE FUNCTION watch();"
        ),
    };
    fresh.tamper(&format!("{table} {trigger}")).await;
}

/// What there is to be chosen from, and what came of it all.
#[derive(Default)]
struct Known {
    accounts: Vec<String>,
    subscriptions: Vec<String>,
    /// Mail services, each with its domain.
    services: Vec<(String, String)>,
    mailboxes: Vec<String>,
    named: usize,
    came: BTreeMap<(&'static str, String), usize>,
}

/// A request that can be sent again.
struct Asked {
    method: &'static str,
    path: String,
    body: Value,
}

struct Tree<'s> {
    site: &'s Site,
    /// Of how many levels it is.
    depth: usize,
    known: Mutex<Known>,
}

/// One of them, as long as there are any.
fn one<T: Clone>(of: &[T], at: usize) -> Option<T> {
    (!of.is_empty()).then(|| of[at % of.len()].clone())
}

const PLANS: [(&str, i64, &str); 3] =
    [("whole", 1, "allocated"), ("larger", 3, "allocated"), ("shared", 4, "shared")];

async fn catalogue(site: &Site, world: &World) {
    for (code, per_unit, mode) in PLANS {
        let quotas = json!([
            {"key": "mail.domains", "included": 1},
            {"key": KEYS[0], "per_unit": per_unit, "mode": mode},
            {"key": KEYS[1], "per_unit": 100 * per_unit, "mode": mode},
        ]);
        let terms = json!({"virtual_server_id": world.virtual_server, "services": [{"type": "mail"}], "quotas": quotas});
        let plan = json!({"code": code, "name": code, "terms": terms});
        site.post("/v1/plans").key(&site.operator_key).json(plan).send().await.is(201);
    }
    more_mailboxes(site, &site.operator_key, "more", json!({})).await;
}

impl<'s> Tree<'s> {
    /// The tree as it is drawn; who would stand too deep stands higher.
    async fn grown(site: &'s Site, operator: &str, life: &Life, named: usize) -> Self {
        let (mut accounts, mut above, mut depths) = (vec![operator.to_owned()], vec![0], vec![1]);
        for parent in &life.tree {
            let sells = accounts.len() < SELLERS;
            let mut parent = *parent;
            while depths[parent] + usize::from(sells) >= DEEPEST {
                parent = above[parent];
            }
            let kind = if sells { "reseller" } else { "tenant" };
            let asked = json!({"type": kind, "name": format!("Account {}", accounts.len()), "parent_id": accounts[parent]});
            accounts.push(
                site.post("/v1/accounts").key(&site.operator_key).json(asked).send().await.is(201).id(),
            );
            above.push(parent);
            depths.push(depths[parent] + 1);
        }
        let depth = depths.into_iter().max().unwrap_or_default();
        let tree = Self { site, depth, known: Mutex::new(Known { accounts, named, ..Known::default() }) };
        for bound in &life.bounds {
            tree.done(bound).await;
        }
        tree
    }

    /// The request that an act is, as long as there is what it is done to.
    fn asked(&self, act: &Act) -> Option<Asked> {
        let known = &mut *self.known.lock().unwrap();
        known.named += 1;
        let domain = format!("d{}.example", known.named);
        let tenant = |at: usize| one(&known.accounts[SELLERS..], at);
        let subscription = |at: usize, verb: &str, body: Value| {
            Some((format!("/v1/subscriptions/{}/{verb}", one(&known.subscriptions, at)?), body))
        };
        let mailbox = |address: String, size: i64| json!({"type": "mailbox", "spec": {"address": address, "quota_mb": size}});
        let (path, body) = match *act {
            Act::Order { account, plan, quantity, mailboxes } => {
                let mut resources = vec![json!({"type": "domain", "spec": {"name": domain}})];
                resources.extend((0..mailboxes).map(|n| mailbox(format!("m{n}@{domain}"), 50)));
                let mut order = add(PLANS[plan % PLANS.len()].0, quantity, json!(resources));
                order["account_id"] = json!(tenant(account)?);
                ("/v1/orders".to_owned(), order)
            }
            Act::Quantity { subscription: at, quantity } => {
                subscription(at, "change_quantity", json!({"quantity": quantity}))?
            }
            Act::Plan { subscription: at, plan } => {
                subscription(at, "change_plan", json!({"plan": PLANS[plan % PLANS.len()].0}))?
            }
            Act::Addon { subscription: at, quantity } => {
                subscription(at, "change_addon", json!({"addon": "more", "quantity": quantity}))?
            }
            Act::Cancel { subscription: at } => subscription(at, "cancel", json!({"when": "now"}))?,
            Act::Renew { subscription: at } => subscription(at, "renew", json!({}))?,
            Act::Transfer { subscription: at, account } => {
                subscription(at, "transfer", json!({"account_id": tenant(account)?}))?
            }
            Act::Mailbox { service, size } => {
                let (service, domain) = one(&known.services, service)?;
                let address = format!("x{}@{domain}", known.named);
                (format!("/v1/services/{service}/resources"), mailbox(address, size))
            }
            Act::Delete { mailbox } => {
                let path = format!("/v1/resources/{}", one(&known.mailboxes, mailbox)?);
                return Some(Asked { method: "DELETE", path, body: Value::Null });
            }
            Act::Move { account, below } => {
                let (account, below) =
                    (one(&known.accounts[1..], account)?, one(&known.accounts[..SELLERS], below)?);
                (format!("/v1/accounts/{account}/move"), json!({"parent_id": below}))
            }
            Act::Ceiling { account, key, ceiling, allocated } => {
                let path = format!("/v1/accounts/{}/quotas/{}", one(&known.accounts, account)?, KEYS[key]);
                let mode = if allocated { "allocated" } else { "shared" };
                return Some(Asked { method: "PUT", path, body: json!({"ceiling": ceiling, "mode": mode}) });
            }
        };
        Some(Asked { method: "POST", path, body })
    }

    /// Does it, again for as long as the server asks for that, and notes what came of it.
    async fn done(&self, act: &Act) {
        let Some(asked) = self.asked(act) else { return };
        let send = || {
            let call = self
                .site
                .call(asked.method.parse().unwrap(), &asked.path)
                .key(&self.site.operator_key)
                .wait(10);
            let call = if asked.method == "PUT" { call.anyway() } else { call };
            if asked.body.is_null() { call.send() } else { call.json(asked.body.clone()).send() }
        };
        let mut answer = send().await;
        for _ in 0..100 {
            if answer.status < 400 || answer.body["retryable"] != true {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            answer = send().await;
        }
        // Each name is new: one that is taken was taken by what the server had said to do again.
        assert!(answer.status < 500 && answer.code() != "name_taken", "{act:?}: {}", answer.text);
        self.noted(act, &asked, &answer);
    }

    fn noted(&self, act: &Act, asked: &Asked, answer: &Answer) {
        let known = &mut *self.known.lock().unwrap();
        let code = answer.body["code"].as_str().unwrap_or("done").to_owned();
        *known.came.entry((act.name(), code)).or_default() += 1;
        if answer.status >= 300 {
            return;
        }
        match act {
            Act::Order { .. } => {
                known.subscriptions.push(answer.text_of("/items/0/subscription_id"));
                let domain = asked.body["items"][0]["resources"][0]["spec"]["name"].as_str().unwrap();
                known.services.push((answer.text_of("/items/0/service_ids/0"), domain.to_owned()));
                let made = answer.body["items"][0]["resource_ids"].as_array().unwrap();
                known.mailboxes.extend(made.iter().skip(1).map(|id| id.as_str().unwrap().to_owned()));
            }
            Act::Mailbox { .. } => known.mailboxes.push(answer.id()),
            _ => {}
        }
    }

    /// All callers at once, each one act after another.
    async fn lived(&self, life: &Life) {
        let callers = life.callers.iter().map(async |acts| {
            for act in acts {
                self.done(act).await;
            }
        });
        futures_util::future::join_all(callers).await;
        until("all that was begun has ended", async || {
            let open = "SELECT COUNT(*) FROM operations WHERE status IN ('queued', 'running')";
            self.site
                .db
                .read(Subtree::everything())
                .await
                .unwrap()
                .query(open)
                .one::<(i64,)>()
                .await
                .unwrap()
                .0
                == 0
        })
        .await;
    }
}

/// Everything there is, counted anew from what lies in the services.
struct Count {
    quotas: Vec<Quota>,
    accounts: Vec<(String, Path)>,
    subscriptions: Vec<(String, Path)>,
    /// Of each resource the subscription it is in, and what it is.
    resources: Vec<(String, Json<Value>)>,
}

impl Count {
    async fn of(site: &Site) -> Self {
        let mut conn = site.db.read(Subtree::everything()).await.unwrap();
        let quotas =
            "SELECT holder, key, account_id, path, mode, ceiling, used, reserved, updated_at FROM quotas";
        let resources =
            "SELECT s.subscription_id, r.spec FROM resources r JOIN services s ON s.id = r.service_id
                         WHERE r.lifecycle NOT IN ('failed', 'deleted')";
        Self {
            quotas: conn.query(quotas).all().await.unwrap(),
            accounts: conn.query("SELECT id, path FROM accounts").all().await.unwrap(),
            subscriptions: conn.query("SELECT id, path FROM subscriptions").all().await.unwrap(),
            resources: conn.query(resources).all().await.unwrap(),
        }
    }

    fn row(&self, holder: &str, key: &str) -> Option<&Quota> {
        self.quotas.iter().find(|quota| quota.holder == holder && quota.key.as_str() == key)
    }

    /// What lies in a subscription.
    fn in_subscription(&self, id: &str, key: &str) -> i64 {
        let inside = self.resources.iter().filter(|(of, spec)| of == id && spec.0["type"] == "mailbox");
        let amount =
            |spec: &Value| if key == KEYS[0] { 1 } else { spec["spec"]["quota_mb"].as_i64().unwrap() };
        inside.map(|(_, spec)| amount(&spec.0)).sum()
    }

    /// What an account's subscriptions and the accounts directly below it draw from it.
    fn in_account(&self, path: &Path, key: &str) -> i64 {
        let draws = |holder: &str, used: i64| match self.row(holder, key) {
            Some(row) if row.mode == Mode::Allocated => row.ceiling,
            _ => used,
        };
        let own = self.subscriptions.iter().filter(|(_, place)| place == path);
        let own = own.map(|(id, _)| draws(id, self.in_subscription(id, key)));
        let is_child = |place: &Path| path.covers(place) && place.depth() == path.depth() + 1;
        let below = self.accounts.iter().filter(|(_, place)| is_child(place));
        let below = below.map(|(_, place)| draws(place.as_str(), self.in_account(place, key)));
        own.chain(below).sum()
    }

    fn check(&self) {
        for key in KEYS {
            let subscriptions =
                self.subscriptions.iter().map(|(id, _)| (id.clone(), self.in_subscription(id, key)));
            let accounts =
                self.accounts.iter().map(|(_, path)| (path.to_string(), self.in_account(path, key)));
            for (holder, counted) in subscriptions.chain(accounts) {
                match self.row(&holder, key) {
                    Some(row) => assert_eq!((row.used, row.reserved), (counted, 0), "{row:?}"),
                    None => {
                        assert!(holder.starts_with('/') || counted == 0, "{holder} has {counted} of {key}")
                    }
                }
            }
        }
    }
}

async fn check_commits(site: &Site) -> usize {
    let mut conn = site.db.read(Subtree::everything()).await.unwrap();
    let watched = "SELECT holder, key, was, used, reserved, ceiling FROM watched";
    let commits: Vec<(String, String, i64, i64, i64, i64)> = conn.query(watched).all().await.unwrap();
    for commit in &commits {
        let (_, _, was, used, reserved, ceiling) = commit;
        assert!(*used >= 0 && *reserved >= 0, "less than nothing is taken: {commit:?}");
        // A ceiling that was lowered below the use lets nothing more in.
        assert!(used + reserved <= *ceiling || used + reserved <= *was, "over its ceiling: {commit:?}");
    }
    commits.len()
}

on_both_servers! {
    /// M2, P5, JOB-10
    async fn whatever_callers_do_at_once_in_whatever_tree_no_commit_passes_a_ceiling_and_the_recount_is_equal(site: With::workers()) {
        let world = site.world().await;
        catalogue(site, &world).await;
        watch(&site.fresh).await;
        let lives = if std::env::var("TEST_LONG").is_ok() { 50 } else { 2 };
        let (mut came, mut named, mut deepest) = (BTreeMap::new(), 0, 0);
        for seed in 0..lives {
            let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]));
            eprintln!("the life of seed {seed}");
            let life = life().new_tree(&mut runner).unwrap().current();
            let tree = Tree::grown(site, &world.operator.id, &life, named).await;
            tree.lived(&life).await;
            Count::of(site).await.check();
            let recount = format!("/v1/accounts/{}/recount_quotas", world.operator.id);
            let recount = site.post(&recount).key(&site.operator_key).send().await.is(200);
            assert_eq!((&recount.body["corrections"], &recount.body["skipped"]), (&json!([]), &json!([])));
            assert!(check_commits(site).await > 100, "of the life of seed {seed}");
            deepest = deepest.max(tree.depth);
            let known = tree.known.into_inner().unwrap();
            named = known.named;
            for (what, times) in known.came {
                *came.entry(what).or_insert(0) += times;
            }
        }
        assert_eq!(deepest, DEEPEST);
        // All of it was done, and much of it refused for want of room.
        let done = |act: &str| came.get(&(act, "done".to_owned())).copied().unwrap_or_default();
        for act in ["order", "change_quantity", "change_plan", "change_addon", "cancel", "renew", "mailbox", "delete", "transfer", "move", "ceiling"] {
            assert!(done(act) > 0, "{act}: {came:?}");
        }
        for act in ["order", "mailbox"] {
            assert!(came.contains_key(&(act, "quota_exceeded".to_owned())), "{act}: {came:?}");
        }
    }
}

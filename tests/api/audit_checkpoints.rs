//! Checkpoints of the audit outside the database: what they find that the chains alone do not.

use std::path::PathBuf;
use std::sync::Arc;

use secrecy::ExposeSecret;
use tenantry::access::signing::SigningKey;
use tenantry::access::witness::Witness;
use tenantry::clock::Clock;
use tenantry::domain::accounts::audit::{Broken, Fault};
use tenantry::domain::accounts::witnesses::{self, BadCheckpoint};
use tenantry::model::Subtree;
use tenantry::model::accounts::checkpoints::{Checkpoint, Found, read};
use tenantry::program::Program;
use tenantry::program::audit::{Against, Examined};
use tenantry::program::checkpoints::Checkpoints;
use tenantry::store::audit::{self, Line, chained};

use super::*;

/// The server itself makes none after its first and writes none: another program does, as the test tells it.
fn quiet() -> With {
    let settings = &[
        ("TENANTRY_AUDIT__CHECKPOINT_MINUTES", "1440"),
        ("TENANTRY_AUDIT__CHECKPOINT_FILE", "/nowhere/at/all"),
    ];
    With { settings, ..With::no_workers() }
}

/// Another program on the site's database, and its file.
struct Other {
    program: Arc<Program>,
    checkpoints: Checkpoints,
    file: PathBuf,
}

impl Other {
    async fn new(site: &Site, name: &str) -> Self {
        let file = site.folder.join(name);
        let text = file.display().to_string();
        let more = [("TENANTRY_AUDIT__CHECKPOINT_FILE", text.as_str())];
        let config = common::api::settings(&site.fresh, &site.folder, &more);
        let program = Arc::new(Program::open(config, Clock::system()).await.unwrap());
        let checkpoints = Checkpoints::of(program.clone()).await.unwrap();
        Self { program, checkpoints, file }
    }

    async fn verify(&self) -> Examined {
        self.program.verify_audit(&Against::default()).await.unwrap()
    }

    /// Makes the next checkpoint and writes it down.
    async fn checkpoint(&self, site: &Site) -> u64 {
        due(site).await;
        let made = self.checkpoints.make().await.unwrap();
        self.checkpoints.write().await.unwrap();
        made
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.file).unwrap()
    }

    fn found(&self) -> Vec<Found> {
        read(self.text().as_bytes()).unwrap()
    }
}

/// Makes six minutes pass since the last checkpoint.
async fn due(site: &Site) {
    until("the server has made its first", async || {
        let mut conn = site.db.read(Subtree::everything()).await.unwrap();
        tenantry::store::checkpoints::last(&mut conn, 0).await.unwrap().is_some()
    })
    .await;
    let earlier = Clock::system().now().minus(Duration::from_secs(360));
    site.fresh.tamper(&format!("UPDATE audit_checkpoints SET made_at = '{earlier}'")).await;
}

/// Accounts, and a checkpoint that tells of all that was done; and something done after it.
async fn begun(site: &Site) -> (World, Other) {
    let world = site.world().await;
    let other = Other::new(site, "checkpoints").await;
    assert_eq!(other.checkpoint(site).await, 1);
    rename(site, &world).await;
    (world, other)
}

async fn rename(site: &Site, world: &World) {
    let path = format!("/v1/accounts/{}", world.tenant.id);
    let name = json!({"name": "Renamed"});
    site.patch(&path).key(&world.reseller.key).acting_for(&world.reseller.id).json(name).send().await.is(200);
}

async fn lines(site: &Site, account: &str) -> Vec<Line> {
    let mut conn = site.db.read(Subtree::everything()).await.unwrap();
    audit::after(&mut conn, account.parse().unwrap(), 0, 1000).await.unwrap()
}

/// The statements that rewrite an account's chain with another action in its line `from`, as one would who owns the
/// database and knows how the chain is made.
fn rewritten(lines: &[Line], from: i64) -> String {
    let (mut head, mut statements) = (String::new(), String::new());
    for line in lines {
        let mut line = line.clone();
        if line.sequence == from {
            line.action = "nothing_at_all".into();
        }
        head = chained(&head, line.sequence, &line.digest());
        statements += &format!(
            "UPDATE audit SET action = '{}', hash = '{head}' WHERE account_id = '{}' AND sequence = {};",
            line.action, line.account_id, line.sequence
        );
    }
    let account = lines[0].account_id;
    statements + &format!("UPDATE account_counters SET audit_head = '{head}' WHERE account_id = '{account}'")
}

fn bad(number: i64, fault: witnesses::Fault) -> Vec<BadCheckpoint> {
    vec![BadCheckpoint { number, fault }]
}

on_both_servers! {
    /// AUD-3
    async fn a_chain_that_was_rewritten_or_cut_off_whole_is_found_by_its_checkpoint(site: quiet()) {
        let (world, other) = begun(site).await;
        let whole = other.verify().await;
        assert!(whole.is_whole() && whole.checkpoints == 2, "{whole:?}");
        let account = &world.reseller.id;
        let all = lines(site, account).await;
        let last = all.len() as i64;
        // The line after the checkpoint is not vouched for; all before are.
        let told = last - 1;
        assert!(told >= 2, "{all:?}");
        site.fresh.tamper(&rewritten(&all, 1)).await;
        let examined = other.verify().await;
        let broken = |sequence, fault| vec![Broken { account_id: account.parse().unwrap(), sequence, fault }];
        assert_eq!(examined.chains.broken, broken(told, Fault::Rewritten));
        assert!(examined.bad.is_empty());
        let alone = tenantry::domain::accounts::audit::verify(&site.db).await.unwrap();
        assert!(alone.broken.is_empty(), "the chain alone does not show it");
        site.fresh.tamper(&rewritten(&all, 0)).await;
        assert_eq!(other.verify().await, whole);
        // Cut off ahead of the last line that is vouched for, the counters told the same.
        let head = &all[told as usize - 2].hash;
        let cut = format!(
            "DELETE FROM audit WHERE account_id = '{account}' AND sequence >= {told};
             UPDATE account_counters SET audit = {}, audit_head = '{head}' WHERE account_id = '{account}'",
            told - 1
        );
        site.fresh.tamper(&cut).await;
        assert!(tenantry::domain::accounts::audit::verify(&site.db).await.unwrap().broken.is_empty());
        assert_eq!(other.verify().await.chains.broken, broken(told, Fault::CutOff));
        // What is gone on with over it does not hide it, and neither does a checkpoint that tells of it.
        rename(site, &world).await;
        rename(site, &world).await;
        assert_eq!(other.checkpoint(site).await, 1);
        assert_eq!(other.verify().await.chains.broken, broken(told, Fault::Rewritten));
    }

    /// AUD-3: the file grows with what happens, not with how many accounts there are
    async fn a_checkpoint_tells_of_the_chains_that_have_grown_since_one_told_of_them_and_of_no_others(site: quiet()) {
        let (world, other) = begun(site).await;
        other.checkpoint(site).await;
        other.checkpoint(site).await;
        rename(site, &world).await;
        other.checkpoint(site).await;
        let found = other.found();
        let [.., with_all, after_one, with_none, after_another] = found.as_slice() else { panic!("{found:?}") };
        let told = |found: &Found| found.heads.iter().map(|head| head.account_id.to_string()).collect::<Vec<_>>();
        let mut all = vec![world.operator.id.clone(), world.reseller.id.clone()];
        all.sort();
        assert_eq!(told(with_all), all);
        assert_eq!(told(with_none), Vec::<String>::new());
        for checkpoint in [after_one, after_another] {
            assert_eq!(told(checkpoint).join(","), world.reseller.id);
        }
        let before = &after_one.heads.iter().map(|head| head.sequence).collect::<Vec<_>>();
        let after = &after_another.heads.iter().map(|head| head.sequence).collect::<Vec<_>>();
        assert!(before.iter().zip(after).all(|(before, after)| before < after), "{before:?} {after:?}");
    }

    /// AUD-3
    async fn whatever_is_done_to_the_file_of_checkpoints_shows(site: quiet()) {
        let (world, other) = begun(site).await;
        for _ in 0..2 {
            other.checkpoint(site).await;
            rename(site, &world).await;
        }
        let whole = other.verify().await;
        assert!(whole.is_whole() && whole.checkpoints == 4, "{whole:?}");
        let (text, found) = (other.text(), other.found());
        assert!(found.iter().all(|found| found.fits));
        let second = found.iter().find(|found| found.checkpoint.number == 2).unwrap();
        let strange = Witness::from_pkcs8(SigningKey::generate().expose_secret()).unwrap();
        let mut forged = Checkpoint { signature: String::new(), ..second.checkpoint.clone() };
        forged.signature = strange.sign(&forged.said());
        let later = second.line.replace(&second.checkpoint.time.to_string(), "2026-01-01T00:00:00.000000Z");
        let hash = &second.heads[0].hash;
        let cut = text.find(&found[3].line).unwrap() - 10;
        use witnesses::Fault::{Altered, Forged, Missing, Unknown};
        for (changed, number, fault) in [
            (text.replacen(hash.as_str(), &"0".repeat(64), 1), 2, Altered),
            (text.replace(&format!("{}\n", second.line), "{\"type\":\"abandoned\"}\n"), 2, Missing),
            (text[..cut].to_owned(), 4, Missing),
            (text.replace(&second.line, &forged.line()), 2, Forged),
            (text.replace(&second.line, &later), 2, Forged),
        ] {
            std::fs::write(&other.file, &changed).unwrap();
            assert_eq!(other.verify().await.bad, bad(number, fault), "{changed}");
        }
        std::fs::remove_file(&other.file).unwrap();
        assert_eq!(other.verify().await.bad.len(), 4, "a file that is gone is missed");
        std::fs::write(&other.file, &text).unwrap();
        assert_eq!(other.verify().await, whole);
        let key = Some(strange.public());
        let under = other.program.verify_audit(&Against { key, ..Against::default() }).await.unwrap();
        assert_eq!(under.bad.len(), 4, "another key vouches for none");
        site.fresh.tamper("DELETE FROM audit_checkpoints WHERE number = 4").await;
        assert_eq!(other.verify().await.bad, bad(4, Unknown));
        let behind = other.checkpoints.write().await.unwrap_err();
        assert!(behind.to_string().contains("has checkpoint 4"), "{behind}");
    }

    /// AUD-3
    async fn of_many_replicas_exactly_one_makes_the_checkpoint_and_each_has_it_in_its_file(site: quiet()) {
        let (_, first) = begun(site).await;
        let mut replicas = vec![first];
        for name in ["two", "three", "four"] {
            replicas.push(Other::new(site, name).await);
        }
        for round in 0..5 {
            due(site).await;
            let making = replicas.iter().map(|replica| replica.checkpoints.make());
            let made: Vec<_> = futures_util::future::join_all(making).await.into_iter().map(Result::unwrap).collect();
            assert_eq!(made.iter().sum::<u64>(), 1, "in round {round}: {made:?}");
            assert_eq!(replicas[round % 4].checkpoints.make().await.unwrap(), 0, "none is due by now");
        }
        let writing = replicas.iter().flat_map(|replica| [replica.checkpoints.write(), replica.checkpoints.write()]);
        futures_util::future::join_all(writing).await.into_iter().for_each(Result::unwrap);
        let text = replicas[0].text();
        assert!(replicas.iter().all(|replica| replica.text() == text), "the files say the same");
        let numbers: Vec<_> = replicas[0].found().iter().map(|found| found.checkpoint.number).collect();
        assert_eq!(numbers, (1..=7).collect::<Vec<_>>());
        let files = replicas.iter().map(|replica| replica.file.clone()).collect();
        let examined = replicas[1].program.verify_audit(&Against { files, key: None }).await.unwrap();
        assert!(examined.is_whole() && examined.checkpoints == 7, "{examined:?}");
    }

    /// AUD-3: ended between the database and the file, and between the file and the note of it in the database
    async fn what_was_made_and_not_written_is_written_later_and_once(site: quiet()) {
        let (_, other) = begun(site).await;
        due(site).await;
        assert_eq!(other.checkpoints.make().await.unwrap(), 1);
        let examined = other.verify().await;
        assert!(examined.is_whole() && examined.checkpoints == 2, "what no file has yet is not missed: {examined:?}");
        let again = Other::new(site, "checkpoints").await;
        again.checkpoints.write().await.unwrap();
        site.fresh.tamper("UPDATE audit_checkpoints SET kept = FALSE").await;
        again.checkpoints.write().await.unwrap();
        let numbers: Vec<_> = again.found().iter().map(|found| found.checkpoint.number).collect();
        assert_eq!(numbers, [1, 2, 3]);
        assert!(again.verify().await.is_whole());
    }

    /// AUD-4: what is personal in the audit can be forgotten, and the chains and their checkpoints stay whole
    async fn where_an_account_acted_from_is_forgotten_with_its_key_and_the_chains_stay_whole(site: quiet()) {
        let (world, other) = begun(site).await;
        let addresses = async |key: &str, account: &str| -> Vec<Value> {
            let told = site.get("/v1/audit?limit=200").key(key).acting_for(account).send().await.is(200);
            let lines = told.body["data"].as_array().unwrap().iter();
            let asked = lines.filter(|line| line["principal_id"] == account && line["detail"].get("by").is_none());
            asked.map(|line| line["address"].clone()).collect()
        };
        let of = async |account: &str| addresses(&site.operator_key, account).await;
        let operator = world.operator.id.as_str();
        let here = |told: &[Value]| !told.is_empty() && told.iter().all(|address| *address == "127.0.0.1");
        assert!(here(&of(&world.reseller.id).await) && here(&of(operator).await));
        let all = lines(site, &world.reseller.id).await;
        assert!(all.iter().all(|line| line.address.as_deref().is_none_or(|address| !address.contains("127.0"))), "{all:?}");
        other.checkpoint(site).await;
        assert!(other.program.shred_audit(world.reseller.id.parse().unwrap()).await.unwrap());
        until("no replica remembers the key", async || of(&world.reseller.id).await.iter().all(Value::is_null)).await;
        assert!(here(&of(operator).await), "nobody else's are gone");
        let whole = other.verify().await;
        assert!(whole.is_whole() && whole.checkpoints == 3, "{whole:?}");
        let last = lines(site, &world.reseller.id).await.into_iter().rfind(|line| line.outcome == "done").unwrap();
        assert_eq!((last.action.as_str(), last.resource), ("audit_shred", Some(world.reseller.id.clone())));
        assert!(!other.program.shred_audit(world.reseller.id.parse().unwrap()).await.unwrap(), "there is none any more");
        // Whoever goes on acting has a new key, and what was forgotten stays so.
        rename(site, &world).await;
        let told = of(&world.reseller.id).await;
        assert_eq!((told.first(), told.last()), (Some(&Value::Null), Some(&json!("127.0.0.1"))));
        site.fresh.tamper("UPDATE audit SET address = 'a1.other' WHERE action = 'accounts_update'").await;
        assert!(!other.verify().await.is_whole(), "what is sealed is under the chain as well");
    }
}

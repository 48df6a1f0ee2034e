//! The audit: a line for each change, who may see whose, and a chain that shows what was done to it.

use tenantry::domain::accounts::audit::{Broken, Fault, verify};

use super::*;

/// The lines of the account that the key acts for.
async fn lines(site: &Site, key: &str) -> Vec<Value> {
    site.all(key, "/v1/audit", 2).await
}

/// Makes the world and has its reseller do a few things; gives the reseller's account.
async fn busy(site: &Site) -> World {
    let world = site.world().await;
    for name in ["One", "Two", "Three"] {
        let asked = json!({"type": "tenant", "name": name});
        site.post("/v1/accounts").key(&world.reseller.key).json(asked).send().await.is(201);
    }
    world
}

on_both_servers! {
    /// AUD-1, AUD-5
    async fn each_change_is_a_line_of_the_account_it_was_made_for(site: With::no_workers()) {
        let world = busy(site).await;
        let before = lines(site, &world.reseller.key).await;
        let asked = json!({"type": "tenant", "name": "Four"});
        let made = site.post("/v1/accounts").key(&world.reseller.key).json(asked.clone()).send().await.is(201);
        site.post("/v1/accounts").key(&world.reseller.key).json(json!({"type": "tenant"})).send().await.is(422);
        site.post("/v1/accounts?dry_run=true").key(&world.reseller.key).json(asked).send().await.is(201);
        let after = lines(site, &world.reseller.key).await;
        assert_eq!(after.len(), before.len() + 1, "a refusal and a rehearsal change nothing");
        let sequences: Vec<_> = after.iter().map(|line| line["sequence"].as_i64().unwrap()).collect();
        assert_eq!(sequences, (1..=after.len() as i64).collect::<Vec<_>>());
        let last = after.last().unwrap();
        assert_eq!((&last["action"], &last["resource"]), (&"accounts_create".into(), &made.id().into()));
        assert_eq!(last["principal_id"], world.reseller.id.as_str());
        assert_eq!(last["address"], "127.0.0.1");
    }

    /// AUD-1: a key that is made on the server itself is a line as well.
    async fn what_the_command_line_did_is_told(site: With::no_workers()) {
        let told = lines(site, &site.operator_key).await;
        let (first, key) = (&told[0], format!("key_{}", site.operator_key.split('_').nth(2).unwrap()));
        assert_eq!((&first["action"], &first["resource"]), (&"keys_create".into(), &key.as_str().into()));
        assert_eq!((&first["detail"], &first["address"]), (&json!({"by": "command line"}), &Value::Null));
        assert_eq!((&first["principal_id"], &first["sequence"]), (&first["account_id"], &json!(1)));
        assert_ne!(first["key_id"], key.as_str(), "it did not make itself");
    }

    /// AUD-5
    async fn who_acted_from_above_is_not_told_below(site: With::no_workers()) {
        let world = busy(site).await;
        let asked = json!({"name": "Renamed from above"});
        let path = format!("/v1/accounts/{}", world.reseller.id);
        site.patch(&path).key(&site.operator_key).acting_for(&world.reseller.id).json(asked).send().await.is(200);
        let seen = lines(site, &world.reseller.key).await;
        let last = seen.last().unwrap();
        assert_eq!(last["action"], "accounts_update");
        for hidden in ["principal_id", "key_id", "address"] {
            assert_eq!(last[hidden], Value::Null, "{hidden}");
        }
        let above = site.get("/v1/audit?limit=200").key(&site.operator_key).acting_for(&world.reseller.id).send().await.is(200);
        let same = above.body["data"].as_array().unwrap().last().unwrap().clone();
        assert_eq!((&same["sequence"], &same["hash"]), (&last["sequence"], &last["hash"]));
        assert!(same["principal_id"].is_string() && same["address"].is_string());
        // The tenant is no reader of its reseller's lines.
        let foreign = site.get("/v1/audit").key(&world.tenant.key).acting_for(&world.reseller.id).send().await;
        foreign.refused(404, "account_not_found");
    }

    /// AUD-3
    async fn whatever_is_done_to_a_line_shows_at_that_line(site: With::no_workers()) {
        let world = busy(site).await;
        let whole = verify(&site.db).await.unwrap();
        assert!(whole.broken.is_empty() && whole.unchained == 0 && whole.lines > 5, "{whole:?}");
        let account = &world.reseller.id;
        let all = lines(site, &world.reseller.key).await;
        let last = all.len() as i64;
        assert!(last >= 3);
        let of = |sequence: i64| format!("WHERE account_id = '{account}' AND sequence = {sequence}");
        let moved = |from: i64, to: i64| format!("UPDATE audit SET sequence = {to} {}; ", of(from));
        let swapped = [moved(2, 99_999), moved(3, 2), moved(99_999, 3)].concat();
        let set = |what: &str, value: &Value| format!("UPDATE audit SET {what} = '{}' {}", value.as_str().unwrap(), of(2));
        let counter = |what: &str| format!("UPDATE account_counters SET {what} WHERE account_id = '{account}'");
        let (second, head) = (&all[1], all.last().unwrap()["hash"].as_str().unwrap());
        let columns = "path, principal_id, key_id, action, resource, request_id, address, outcome, detail, occurred_at, hash";
        let put_in = format!(
            "INSERT INTO audit (account_id, sequence, {columns}) SELECT account_id, {} AS sequence, {columns} FROM audit {}",
            last + 1,
            of(last)
        );
        for (done, undone, sequence, fault) in [
            (set("action", &"nothing".into()), set("action", &second["action"]), 2, Fault::Altered),
            (set("occurred_at", &"2026-01-01T00:00:00.000000Z".into()), set("occurred_at", &second["occurred_at"]), 2, Fault::Altered),
            (swapped.clone(), swapped, 2, Fault::Altered),
            (moved(1, 99_999), moved(99_999, 1), 1, Fault::Missing),
            (moved(last, 99_999), moved(99_999, last), last, Fault::Missing),
            (put_in, format!("DELETE FROM audit {}", of(last + 1)), last, Fault::Counter),
            (counter("audit = audit - 1"), counter("audit = audit + 1"), last - 1, Fault::Counter),
            (counter("audit_head = ''"), counter(&format!("audit_head = '{head}'")), last, Fault::Counter),
        ] {
            site.fresh.tamper(&done).await;
            let broken = Broken { account_id: account.parse().unwrap(), sequence, fault };
            assert_eq!(verify(&site.db).await.unwrap().broken, vec![broken], "{done}");
            site.fresh.tamper(&undone).await;
            assert_eq!(verify(&site.db).await.unwrap(), whole, "{undone}");
        }
    }

    /// AUD-1: names of what changed, and digests of the values that nobody can try out values against
    async fn a_change_tells_which_members_it_changed_and_none_of_their_values(site: With::no_workers()) {
        let world = site.world().await;
        let path = format!("/v1/accounts/{}", world.reseller.id);
        let set = async |to: &str| {
            let asked = json!({"contact_email": to, "country": "AT"});
            site.patch(&path).key(&world.reseller.key).json(asked).send().await.is(200);
            lines(site, &world.reseller.key).await.pop().unwrap()["detail"].clone()
        };
        let (one, two) = (set("planted.one@person.example").await, set("planted.two@person.example").await);
        let three = set("planted.one@person.example").await;
        assert_eq!(one["changed"], json!(["contact_email", "country"]));
        assert_eq!((&two["changed"], &three["changed"]), (&json!(["contact_email"]), &json!(["contact_email"])));
        assert_eq!((&two["before"], &two["after"]), (&three["after"], &three["before"]), "a value that comes again is known again");
        assert_ne!(two["before"], two["after"]);
        let asked = json!({"ceiling": 7});
        let quota = format!("/v1/accounts/{}/quotas/mail.mailboxes", world.tenant.id);
        site.put(&quota).anyway().key(&world.reseller.key).json(asked).send().await.is(200);
        assert_eq!(lines(site, &world.reseller.key).await.pop().unwrap()["detail"]["asked"], json!(["ceiling"]));
        let server = format!("/v1/servers/{}", world.server);
        site.patch(&server).key(&site.operator_key).json(json!({"credentials": "planted-credential"})).send().await.is(200);
        let last = lines(site, &site.operator_key).await.pop().unwrap();
        assert_eq!((&last["action"], &last["detail"]["changed"]), (&json!("servers_update"), &json!(["credentials"])));
        for account in [&site.operator_key, &world.reseller.key, &world.tenant.key] {
            let all = json!(lines(site, account).await).to_string();
            assert!(!all.contains("planted"), "{all}");
        }
    }

    /// AUD-2: what cannot be written into the audit does not happen
    async fn a_change_whose_line_cannot_be_written_does_not_happen(site: With::no_workers()) {
        let world = site.world().await;
        let (shut, open) = match site.fresh.url.starts_with("sqlite") {
            true => (
                "CREATE TRIGGER shut BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'shut'); END".to_owned(),
                "DROP TRIGGER shut".to_owned(),
            ),
            false => {
                let role = common::database::app_url().parse::<sqlx::postgres::PgConnectOptions>().unwrap();
                let role = role.get_username().to_owned();
                (format!("REVOKE INSERT ON audit FROM {role}"), format!("GRANT INSERT ON audit TO {role}"))
            }
        };
        let asked = json!({"type": "tenant", "name": "Unaudited"});
        let make = async || site.post("/v1/accounts").key(&world.reseller.key).idem("once").json(asked.clone()).send().await;
        let path = format!("/v1/accounts/{}", world.reseller.id);
        let rename = async || site.patch(&path).key(&world.reseller.key).json(json!({"name": "Unaudited"})).send().await;
        let names = async || {
            let all = site.all(&site.operator_key, "/v1/accounts", 100).await;
            all.iter().filter(|account| account["name"] == "Unaudited").count()
        };
        let before = all_told(site, &site.operator_key).await;
        site.fresh.tamper(&shut).await;
        for answer in [make().await, rename().await] {
            assert!(answer.status >= 500, "{}", answer.text);
        }
        assert_eq!(names().await, 0);
        site.fresh.tamper(&open).await;
        assert_eq!(all_told(site, &site.operator_key).await, before);
        assert_eq!((make().await.is(201).header("idempotency-replayed"), rename().await.status), (None, 200));
        assert_eq!(names().await, 2);
        assert_eq!(all_told(site, &site.operator_key).await.len(), before.len() + 2);
    }
}

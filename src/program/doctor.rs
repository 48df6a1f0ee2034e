//! Looks an installation over: what is well, what is not, and how to mend it.

use std::time::Duration;

use secrecy::ExposeSecret;

use super::Program;
use crate::access::seal::Context;
use crate::clock::Clock;
use crate::config::Config;
use crate::model::Subtree;
use crate::model::connector::Target;
use crate::store::{self, facts};

/// How far our clock may be from the database's.
const CLOCKS_APART: Duration = Duration::from_secs(5);
/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// One thing looked at.
#[derive(Debug)]
pub struct Finding {
    pub what: String,
    /// What was found, if all is well; else what is wrong and how to mend it.
    pub verdict: Result<String, String>,
}

fn finding(what: impl Into<String>, verdict: Result<String, String>) -> Finding {
    Finding { what: what.into(), verdict }
}

/// Looks at the settings, the database, the clock, Redis and every registered server, one after another.
pub async fn examine(config: Config, clock: Clock, mut tell: impl FnMut(Finding)) {
    tell(finding("settings", Ok(format!("data in {}", config.data.dir.display()))));
    tell(redis(&config).await);
    let program = match Program::open(config, clock).await {
        Ok(program) => program,
        Err(stop) => {
            let mend = "mend the settings or the database and run `tenantry doctor` again";
            return tell(finding("database", Err(format!("{}; {mend}", stop.reasons.join("; ")))));
        }
    };
    tell(finding(
        "database",
        Ok("it answers, its schema is this program's, its secrets can be opened".into()),
    ));
    tell(secrets(&program).await);
    tell(clocks(&program).await);
    for found in servers(&program).await {
        tell(found);
    }
}

/// A rotation that has not come to its end is nothing to mend at once, but should not be forgotten.
async fn secrets(program: &Program) -> Finding {
    let verdict = match program.secrets_status().await {
        Ok(status) => Ok(format!("sealed under {}; {}", status.current, status.advice())),
        Err(stop) => Err(stop.reasons.join("; ")),
    };
    finding("secrets", verdict)
}

async fn redis(config: &Config) -> Finding {
    let Some(url) = config.redis.url() else {
        return finding("redis", Ok("not configured; each replica counts rate limits for itself".into()));
    };
    let ping = async {
        let client = redis::Client::open(url.expose_secret())?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        redis::cmd("PING").query_async::<String>(&mut connection).await
    };
    let verdict = match tokio::time::timeout(Duration::from_secs(3), ping).await {
        Ok(Ok(_)) => Ok("it answers".into()),
        Ok(Err(error)) => {
            Err(format!("{error}; is redis.url right, and is Redis running?", error = error.category()))
        }
        Err(_) => Err("no answer within 3 s; is redis.url right, and is Redis running?".into()),
    };
    finding("redis", verdict)
}

async fn clocks(program: &Program) -> Finding {
    let database = async {
        let mut conn = program.db.read(Subtree::everything()).await?;
        facts::database_time(&mut conn).await
    };
    let verdict = match database.await {
        Err(error) => Err(format!("the database did not tell its time: {error}")),
        Ok(theirs) => {
            let ours = program.clock.now();
            let apart = ours.since(theirs).max(theirs.since(ours));
            match apart <= CLOCKS_APART {
                true => Ok(format!("{} ms from the database's", apart.as_millis())),
                false => Err(format!(
                    "{} s from the database's; set up time synchronisation (NTP) on both",
                    apart.as_secs()
                )),
            }
        }
    };
    finding("clock", verdict)
}

async fn servers(program: &Program) -> Vec<Finding> {
    let known = async {
        let mut conn = program.db.read(Subtree::everything()).await?;
        store::catalog::servers::page(&mut conn, None, 200).await
    };
    let servers = match known.await {
        Ok(servers) => servers,
        Err(error) => return vec![finding("servers", Err(format!("they could not be read: {error}")))],
    };
    let mut findings = Vec::new();
    if servers.is_empty() {
        findings.push(finding("servers", Ok("none is registered yet; see POST /v1/servers".into())));
    }
    for server in servers {
        let what = format!("server {} ({})", server.name, server.connector);
        let Some(connector) = program.connectors.get(&server.connector) else {
            findings.push(finding(what, Err("its connector is not part of this program".into())));
            continue;
        };
        let (account, record) = (server.account_id.to_string(), server.id.to_string());
        let context =
            Context { table: "servers", column: "credentials", account_id: &account, record_id: &record };
        let opened = server.credentials.as_deref().map(|sealed| program.sealer.open_text(&context, sealed));
        let credentials = match opened.transpose() {
            Ok(credentials) => credentials,
            Err(error) => {
                findings.push(finding(what, Err(format!("its credentials: {error}; set them anew"))));
                continue;
            }
        };
        let target = Target { server_id: server.id, settings: server.settings.0, credentials };
        let verdict = match tokio::time::timeout(PATIENCE, connector.test(&target)).await {
            Ok(Ok(_)) if target.credentials.is_some() => Ok("it answers and takes our credentials".into()),
            Ok(Ok(_)) => Ok("it answers".into()),
            Ok(Err(fault)) => Err(format!("{fault}; PATCH /v1/servers/{record} changes its settings")),
            Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        };
        findings.push(finding(what, verdict));
    }
    findings
}

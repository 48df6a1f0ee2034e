//! The two tables that the mail servers read, made where they are missing.

use super::database::Database;
use super::refusals::Refusal;
use crate::model::connector::Fault;

const DOMAINS: &str = "CREATE TABLE IF NOT EXISTS hosted_domains (
    name VARCHAR(253) NOT NULL PRIMARY KEY,
    owner VARCHAR(64) NOT NULL,
    access VARCHAR(16) NOT NULL)";

const MAILBOXES: &str = "CREATE TABLE IF NOT EXISTS hosted_mailboxes (
    address VARCHAR(254) NOT NULL PRIMARY KEY,
    domain VARCHAR(253) NOT NULL,
    owner VARCHAR(64) NOT NULL,
    state VARCHAR(16) NOT NULL,
    password VARCHAR(255),
    quota_mb BIGINT NOT NULL,
    FOREIGN KEY (domain) REFERENCES hosted_domains (name))";

/// Makes what is missing. Where the tables are, the account needs no right to make any.
pub async fn prepare(database: &Database) -> Result<(), Fault> {
    if shaped(database).await.is_ok() {
        return Ok(());
    }
    let made = async {
        database.execute(DOMAINS, &[]).await?;
        database.execute(MAILBOXES, &[]).await
    }
    .await;
    // Another of us may have made them meanwhile, which PostgreSQL tells as an error.
    match (shaped(database).await, made) {
        (Ok(()), _) => Ok(()),
        (Err(_), Err(refusal)) => Err(refusal.into()),
        (Err(refusal), Ok(_)) => Err(refusal.into()),
    }
}

async fn shaped(database: &Database) -> Result<(), Refusal> {
    let _: Vec<(String,)> =
        database.rows("SELECT name FROM hosted_domains WHERE owner = access AND 1 = 0", &[]).await?;
    let _: Vec<(String,)> = database
        .rows(
            "SELECT address FROM hosted_mailboxes
             WHERE domain = owner AND state = password AND quota_mb = 0 AND 1 = 0",
            &[],
        )
        .await?;
    Ok(())
}

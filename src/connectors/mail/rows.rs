//! The rows of domains and mailboxes: each function is one statement and its values.

use sqlx::FromRow;

use super::database::{Database, Value};
use super::refusals::Refusal;
use crate::model::connector::Fault;
use crate::model::services::Access;

/// The state of a mailbox that is there for its owner.
pub const ACTIVE: &str = "active";
/// The state of one that is being removed: it takes neither logins nor mail, and its row stays until its
/// mail is gone.
const CLOSED: &str = "closed";

/// A domain as the mail servers read it. `access` is that of the whole service.
#[derive(Debug, FromRow)]
pub struct Domain {
    pub owner: String,
    pub access: String,
}

/// A mailbox as the mail servers read it.
#[derive(FromRow, PartialEq)]
pub struct Mailbox {
    pub domain: String,
    pub owner: String,
    pub state: String,
    pub password: Option<String>,
    pub quota_mb: i64,
}

pub async fn domain(database: &Database, name: &str) -> Result<Option<Domain>, Fault> {
    let found = database
        .rows("SELECT owner, access FROM hosted_domains WHERE name = ?", &[Value::Text(name)])
        .await?;
    Ok(found.into_iter().next())
}

/// Makes the domain; false if one of that name is there.
pub async fn insert_domain(
    database: &Database,
    name: &str,
    owner: &str,
    access: Access,
) -> Result<bool, Fault> {
    let values = [Value::Text(name), Value::Text(owner), Value::Text(access.as_str())];
    made(database.execute("INSERT INTO hosted_domains (name, owner, access) VALUES (?, ?, ?)", &values).await)
}

/// Gives all domains of the service the access, and with them all its mailboxes.
pub async fn set_access(database: &Database, owner: &str, access: Access) -> Result<u64, Fault> {
    let access = Value::Text(access.as_str());
    let sql = "UPDATE hosted_domains SET access = ? WHERE owner = ? AND access <> ?";
    Ok(database.execute(sql, &[access, Value::Text(owner), access]).await?)
}

pub async fn delete_domain(database: &Database, name: &str, owner: &str) -> Result<u64, Fault> {
    let sql = "DELETE FROM hosted_domains WHERE name = ? AND owner = ?";
    Ok(database.execute(sql, &[Value::Text(name), Value::Text(owner)]).await?)
}

pub async fn domains_of(database: &Database, owner: &str) -> Result<Vec<String>, Fault> {
    let sql = "SELECT name FROM hosted_domains WHERE owner = ? ORDER BY name";
    names(database, sql, &[Value::Text(owner)]).await
}

pub async fn mailbox(database: &Database, address: &str) -> Result<Option<Mailbox>, Fault> {
    let sql = "SELECT domain, owner, state, password, quota_mb FROM hosted_mailboxes WHERE address = ?";
    Ok(database.rows(sql, &[Value::Text(address)]).await?.into_iter().next())
}

/// Makes the mailbox in a domain of the same owner; false if there is no such domain or the address is taken.
pub async fn insert_mailbox(database: &Database, address: &str, wanted: &Mailbox) -> Result<bool, Fault> {
    let sql = "INSERT INTO hosted_mailboxes (address, domain, owner, state, password, quota_mb)
               SELECT ?, name, owner, ?, ?, ? FROM hosted_domains WHERE name = ? AND owner = ?";
    let values = [
        Value::Text(address),
        Value::Text(&wanted.state),
        wanted.password.as_deref().into(),
        Value::Whole(wanted.quota_mb),
        Value::Text(&wanted.domain),
        Value::Text(&wanted.owner),
    ];
    made(database.execute(sql, &values).await)
}

/// Makes the owner's mailbox as it is wanted.
pub async fn update_mailbox(database: &Database, address: &str, wanted: &Mailbox) -> Result<u64, Fault> {
    let sql = "UPDATE hosted_mailboxes SET state = ?, password = ?, quota_mb = ?
               WHERE address = ? AND owner = ?";
    let values = [
        Value::Text(&wanted.state),
        wanted.password.as_deref().into(),
        Value::Whole(wanted.quota_mb),
        Value::Text(address),
        Value::Text(&wanted.owner),
    ];
    Ok(database.execute(sql, &values).await?)
}

/// Closes the owner's mailbox; 0 if there is none.
pub async fn close_mailbox(database: &Database, address: &str, owner: &str) -> Result<u64, Fault> {
    let sql = "UPDATE hosted_mailboxes SET state = ? WHERE address = ? AND owner = ?";
    let closed = Value::Text(CLOSED);
    Ok(database.execute(sql, &[closed, Value::Text(address), Value::Text(owner)]).await?)
}

pub async fn delete_mailbox(database: &Database, address: &str, owner: &str) -> Result<u64, Fault> {
    let sql = "DELETE FROM hosted_mailboxes WHERE address = ? AND owner = ?";
    Ok(database.execute(sql, &[Value::Text(address), Value::Text(owner)]).await?)
}

pub async fn mailboxes_of_domain(
    database: &Database,
    domain: &str,
    owner: &str,
) -> Result<Vec<String>, Fault> {
    let sql = "SELECT address FROM hosted_mailboxes WHERE domain = ? AND owner = ? ORDER BY address";
    names(database, sql, &[Value::Text(domain), Value::Text(owner)]).await
}

/// How many domains and mailboxes there are, whoever's.
pub async fn counts(database: &Database) -> Result<(i64, i64), Fault> {
    let domains: Vec<(i64,)> = database.rows("SELECT COUNT(*) FROM hosted_domains", &[]).await?;
    let mailboxes: Vec<(i64,)> = database.rows("SELECT COUNT(*) FROM hosted_mailboxes", &[]).await?;
    let one = |rows: Vec<(i64,)>| rows.first().map_or(0, |row| row.0);
    Ok((one(domains), one(mailboxes)))
}

async fn names(database: &Database, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<String>, Fault> {
    let rows: Vec<(String,)> = database.rows(sql, values).await?;
    Ok(rows.into_iter().map(|row| row.0).collect())
}

fn made(inserted: Result<u64, Refusal>) -> Result<bool, Fault> {
    match inserted {
        Ok(rows) => Ok(rows == 1),
        Err(Refusal::Duplicate) => Ok(false),
        Err(refusal) => Err(refusal.into()),
    }
}

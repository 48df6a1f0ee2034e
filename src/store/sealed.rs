//! Where sealed texts are kept: all places, for those who have to see each of them.

use super::{Conn, Result, Sql, Tx};

/// A column of sealed texts. Its table and column are those that the texts were sealed for, wherever they lie now.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    pub table: &'static str,
    pub column: &'static str,
    page: &'static str,
    replace: &'static str,
    count: &'static str,
}

/// What the names of sealed facts begin with.
pub const FACT: &str = "sealed/";

/// Every column of sealed texts. The account and the record are what they were sealed for, and `one`, `two` and `three`
/// the row's key. A text names the key-encryption key it lies under in the 16 characters after `s1.`.
pub const COLUMNS: &[Column] = &[
    Column {
        table: "signing_keys",
        column: "private_key",
        page: "SELECT '' AS account_id, id AS record_id, id AS one, '' AS two, '' AS three, private_key AS sealed
             FROM signing_keys WHERE id > $1 ORDER BY id LIMIT $2",
        replace: "UPDATE signing_keys SET private_key = $2 WHERE id = $1 AND private_key = $3",
        count: "SELECT substr(private_key, 4, 16) AS name, COUNT(*) AS texts FROM signing_keys GROUP BY 1 ORDER BY 1",
    },
    Column {
        table: "facts",
        column: "value",
        page: "SELECT '' AS account_id, name AS record_id, name AS one, '' AS two, '' AS three, value AS sealed
             FROM facts WHERE name > $1 AND substr(name, 1, 7) = 'sealed/' ORDER BY name LIMIT $2",
        replace: "UPDATE facts SET value = $2 WHERE name = $1 AND value = $3",
        count: "SELECT substr(value, 4, 16) AS name, COUNT(*) AS texts FROM facts
             WHERE substr(name, 1, 7) = 'sealed/' GROUP BY 1 ORDER BY 1",
    },
    Column {
        table: "servers",
        column: "credentials",
        page: "SELECT account_id, id AS record_id, id AS one, '' AS two, '' AS three, credentials AS sealed
             FROM servers WHERE id > $1 AND credentials IS NOT NULL ORDER BY id LIMIT $2",
        replace: "UPDATE servers SET credentials = $2 WHERE id = $1 AND credentials = $3",
        count: "SELECT substr(credentials, 4, 16) AS name, COUNT(*) AS texts FROM servers
             WHERE credentials IS NOT NULL GROUP BY 1 ORDER BY 1",
    },
    Column {
        table: "webhook_endpoints",
        column: "secret",
        page: "SELECT account_id, id AS record_id, id AS one, '' AS two, '' AS three, secret AS sealed
             FROM webhook_endpoints WHERE id > $1 ORDER BY id LIMIT $2",
        replace: "UPDATE webhook_endpoints SET secret = $2 WHERE id = $1 AND secret = $3",
        count: "SELECT substr(secret, 4, 16) AS name, COUNT(*) AS texts FROM webhook_endpoints GROUP BY 1 ORDER BY 1",
    },
    Column {
        table: "webhook_endpoints",
        column: "signing_key",
        page: "SELECT account_id, id AS record_id, id AS one, '' AS two, '' AS three, signing_key AS sealed
             FROM webhook_endpoints WHERE id > $1 AND signing_key IS NOT NULL ORDER BY id LIMIT $2",
        replace: "UPDATE webhook_endpoints SET signing_key = $2 WHERE id = $1 AND signing_key = $3",
        count: "SELECT substr(signing_key, 4, 16) AS name, COUNT(*) AS texts FROM webhook_endpoints
             WHERE signing_key IS NOT NULL GROUP BY 1 ORDER BY 1",
    },
    Column {
        table: "webhook_endpoints",
        column: "secret_headers",
        page: "SELECT account_id, id AS record_id, id AS one, '' AS two, '' AS three, secret_headers AS sealed
             FROM webhook_endpoints WHERE id > $1 AND secret_headers IS NOT NULL ORDER BY id LIMIT $2",
        replace: "UPDATE webhook_endpoints SET secret_headers = $2 WHERE id = $1 AND secret_headers = $3",
        count: "SELECT substr(secret_headers, 4, 16) AS name, COUNT(*) AS texts FROM webhook_endpoints
             WHERE secret_headers IS NOT NULL GROUP BY 1 ORDER BY 1",
    },
    // Behind the columns that they come from as they are: what moves meanwhile is seen here.
    Column {
        table: "webhook_endpoints",
        column: "secret",
        page: "SELECT account_id, endpoint_id AS record_id, id AS one, '' AS two, '' AS three, secret AS sealed
             FROM webhook_old_secrets WHERE id > $1 AND secret IS NOT NULL ORDER BY id LIMIT $2",
        replace: "UPDATE webhook_old_secrets SET secret = $2 WHERE id = $1 AND secret = $3",
        count: "SELECT substr(secret, 4, 16) AS name, COUNT(*) AS texts FROM webhook_old_secrets
             WHERE secret IS NOT NULL GROUP BY 1 ORDER BY 1",
    },
    Column {
        table: "webhook_endpoints",
        column: "signing_key",
        page: "SELECT account_id, endpoint_id AS record_id, id AS one, '' AS two, '' AS three, signing_key AS sealed
             FROM webhook_old_secrets WHERE id > $1 AND signing_key IS NOT NULL ORDER BY id LIMIT $2",
        replace: "UPDATE webhook_old_secrets SET signing_key = $2 WHERE id = $1 AND signing_key = $3",
        count: "SELECT substr(signing_key, 4, 16) AS name, COUNT(*) AS texts FROM webhook_old_secrets
             WHERE signing_key IS NOT NULL GROUP BY 1 ORDER BY 1",
    },
    Column {
        table: "batches",
        column: "body",
        page: "SELECT account_id, id AS record_id, id AS one, '' AS two, '' AS three, body AS sealed
             FROM batches WHERE id > $1 AND body IS NOT NULL ORDER BY id LIMIT $2",
        replace: "UPDATE batches SET body = $2 WHERE id = $1 AND body = $3",
        count: "SELECT substr(body, 4, 16) AS name, COUNT(*) AS texts FROM batches
             WHERE body IS NOT NULL GROUP BY 1 ORDER BY 1",
    },
    Column {
        table: "batch_items",
        column: "body",
        page: "SELECT account_id, id AS record_id, id AS one, '' AS two, '' AS three, body AS sealed
             FROM batch_items WHERE id > $1 AND body IS NOT NULL ORDER BY id LIMIT $2",
        replace: "UPDATE batch_items SET body = $2 WHERE id = $1 AND body = $3",
        count: "SELECT substr(body, 4, 16) AS name, COUNT(*) AS texts FROM batch_items
             WHERE body IS NOT NULL GROUP BY 1 ORDER BY 1",
    },
    Column {
        table: "audit_keys",
        column: "key",
        page: "SELECT account_id, account_id AS record_id, account_id AS one, '' AS two, '' AS three, key AS sealed
             FROM audit_keys WHERE account_id > $1 ORDER BY account_id LIMIT $2",
        replace: "UPDATE audit_keys SET key = $2 WHERE account_id = $1 AND key = $3",
        count: "SELECT substr(key, 4, 16) AS name, COUNT(*) AS texts FROM audit_keys GROUP BY 1 ORDER BY 1",
    },
    Column {
        table: "replies",
        column: "body",
        page: "SELECT principal_id AS account_id, subject_id || '/' || key AS record_id,
                 principal_id AS one, subject_id AS two, key AS three, body AS sealed
             FROM replies WHERE sealed AND (principal_id, subject_id, key) > ($1, $3, $4)
             ORDER BY principal_id, subject_id, key LIMIT $2",
        replace: "UPDATE replies SET body = $2
             WHERE principal_id = $1 AND subject_id = $4 AND key = $5 AND body = $3 AND sealed",
        count: "SELECT substr(body, 4, 16) AS name, COUNT(*) AS texts FROM replies WHERE sealed GROUP BY 1 ORDER BY 1",
    },
];

/// A sealed text, what it was sealed for, and the key of its row.
#[derive(Debug, Clone, Default, crate::model::rows::Record)]
pub struct Text {
    pub account_id: String,
    pub record_id: String,
    one: String,
    two: String,
    three: String,
    pub sealed: String,
}

impl Column {
    /// Whether a row's key has more than one part.
    fn is_compound(&self) -> bool {
        self.table == "replies"
    }
}

/// The texts after one, in the order of their rows' keys.
pub async fn page(conn: &mut Conn, column: &Column, after: &Text, limit: i64) -> Result<Vec<Text>> {
    let query = conn.query(Sql::from(column.page)).bind(&after.one).bind(limit);
    match column.is_compound() {
        true => query.bind(&after.two).bind(&after.three).all().await,
        false => query.all().await,
    }
}

/// Puts a text in the place of another; says whether it was that one still.
pub async fn replace(tx: &mut Tx, column: &Column, before: &Text, sealed: &str) -> Result<bool> {
    let query = tx.query(Sql::from(column.replace)).bind(&before.one).bind(sealed).bind(&before.sealed);
    let changed = match column.is_compound() {
        true => query.bind(&before.two).bind(&before.three).execute().await?,
        false => query.execute().await?,
    };
    Ok(changed == 1)
}

/// How many texts of a column lie under a key-encryption key.
#[derive(Debug, Clone, PartialEq, Eq, crate::model::rows::Record)]
pub struct Under {
    pub name: String,
    pub texts: i64,
}

/// How many texts of the column lie under each key-encryption key.
pub async fn count(conn: &mut Conn, column: &Column) -> Result<Vec<Under>> {
    conn.query(Sql::from(column.count)).all().await
}

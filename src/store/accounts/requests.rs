use crate::model::Time;
use crate::model::accounts::requests::Request;
use crate::model::ids::{AccountId, RequestId};
use crate::store::{Conn, Result, Tx};

macro_rules! columns {
    () => {
        "id, account_id, path, key_id, operation, method, target, status, code, idempotency_key, replayed,
         address, user_agent, client_request_id, duration_us, received_at"
    };
}

/// Keeps a request, where its account stands by now.
pub async fn insert(tx: &mut Tx, request: &Request) -> Result<()> {
    tx.later(concat!(
        "INSERT INTO requests (",
        columns!(),
        ") VALUES ($1, $2, COALESCE((SELECT path FROM accounts WHERE accounts.id = $2), $3), $4, $5, $6, $7, $8,
             $9, $10, $11, $12, $13, $14, $15, $16)"
    ))
    .bind(request.id)
    .bind(request.account_id)
    .bind(&request.path)
    .bind(request.key_id)
    .bind(&request.operation)
    .bind(&request.method)
    .bind(&request.target)
    .bind(request.status)
    .bind(&request.code)
    .bind(&request.idempotency_key)
    .bind(request.replayed)
    .bind(&request.address)
    .bind(&request.user_agent)
    .bind(&request.client_request_id)
    .bind(request.duration_us)
    .bind(request.received_at)
    .send()
    .await
}

pub async fn find(conn: &mut Conn, id: RequestId) -> Result<Option<Request>> {
    conn.query(concat!("SELECT ", columns!(), " FROM requests WHERE id = $1 AND path >= $2 AND path < $3"))
        .bind(id)
        .within()
        .optional()
        .await
}

/// An account's requests before one, the newest first.
pub async fn page(
    conn: &mut Conn,
    account: AccountId,
    before: Option<RequestId>,
    limit: i64,
) -> Result<Vec<Request>> {
    conn.query(concat!(
        "SELECT ",
        columns!(),
        " FROM requests WHERE account_id = $1 AND id < $2 AND path >= $3 AND path < $4 ORDER BY id DESC LIMIT $5"
    ))
    .bind(account)
    .bind(before.map_or_else(|| format!("{}~", RequestId::PREFIX), |id| id.to_string()))
    .within()
    .bind(limit)
    .all()
    .await
}

/// Removes some of those that were received before a time, and says how many.
pub async fn forget(tx: &mut Tx, before: Time, limit: i64) -> Result<u64> {
    tx.query(
        "DELETE FROM requests WHERE id IN (
             SELECT id FROM requests WHERE received_at < $1 ORDER BY received_at LIMIT $2)",
    )
    .bind(before)
    .bind(limit)
    .execute()
    .await
}

//! The first credential, made on the server itself.

use std::time::Duration;

use secrecy::SecretString;

use super::audit::{COMMAND_LINE, command_line};
use super::{Program, Stop};
use crate::access::secret::SecretKey;
use crate::cli::KeyOrder;
use crate::domain::accounts::accounts;
use crate::domain::accounts::keys::{self, Issue};
use crate::domain::{self, Work};
use crate::model::Subtree;
use crate::model::accounts::keys::STANDARD_CLASS;
use crate::model::events::events::Cause;
use crate::model::ids::KeyId;
use crate::model::services::ReasonClass;
use crate::store;

/// A key that was made, and its secret, which is told once.
pub struct Made {
    pub id: KeyId,
    pub account: String,
    pub secret: SecretString,
}

impl Program {
    /// Makes a key for an account, or, if none is named, for the operator, whose account is opened if it is
    /// not there yet.
    pub async fn create_key(&self, order: &KeyOrder) -> Result<Made, Stop> {
        let told = |error: domain::Error| Stop::failed(error);
        let tx = self.db.write(Subtree::everything()).await?;
        let cause = Cause { key_id: None, request_id: None, reason_code: None };
        let mut work = Work::because(tx, cause, self.clock.now());
        let account = match order.account {
            Some(id) => store::accounts::accounts::find(&mut work.tx, id)
                .await?
                .ok_or_else(|| Stop::failed(format!("there is no account {id}")))?,
            None => accounts::create_root(&mut work, "Operator", order.env).await.map_err(told)?,
        };
        if order.env != account.environment {
            let text = format!("the account {} is a {} account", account.id, account.environment);
            return Err(Stop::failed(text));
        }
        let (scopes, hold_classes) = match order.bundle {
            Some(bundle) => (bundle.scopes(), bundle.hold_classes()),
            None => (order.scopes.clone(), ReasonClass::PLACED.to_vec()),
        };
        let id = KeyId::new();
        let secret = SecretKey::generate(account.environment, id);
        let days = Duration::from_secs(u64::from(order.expires_days) * 24 * 60 * 60);
        let issue = Issue {
            id,
            secret_hash: secret.hash,
            account_id: Some(account.id),
            name: order.name.clone(),
            scopes,
            hold_classes,
            allowed_addresses: Vec::new(),
            roots: Vec::new(),
            not_before: None,
            rate_class: None,
            spend_cap: None,
            member_id: None,
            maker_class: STANDARD_CLASS.into(),
            expires_at: Some(work.now.plus(days)),
        };
        keys::insert(&mut work, &account, issue, COMMAND_LINE).await.map_err(told)?;
        let line = command_line(&mut work.tx, &account, "keys_create", id.to_string(), work.now).await?;
        work.finish_with(Some(line)).await.map_err(told)?;
        Ok(Made { id, account: account.id.to_string(), secret: secret.text })
    }
}

//! Under which name and with which looks an account sells.

use super::accounts::{find, unless_closed};
use crate::domain::{Error, Object, Result, Work, check_version};
use crate::model::accounts::branding::{Branded, Branding};
use crate::model::events::events::EventType;
use crate::model::ids::AccountId;
use crate::model::{Json, Path, Precondition};
use crate::store;
use crate::store::Conn;
use crate::store::versions::Versioned;

/// What an account says of its looks, and what comes of it.
#[derive(Debug, Clone)]
pub struct Shown {
    pub own: Option<Branding>,
    pub effective: Branding,
    /// The account's.
    pub version: i64,
}

impl Shown {
    fn of(way: Vec<Branded>) -> Result<Self> {
        let own = way.first().ok_or(Error::AccountNotFound)?;
        let (own, version) = (own.branding.clone().map(|Json(own)| own), own.version);
        Ok(Self { own, effective: Branding::along(way), version })
    }
}

/// What is seen at the place.
pub async fn shown(conn: &mut Conn, place: &Path) -> Result<Shown> {
    Shown::of(store::accounts::branding::along(conn, place).await?)
}

/// Has a seller look so to its customers and to those of the sellers below it that say nothing else.
pub async fn put(
    work: &mut Work,
    id: AccountId,
    branding: Option<Branding>,
    expected: &Precondition,
) -> Result<Shown> {
    let account = unless_closed(find(&mut work.tx, id).await?)?;
    check_version(work, Versioned::Account, id, account.version, expected).await?;
    let before = shown(&mut work.tx, &account.path).await?;
    if before.own == branding {
        return Ok(before);
    }
    if branding.is_some() && !account.account_type.sells() {
        let current = format!("of a {}, which has no customers", account.account_type);
        return Err(Error::State { current, action: "A branding", allowed: Vec::new() });
    }
    let written =
        store::accounts::branding::put(&mut work.tx, id, account.version, branding.as_ref(), work.now);
    if !written.await? {
        return Err(Error::Busy);
    }
    let shown = shown(&mut work.tx, &account.path).await?;
    let object = Object::new(id, shown.version, &shown.effective);
    let told = object.instead_of(serde_json::to_value(&before.effective).expect("views serialize"));
    work.event(EventType::BrandingUpdated, (id, &account.path), "branding", told);
    Ok(shown)
}

//! Telling of quotas that fill up.

use crate::domain::{Error, Object, Result, Work};
use crate::model::events::events::EventType;
use crate::store;

/// Tells of thresholds that quotas have reached since it was looked last, each once, and ends the work; says how many quotas
/// there were. It is done apart from what fills them, and the rows are written last: whoever takes quota waits for nobody's
/// events.
pub async fn tell(mut work: Work, limit: i64) -> Result<usize> {
    let crossings = store::quotas::quotas::crossed(&mut work.tx, limit).await?;
    for crossing in &crossings {
        if let Some(view) = crossing.view() {
            let quota = &crossing.quota;
            let id = format!("{}/{}", view.holder, quota.key);
            let object = Object::new(id, work.now.as_micros(), &view);
            work.event(EventType::QuotaThreshold, (quota.account_id, &quota.path), "quota", object);
        }
    }
    work.record(None).await?;
    if store::quotas::quotas::set_told(&mut work.tx, &crossings).await? < crossings.len() {
        // Another replica was here.
        return Err(Error::Busy);
    }
    work.tx.commit().await?;
    Ok(crossings.len())
}

//! How much may be ordered with a key.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::money::Currency;

/// How much may be ordered with a key, in minor units of a currency. Of an order counts what it costs with itself and in
/// its first billing period; of a change of what runs, what it costs more in each, and what is due once. What has no price, or one in another
/// currency, cannot be ordered with the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SpendCap {
    pub currency: Currency,
    /// By one order; as much as by a day's if left out.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1_000_000_000_000_000_i64, example = 50_000)]
    pub per_order: Option<i64>,
    /// By all orders of a day (UTC). What of them fails or is cancelled counts as well.
    #[schema(minimum = 0, maximum = 1_000_000_000_000_000_i64, example = 200_000)]
    pub per_day: i64,
}

//! Limits of storefronts' keys. Everybody has such a key, so what is asked with it takes nothing from the limits of
//! its account: each key has its own, of all visitors together and of each address.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

use super::{Denied, Draw, Layer, Level, Policy, Table, WINDOW, denied, origin, tell};
use crate::model::Time;
use crate::model::ids::KeyId;

/// How many buckets are kept; the fullest are forgotten first.
const BUCKETS: usize = 200_000;
const LAYERS: [Layer; 2] = [Layer::Key, Layer::Address];

/// What may be asked with a key, by all and from one address: in a minute, and of sign-ups in an hour.
#[derive(Debug, Clone, Copy)]
pub struct Caps {
    pub all: u64,
    pub address: u64,
}

/// The limiter of storefronts' keys of one process.
pub struct Storefronts {
    table: Table,
    hasher: RandomState,
}

/// How a key stands, and the address that it was used from.
#[derive(Debug, Clone, Copy)]
pub struct Left {
    caps: Caps,
    levels: [Level; 2],
}

impl Storefronts {
    #[expect(clippy::new_without_default, reason = "it is made once, by name")]
    pub fn new() -> Self {
        Self { table: Table::new(BUCKETS), hasher: RandomState::new() }
    }

    /// Draws one request with a key from an address, from both buckets or from none; the second is how it stands.
    pub fn request(
        &self,
        key: KeyId,
        caps: Caps,
        address: Option<IpAddr>,
        now: Time,
    ) -> (Result<(), Denied>, Left) {
        let draw = |bucket, quota| Draw { bucket, policy: policy(quota), units: 1 };
        let draws = [
            draw(self.hasher.hash_one((Layer::Key, key)), caps.all),
            draw(self.hasher.hash_one((Layer::Address, key, address.map(origin))), caps.address),
        ];
        let mut levels = [Level { remaining: 0, wait: 0 }; 2];
        let admitted = self.table.take(&draws, now, &mut levels);
        let decided = if admitted { Ok(()) } else { Err(denied(&LAYERS, &levels, None)) };
        (decided, Left { caps, levels })
    }
}

fn policy(quota: u64) -> Policy {
    Policy { quota, window: WINDOW }
}

impl Left {
    /// For the header `RateLimit-Policy`.
    pub fn policy_header(&self) -> String {
        format!("\"key\";q={};w={WINDOW}, \"addr\";q={};w={WINDOW}", self.caps.all, self.caps.address)
    }

    /// For the header `RateLimit`; the address first, whose limit is mostly the tighter one.
    pub fn header(&self) -> String {
        let [all, address] = self.levels;
        let mut text = String::new();
        tell(&mut text, Layer::Address, policy(self.caps.address), address);
        tell(&mut text, Layer::Key, policy(self.caps.all), all);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RL-2, RL-11
    #[test]
    fn one_address_takes_its_own_share_and_all_together_the_keys() {
        let (limiter, key, now) = (Storefronts::new(), KeyId::new(), Time::EPOCH);
        let caps = Caps { all: 5, address: 2 };
        let from = |last: u8| Some(IpAddr::from([203, 0, 113, last]));
        let ask = |key, last| limiter.request(key, caps, from(last), now).0.map_err(|denied| denied.violated);
        assert_eq!([ask(key, 1), ask(key, 1)], [Ok(()), Ok(())]);
        assert_eq!(ask(key, 1), Err(vec!["addr"]), "and what is denied takes nothing from the key");
        assert_eq!([ask(key, 2), ask(key, 2), ask(key, 3)], [Ok(()), Ok(()), Ok(())]);
        assert_eq!(ask(key, 3), Err(vec!["key"]));
        assert_eq!(ask(KeyId::new(), 3), Ok(()), "another key has limits of its own");
    }
}

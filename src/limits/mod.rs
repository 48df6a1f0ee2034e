//! How much a caller may ask for: rate limits in layers (GCRA), and what a request costs in each.

mod breaker;
mod delay;
pub mod load;
mod shared;
pub mod storefronts;
mod table;

use std::fmt::Write;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::model::ids::{AccountId, KeyId};
use crate::model::scopes::Scope;
use crate::model::{Path, Time};

pub use shared::{PATIENCE, Shared};
pub use table::{Draw, Level, Policy, Table};

/// How many buckets are kept; the fullest are forgotten first.
const BUCKETS: usize = 400_000;
/// Seconds that all policies look over, but for those of sign-ups.
const WINDOW: u64 = 60;
const HOUR: u64 = 3600;
/// How many sign-ups with one mail address are taken in an hour with one key: each of them has a mail sent there.
const SIGNUPS_WITH_ONE: u64 = 3;

/// What may be asked for in a minute, in units, at each layer.
#[derive(Debug, Clone)]
pub struct Quotas {
    /// By the name of the key's class, the standard one first.
    pub key: Vec<(String, u64)>,
    pub account: u64,
    pub subtree: u64,
    pub address: u64,
    /// Of what is posted without a credential, from one address and from all.
    pub address_posts: u64,
    pub posts: u64,
}

/// The policies by the names that callers see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layer {
    Key,
    Account,
    Subtree,
    Address,
    AddressPosts,
    Posts,
    /// Sign-ups with a storefront's key: of all, of one address, and with one mail address.
    Signups,
    SignupsFrom,
    SignupsWith,
}

impl Layer {
    pub const fn name(self) -> &'static str {
        match self {
            Layer::Key => "key",
            Layer::Account => "acct",
            Layer::Subtree => "subtree",
            Layer::Address => "addr",
            Layer::AddressPosts => "addr-post",
            Layer::Posts => "post",
            Layer::Signups => "signup",
            Layer::SignupsFrom => "signup-addr",
            Layer::SignupsWith => "signup-email",
        }
    }
}

/// As what an operation is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    Read,
    Write,
    /// What sets off work elsewhere.
    Action,
    /// All that there is, in one answer.
    Export,
}

impl Cost {
    /// Of an operation that needs a scope.
    pub fn of(scope: Scope, exports: bool) -> Self {
        match scope.as_str().rsplit(':').next() {
            _ if exports => Self::Export,
            Some("read") => Self::Read,
            Some("write") => Self::Write,
            _ => Self::Action,
        }
    }

    pub fn units(self) -> u64 {
        match self {
            Self::Read => 1,
            Self::Write => 2,
            Self::Action => 5,
            Self::Export => 20,
        }
    }
}

/// The limiter of one process, and of all replicas where they share one Redis.
pub struct Limiter {
    table: Table,
    shared: Option<Arc<Shared>>,
    hasher: RandomState,
    classes: Vec<(String, Policy)>,
    account: Policy,
    subtree: Policy,
    address: Policy,
    address_posts: Policy,
    posts: Policy,
}

/// Who asks with a credential.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    pub key: KeyId,
    /// The name of the key's class.
    pub class: &'a str,
    pub account: AccountId,
    pub path: &'a Path,
}

/// How a caller stands with its own two policies, for the header `RateLimit`.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    /// Which of the classes the key is in.
    pub class: usize,
    key: Level,
    account: Level,
}

/// A request that is over a limit.
#[derive(Debug, Clone)]
pub struct Denied {
    /// The policies that it violates, by name.
    pub violated: Vec<&'static str>,
    /// Seconds until the same request may be taken.
    pub wait: u64,
    /// How the caller stands; none if it is not known who calls.
    pub standing: Option<Standing>,
}

impl Limiter {
    /// A limiter that shares its buckets with others where there is something to share them over.
    pub fn new(quotas: Quotas, shared: Option<Arc<Shared>>) -> Self {
        let policy = |quota| Policy { quota, window: WINDOW };
        Self {
            table: Table::new(BUCKETS),
            shared,
            hasher: RandomState::new(),
            classes: quotas.key.into_iter().map(|(name, quota)| (name, policy(quota))).collect(),
            account: policy(quotas.account),
            subtree: policy(quotas.subtree),
            address: policy(quotas.address),
            address_posts: policy(quotas.address_posts),
            posts: policy(quotas.posts),
        }
    }

    /// Each policy with its name: those that hold for a caller of this class, then those of strangers.
    pub fn policies(&self, class: &str) -> [(Layer, Policy); 6] {
        [
            (Layer::Key, self.classes[self.class(class)].1),
            (Layer::Account, self.account),
            (Layer::Subtree, self.subtree),
            (Layer::Address, self.address),
            (Layer::AddressPosts, self.address_posts),
            (Layer::Posts, self.posts),
        ]
    }

    /// The names of the classes of keys, the standard one first.
    pub fn classes(&self) -> impl Iterator<Item = &str> {
        self.classes.iter().map(|(name, _)| name.as_str())
    }

    /// Where a class stands; one that is no more is the standard one.
    fn class(&self, name: &str) -> usize {
        self.classes.iter().position(|(known, _)| known == name).unwrap_or_default()
    }

    /// Draws the units of an authenticated request from all layers, or from none.
    pub async fn request(&self, asker: Asker<'_>, units: u64, now: Time) -> Result<Standing, Denied> {
        let class = self.class(asker.class);
        let parent = asker.path.parent_text();
        let draws = [
            self.draw((Layer::Key, asker.key), self.classes[class].1, units),
            self.draw((Layer::Account, asker.account), self.account, units),
            self.draw((Layer::Subtree, parent), self.subtree, units),
        ];
        let draws = if parent.is_some() { &draws[..] } else { &draws[..2] };
        let mut levels = [Level { remaining: 0, wait: 0 }; 3];
        let levels = &mut levels[..draws.len()];
        let names = |shared: &Shared| {
            let own = [(Layer::Key, asker.key.to_string()), (Layer::Account, asker.account.to_string())];
            let above = parent.map(|parent| (Layer::Subtree, parent.to_owned()));
            own.into_iter().chain(above).map(|(layer, whose)| shared.name(layer.name(), &whose)).collect()
        };
        let admitted = self.take(draws, names, now, levels).await;
        let standing = Standing { class, key: levels[0], account: levels[1] };
        let layers = [Layer::Key, Layer::Account, Layer::Subtree];
        if admitted { Ok(standing) } else { Err(denied(&layers, levels, Some(standing))) }
    }

    /// Draws one unit for a request of which only the address is known. IPv6 addresses that share their first
    /// 64 bits count as one.
    pub async fn stranger(&self, address: Option<IpAddr>, now: Time) -> Result<(), Denied> {
        self.of_strangers(&[(Layer::Address, self.address)], address, now).await
    }

    /// Draws one unit for something that is posted without a credential: from what its address may post, and
    /// from what all strangers together may.
    pub async fn post(&self, address: Option<IpAddr>, now: Time) -> Result<(), Denied> {
        let layers = [(Layer::AddressPosts, self.address_posts), (Layer::Posts, self.posts)];
        self.of_strangers(&layers, address, now).await
    }

    /// Draws one sign-up with a storefront's key: from what all, one network address and one mail address may have.
    pub async fn signup(
        &self,
        key: KeyId,
        caps: storefronts::Caps,
        address: Option<IpAddr>,
        email: &str,
        now: Time,
    ) -> Result<(), Denied> {
        let layers = [Layer::Signups, Layer::SignupsFrom, Layer::SignupsWith];
        let whose = [
            key.to_string(),
            format!("{key}/{}", address.map(origin).unwrap_or_default()),
            format!("{key}/{}", hex::encode(&Sha256::digest(email)[..16])),
        ];
        let quotas = [caps.all, caps.address, SIGNUPS_WITH_ONE];
        let policy = |quota| Policy { quota, window: HOUR };
        let draws = [0, 1, 2].map(|at| self.draw((layers[at], &whose[at]), policy(quotas[at]), 1));
        let names = |shared: &Shared| {
            let names = layers.iter().zip(&whose);
            names.map(|(layer, whose)| shared.name(layer.name(), whose)).collect()
        };
        let mut levels = [Level { remaining: 0, wait: 0 }; 3];
        match self.take(&draws, names, now, &mut levels).await {
            true => Ok(()),
            false => Err(denied(&layers, &levels, None)),
        }
    }

    async fn of_strangers(
        &self,
        layers: &[(Layer, Policy)],
        address: Option<IpAddr>,
        now: Time,
    ) -> Result<(), Denied> {
        let whose = |layer| if layer == Layer::Posts { None } else { address.map(origin) };
        let draw = |(layer, policy): &(Layer, Policy)| self.draw((*layer, whose(*layer)), *policy, 1);
        let draws: Vec<_> = layers.iter().map(draw).collect();
        let names = |shared: &Shared| {
            let name = |(layer, _): &(Layer, Policy)| {
                shared.name(layer.name(), &whose(*layer).map(|origin| origin.to_string()).unwrap_or_default())
            };
            layers.iter().map(name).collect()
        };
        let mut levels = vec![Level { remaining: 0, wait: 0 }; layers.len()];
        match self.take(&draws, names, now, &mut levels).await {
            true => Ok(()),
            false => {
                let layers: Vec<_> = layers.iter().map(|(layer, _)| *layer).collect();
                Err(denied(&layers, &levels, None))
            }
        }
    }

    fn draw(&self, bucket: impl std::hash::Hash, policy: Policy, units: u64) -> Draw {
        Draw { bucket: self.hasher.hash_one(bucket), policy, units }
    }

    /// Draws from all buckets or from none: of those that all replicas share, or, where there are none or they
    /// cannot be reached, of this process's own.
    async fn take(
        &self,
        draws: &[Draw],
        names: impl Fn(&Shared) -> Vec<String>,
        now: Time,
        levels: &mut [Level],
    ) -> bool {
        let Some(shared) = &self.shared else { return self.table.take(draws, now, levels) };
        if let Some(admitted) = Box::pin(self.take_shared(shared, draws, &names, now, levels)).await {
            return admitted;
        }
        let replicas = shared.replicas();
        let part = |draw: &Draw| Draw { policy: draw.policy.part(replicas, draw.units), ..*draw };
        let parts: Vec<_> = draws.iter().map(part).collect();
        self.table.take(&parts, now, levels)
    }

    async fn take_shared(
        &self,
        shared: &Shared,
        draws: &[Draw],
        names: &impl Fn(&Shared) -> Vec<String>,
        now: Time,
        levels: &mut [Level],
    ) -> Option<bool> {
        if shared.is_degraded() {
            return None;
        }
        // What was drawn here while Redis was away is not drawn a second time there.
        let longest = draws.iter().map(|draw| draw.policy.window).max().unwrap_or(WINDOW);
        let floors = match shared.was_away_within(Duration::from_secs(longest)) {
            true => self.table.debts(draws, now),
            false => vec![0; draws.len()],
        };
        let mut decision = shared.take(&names(shared), draws, &floors).await?;
        for ((draw, debt), level) in draws.iter().zip(&mut decision.debts).zip(levels) {
            let wait = draw.wait(*debt);
            *debt += if decision.admitted { draw.policy.cost(draw.units) } else { 0 };
            *level = draw.level(*debt, wait);
        }
        // The buckets here follow, so that they are as empty when Redis cannot be asked.
        self.table.follow(draws, &decision.debts, now);
        Some(decision.admitted)
    }

    /// For the header `RateLimit-Policy` of the answer to an authenticated request, for each class.
    pub fn policy_headers(&self) -> impl Iterator<Item = String> {
        let account = self.account.quota;
        self.classes.iter().map(move |(_, key)| {
            format!("\"key\";q={};w={WINDOW}, \"acct\";q={account};w={WINDOW}", key.quota)
        })
    }

    /// For the header `RateLimit`: what is left, and in how many seconds there is more; the tightest first.
    pub fn standing_header(&self, standing: &Standing) -> String {
        let key = self.classes[standing.class].1;
        let parts = [(Layer::Key, key, standing.key), (Layer::Account, self.account, standing.account)];
        let share = |level: Level, policy: Policy| level.remaining as f64 / policy.quota as f64;
        let account_first = share(standing.account, self.account) < share(standing.key, key);
        let order = if account_first { [1, 0] } else { [0, 1] };
        let mut text = String::with_capacity(48);
        for at in order {
            let (layer, policy, level) = parts[at];
            tell(&mut text, layer, policy, level);
        }
        text
    }
}

/// Adds to the header `RateLimit` what is left of a policy, and in how many seconds there is more.
fn tell(text: &mut String, layer: Layer, policy: Policy, level: Level) {
    let until = seconds(level.wait).max(policy.window.div_ceil(policy.quota.max(1)));
    let comma = if text.is_empty() { "" } else { ", " };
    let _ = write!(text, "{comma}\"{}\";r={};t={until}", layer.name(), level.remaining);
}

/// What of an address counts as one caller.
pub fn origin(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits() >> 64 << 64,
    }
}

fn denied(layers: &[Layer], levels: &[Level], standing: Option<Standing>) -> Denied {
    let over = layers.iter().zip(levels).filter(|(_, level)| level.wait > 0);
    let violated = over.map(|(layer, _)| layer.name()).collect();
    let longest = levels.iter().map(|level| level.wait).max().unwrap_or_default();
    Denied { violated, wait: seconds(longest), standing }
}

fn seconds(nanos: i64) -> u64 {
    u64::try_from(nanos).unwrap_or_default().div_ceil(1_000_000_000)
}

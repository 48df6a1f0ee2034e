//! Lives of a channel, drawn at random: a tree of accounts, how it is bounded, and what callers do in it side by side.

use proptest::prelude::*;

pub const KEYS: [&str; 2] = ["mail.mailboxes", "mail.storage_mb"];
/// The operator and those who sell below it, first of all accounts.
pub const SELLERS: usize = 9;
const TENANTS: usize = 6;
/// Chooses among what there is by then.
const ANY: std::ops::Range<usize> = 0..1000;

/// What somebody does.
#[derive(Debug, Clone)]
pub enum Act {
    Order { account: usize, plan: usize, quantity: i64, mailboxes: usize },
    Quantity { subscription: usize, quantity: i64 },
    Plan { subscription: usize, plan: usize },
    Addon { subscription: usize, quantity: i64 },
    Cancel { subscription: usize },
    Renew { subscription: usize },
    Mailbox { service: usize, size: i64 },
    Delete { mailbox: usize },
    Transfer { subscription: usize, account: usize },
    Move { account: usize, below: usize },
    Ceiling { account: usize, key: usize, ceiling: Option<i64>, allocated: bool },
}

impl Act {
    pub fn name(&self) -> &'static str {
        match self {
            Act::Order { .. } => "order",
            Act::Quantity { .. } => "change_quantity",
            Act::Plan { .. } => "change_plan",
            Act::Addon { .. } => "change_addon",
            Act::Cancel { .. } => "cancel",
            Act::Renew { .. } => "renew",
            Act::Mailbox { .. } => "mailbox",
            Act::Delete { .. } => "delete",
            Act::Transfer { .. } => "transfer",
            Act::Move { .. } => "move",
            Act::Ceiling { .. } => "ceiling",
        }
    }
}

/// All that goes on at a site: a tree, what of it is bounded to begin with, and what each of some callers does.
#[derive(Debug, Clone)]
pub struct Life {
    /// Whose child each account is, among those before it; the first is the operator.
    pub tree: Vec<usize>,
    pub bounds: Vec<Act>,
    pub callers: Vec<Vec<Act>>,
}

fn act() -> impl Strategy<Value = Act> {
    let order = (ANY, ANY, 1..6i64, 0..4usize).prop_map(|(account, plan, quantity, mailboxes)| Act::Order {
        account,
        plan,
        quantity,
        mailboxes,
    });
    prop_oneof![
        6 => order,
        3 => (ANY, 1..9i64).prop_map(|(subscription, quantity)| Act::Quantity { subscription, quantity }),
        2 => (ANY, ANY).prop_map(|(subscription, plan)| Act::Plan { subscription, plan }),
        2 => (ANY, 0..4i64).prop_map(|(subscription, quantity)| Act::Addon { subscription, quantity }),
        1 => ANY.prop_map(|subscription| Act::Cancel { subscription }),
        1 => ANY.prop_map(|subscription| Act::Renew { subscription }),
        8 => (ANY, 1..300i64).prop_map(|(service, size)| Act::Mailbox { service, size }),
        3 => ANY.prop_map(|mailbox| Act::Delete { mailbox }),
        1 => (ANY, ANY).prop_map(|(subscription, account)| Act::Transfer { subscription, account }),
        1 => (ANY, ANY).prop_map(|(account, below)| Act::Move { account, below }),
        1 => ceiling(0..40),
    ]
}

fn ceiling(most: std::ops::Range<i64>) -> impl Strategy<Value = Act> {
    (ANY, 0..KEYS.len(), prop::option::weighted(0.8, most), any::<bool>()).prop_map(
        |(account, key, ceiling, allocated)| {
            // A mailbox is of 150 MB on average.
            let ceiling = ceiling.map(|ceiling| if key == 0 { ceiling } else { ceiling * 100 });
            Act::Ceiling { account, key, ceiling, allocated }
        },
    )
}

pub fn life() -> impl Strategy<Value = Life> {
    // Sellers near to the one before: deep trees, not broad ones.
    let sellers = (1..SELLERS).map(|at| at.saturating_sub(2)..at);
    let above: Vec<_> = sellers.chain((0..TENANTS).map(|_| 0..SELLERS)).collect();
    let bounds = prop::collection::vec(ceiling(10..60), 4..9);
    let callers = prop::collection::vec(prop::collection::vec(act(), 20), 8);
    (above, bounds, callers).prop_map(|(tree, bounds, callers)| Life { tree, bounds, callers })
}

//! What an account lets those above it do in it. This is the one decision: whoever reaches for a row, by whatever
//! name, does so through a connection whose [`Subtree`](crate::model::Subtree) carries a [`Guard`].

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::Path;
use crate::model::scopes::Scope;
use crate::stored_as_text;

stored_as_text! {
    /// How far the accounts above may act in an account and in all below it.
    pub enum Allow {
        /// They keep what they need to sell to it, and nothing else.
        None = "none",
        /// They read.
        Read = "read",
        /// They read and change.
        Full = "full",
    }
}

/// What an account lets those above it do in it and in all below it. Their own side of what they sell it stays with
/// them: accounts, orders, subscriptions, services and operations to see, orders to cancel, holds, quotas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Delegation {
    pub allow: Allow,
}

/// The accounts that let those above them do less than everything.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Walls(BTreeMap<String, Allow>);

impl Walls {
    pub fn new(said: impl IntoIterator<Item = (Path, Allow)>) -> Self {
        Self(said.into_iter().map(|(path, allow)| (path.to_string(), allow)).collect())
    }
}

impl Scope {
    /// Whether it belongs to the side of a sale that is the seller's own: to see whom it sold what, to approve of an order,
    /// cancel it and mend what is stuck, to hold what is not paid or abused, to set ceilings. No account below has a say in it.
    pub fn is_commercial(self) -> bool {
        use Scope::*;
        matches!(
            self,
            AccountsRead
                | CatalogRead
                | CatalogWrite
                | OrdersRead
                | OrdersCancel
                | OrdersApprove
                | SubscriptionsRead
                | SubscriptionsWrite
                | ServicesRead
                | ServicesSuspend
                | ServicesResume
                | HoldsOverride
                | QuotasRead
                | QuotasWrite
                | QuotasApprove
                | OperationsRead
                | OperationsWrite
                | EventsRead
        )
    }

    /// Whether it changes nothing.
    pub fn reads(self) -> bool {
        self.as_str().ends_with(":read")
    }
}

/// What of those above is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Nothing: it is their own side of what they sell.
    Theirs,
    /// What the account says of it.
    Walls { writes: bool },
    /// Nothing that it says matters: the operator has taken it from all sellers.
    Withheld,
}

impl Rule {
    /// The rule for an operation that needs the scope; whether it only reads.
    pub fn of(scope: Scope, operation: &str, reads: bool, withheld: &[String]) -> Self {
        if withheld.iter().any(|name| name == operation) {
            return Rule::Withheld;
        }
        // The scope of the feed reads webhooks as well, which are the account's own.
        let of_events = operation == "events_list" || operation.ends_with("_timeline");
        let of_webhooks = scope == Scope::EventsRead && !of_events;
        // And that of accounts their people.
        let of_people = operation.starts_with("members_");
        match scope.is_commercial() && !of_webhooks && !of_people {
            true => Rule::Theirs,
            false => Rule::Walls { writes: !reads },
        }
    }
}

/// Refuses to those above what the accounts below do not let them do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    principal: Path,
    rule: Rule,
    walls: Arc<Walls>,
}

impl Guard {
    /// For whoever is at `principal`; none where nothing stands in its way.
    pub fn over(principal: &Path, rule: Rule, walls: Arc<Walls>) -> Option<Self> {
        let stands = match rule {
            Rule::Theirs => false,
            Rule::Walls { .. } => !walls.0.is_empty(),
            Rule::Withheld => principal.depth() > 1,
        };
        stands.then(|| Self { principal: principal.clone(), rule, walls })
    }

    /// Whether the account at `path`, or one between it and the principal, refuses this.
    pub fn refuses(&self, path: &Path) -> bool {
        let below = path.depth() > self.principal.depth() && self.principal.covers(path);
        below
            && match self.rule {
                Rule::Theirs => false,
                Rule::Withheld => true,
                Rule::Walls { writes } => path
                    .upwards()
                    .take_while(|above| above.depth() > self.principal.depth())
                    .any(|above| self.walls.0.get(above.as_str()).is_some_and(|allow| stops(*allow, writes))),
            }
    }

    /// The paths between two at which an account refuses this, in their order; some lie below others.
    pub fn walls_between<'g>(&'g self, from: &str, to: &str) -> impl Iterator<Item = &'g str> {
        let range = (Bound::Included(from), Bound::Excluded(to));
        let walls = self.walls.0.range::<str, _>(range).map(|(path, allow)| (path.as_str(), *allow));
        walls.filter_map(|(path, allow)| {
            let below =
                path.len() > self.principal.as_str().len() && path.starts_with(self.principal.as_str());
            let stops = match self.rule {
                Rule::Walls { writes } => stops(allow, writes),
                Rule::Theirs | Rule::Withheld => false,
            };
            (below && stops).then_some(path)
        })
    }
}

fn stops(allow: Allow, writes: bool) -> bool {
    match allow {
        Allow::None => true,
        Allow::Read => writes,
        Allow::Full => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::AccountId;

    /// AUTHZ-6
    #[test]
    fn a_wall_stands_for_all_below_it_and_against_those_above_it_only() {
        let operator = Path::root(AccountId::new());
        let (reseller, other) = (operator.child(AccountId::new()), operator.child(AccountId::new()));
        let tenant = reseller.child(AccountId::new());
        let leaf = tenant.child(AccountId::new());
        for (allow, reads, writes) in
            [(Allow::None, true, true), (Allow::Read, false, true), (Allow::Full, false, false)]
        {
            let walls = Arc::new(Walls::new([(tenant.clone(), allow)]));
            for (writes, refused) in [(false, reads), (true, writes)] {
                let refuses = |principal: &Path, path: &Path| {
                    Guard::over(principal, Rule::Walls { writes }, walls.clone()).unwrap().refuses(path)
                };
                for above in [&operator, &reseller] {
                    assert_eq!(refuses(above, &tenant), refused);
                    assert_eq!(refuses(above, &leaf), refused);
                    assert!(!refuses(above, &reseller) && !refuses(above, &other));
                }
                assert!(!refuses(&tenant, &tenant) && !refuses(&tenant, &leaf) && !refuses(&leaf, &leaf));
            }
        }
        assert_eq!(Guard::over(&operator, Rule::Walls { writes: true }, Arc::default()), None);
    }

    /// AUTHZ-6
    #[test]
    fn what_is_withheld_from_sellers_is_left_to_the_operator_and_to_the_account_itself() {
        let operator = Path::root(AccountId::new());
        let reseller = operator.child(AccountId::new());
        let tenant = reseller.child(AccountId::new());
        let over = |principal: &Path| Guard::over(principal, Rule::Withheld, Arc::default());
        assert_eq!(over(&operator), None);
        assert!(over(&reseller).unwrap().refuses(&tenant));
        assert!(!over(&reseller).unwrap().refuses(&reseller));
        assert!(!over(&tenant).unwrap().refuses(&tenant));
    }
}

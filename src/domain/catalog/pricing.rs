//! What a buyer pays for a plan: the price goes down the tree from the plan's account to the buyer's seller, and each
//! account on the way makes of what it pays what it charges.

use crate::domain::Result;
use crate::model::catalog::plans::Plan;
use crate::model::catalog::price_lists::{Passed, Price, PriceList, Says, passed_on};
use crate::model::ids::PriceListId;
use crate::model::money::Rate;
use crate::model::{Path, Time};
use crate::store;
use crate::store::Conn;

/// All that is sold by one account to one customer, or to those who have nothing of their own agreed.
pub struct Counter {
    seller: Path,
    lists: Vec<PriceList>,
    /// The labels of the accounts on the way from the root to the customer.
    way: Vec<String>,
}

impl Counter {
    /// Where the account at `buyer` buys; what is its own costs it nothing.
    pub async fn of(conn: &mut Conn, buyer: &Path) -> Result<Option<Self>> {
        let Some(seller) = buyer.upwards().nth(1) else { return Ok(None) };
        Self::open(conn, seller, Some(buyer)).await.map(Some)
    }

    /// Where anybody buys who is no customer of the seller's yet.
    pub async fn in_public(conn: &mut Conn, seller: &Path) -> Result<Self> {
        Self::open(conn, seller.clone(), None).await
    }

    async fn open(conn: &mut Conn, seller: Path, buyer: Option<&Path>) -> Result<Self> {
        let lists = store::catalog::price_lists::along(conn, &seller, buyer).await?;
        let mut way: Vec<_> =
            buyer.unwrap_or(&seller).upwards().map(|place| place.label().to_owned()).collect();
        way.reverse();
        Ok(Self { seller, lists, way })
    }

    /// What each of the plans costs here, in their order.
    pub async fn prices(&self, conn: &mut Conn, plans: &[Plan], now: Time) -> Result<Vec<Passed>> {
        let lists: Vec<_> = self.lists.iter().map(|list| list.id).collect();
        let ids: Vec<_> = plans.iter().map(|plan| plan.id).collect();
        let said = store::catalog::prices::at(conn, &lists, &ids, now).await?;
        Ok(plans.iter().map(|plan| self.price(plan, &said)).collect())
    }

    fn price(&self, plan: &Plan, said: &[Price]) -> Passed {
        let rule_of = |list: PriceListId| {
            said.iter()
                .find(|price| price.price_list_id == list && price.plan_id == plan.id)
                .map(|price| &price.rule.0)
        };
        let mut sellers: Vec<_> =
            self.seller.upwards().take_while(|place| place.depth() >= plan.path.depth()).collect();
        sellers.reverse();
        sellers.iter().fold(Passed::Unpriced, |pays, seller| match self.list(seller) {
            None => pays,
            Some(list) => {
                let says = Says {
                    currency: list.currency,
                    offers: list.offers,
                    adjustment: list.adjustment.0,
                    exchange_rate: list.exchange_rate.map(Rate::of_millionths),
                    rule: rule_of(list.id),
                };
                passed_on(&plan.terms.components, pays, &says)
            }
        })
    }

    /// The list by which the account sells to the next one on the way.
    fn list(&self, seller: &Path) -> Option<&PriceList> {
        let next = self.way.get(seller.depth());
        let own = |list: &&PriceList| list.buyer_id.is_some_and(|buyer| Some(&buyer.label()) == next);
        let of_seller = || self.lists.iter().filter(|list| list.path == *seller);
        of_seller().find(own).or_else(|| of_seller().find(|list| list.buyer_id.is_none()))
    }
}

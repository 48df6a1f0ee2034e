//! What a buyer pays for a plan or add-on: the price goes down the tree from its account to the buyer's seller, and each
//! account on the way makes of what it pays what it charges.

use crate::domain::Result;
use crate::model::catalog::components::ItemPrice;
use crate::model::catalog::items::Item;
use crate::model::catalog::price_lists::{Passed, Price, PriceList, passed_on};
use crate::model::{Path, Time};
use crate::store;
use crate::store::Conn;

/// Where an account buys, or anybody of a seller with whom he has nothing of his own agreed.
pub struct Counter {
    /// Those who sell on to each other, from the root down to the one who sells here; nobody sells to the operator.
    sellers: Vec<Path>,
    /// The labels of the accounts on the way from the root to the customer.
    way: Vec<String>,
    lists: Vec<PriceList>,
}

impl Counter {
    /// Where the account at `buyer` buys.
    pub async fn of(conn: &mut Conn, buyer: &Path) -> Result<Self> {
        Self::open(conn, buyer.upwards().skip(1).collect(), buyer).await
    }

    /// Where anybody buys who is no customer of the seller's yet.
    pub async fn in_public(conn: &mut Conn, seller: &Path) -> Result<Self> {
        Self::open(conn, seller.upwards().collect(), seller).await
    }

    async fn open(conn: &mut Conn, mut sellers: Vec<Path>, last: &Path) -> Result<Self> {
        let mut way: Vec<_> = last.upwards().map(|place| place.label().to_owned()).collect();
        let lists = match sellers.first() {
            Some(seller) => store::catalog::price_lists::along(conn, seller, &way).await?,
            None => Vec::new(),
        };
        sellers.reverse();
        way.reverse();
        Ok(Self { sellers, way, lists })
    }

    /// Those of the items that are sold here, in their order, each with what it costs; none where nobody has set a price,
    /// as for a plan of the buyer's own.
    pub async fn sold<I: Item>(
        &self,
        conn: &mut Conn,
        items: Vec<I>,
        now: Time,
    ) -> Result<Vec<(I, Option<ItemPrice>)>> {
        let lists: Vec<_> = self.lists.iter().map(|list| list.id).collect();
        let ids: Vec<_> = items.iter().map(Item::item_id).collect();
        let said = store::catalog::prices::at(conn, &lists, &ids, now).await?;
        let sold = items.into_iter().filter_map(|item| match self.price(&item, &said) {
            Passed::Unpriced => Some((item, None)),
            Passed::Priced(price) => Some((item, Some(price))),
            Passed::Kept => None,
        });
        Ok(sold.collect())
    }

    fn price(&self, item: &impl Item, said: &[Price]) -> Passed {
        let own_and_below = self.sellers.iter().filter(|seller| seller.depth() >= item.path().depth());
        own_and_below.filter_map(|seller| self.list(seller)).fold(Passed::Unpriced, |pays, list| {
            let of_item = |price: &&Price| price.price_list_id == list.id && price.item_id == item.item_id();
            let rule = said.iter().find(of_item).map(|price| &price.rule.0);
            passed_on(item.components(), pays, list, rule)
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

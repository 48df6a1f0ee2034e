//! What a credential may be used for. There is no wildcard; each scope is combined with the key's subtree.

use crate::model::services::ReasonClass;
use crate::stored_as_text;

/// Declares the scopes, and for each a type that a handler names to demand it.
macro_rules! scopes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)+) => {
        stored_as_text! {
            /// One permission.
            pub enum Scope { $($(#[$doc])* $name = $text,)+ }
        }

        /// The scopes as types, for `Caller<…>`.
        pub mod need {
            $(
                $(#[$doc])*
                pub struct $name;
                impl super::Need for $name {
                    const SCOPE: super::Scope = super::Scope::$name;
                }
            )+
        }
    };
}

/// What a handler demands of its caller.
pub trait Need: 'static {
    const SCOPE: Scope;
}

scopes! {
    AccountsRead = "accounts:read",
    AccountsWrite = "accounts:write",
    /// Sign somebody up; a shop's pages have it.
    SignupsCreate = "signups:create",
    SignupsRead = "signups:read",
    /// Say yes or no to who signs up, and show that an address is his.
    SignupsReview = "signups:review",
    MembersWrite = "members:write",
    KeysRead = "keys:read",
    KeysWrite = "keys:write",
    BrandingWrite = "branding:write",
    ServersRead = "servers:read",
    ServersWrite = "servers:write",
    CatalogRead = "catalog:read",
    CatalogWrite = "catalog:write",
    PricesRead = "prices:read",
    PricesWrite = "prices:write",
    QuotesWrite = "quotes:write",
    OrdersRead = "orders:read",
    OrdersPlace = "orders:place",
    OrdersCancel = "orders:cancel",
    /// Approve of orders from below, or reject them.
    OrdersApprove = "orders:approve",
    SubscriptionsRead = "subscriptions:read",
    SubscriptionsWrite = "subscriptions:write",
    ServicesRead = "services:read",
    ServicesSuspend = "services:suspend",
    ServicesResume = "services:resume",
    ResourcesRead = "resources:read",
    ResourcesWrite = "resources:write",
    /// Lift holds that somebody else placed.
    HoldsOverride = "holds:override",
    QuotasRead = "quotas:read",
    QuotasWrite = "quotas:write",
    /// Decide of what accounts below ask for.
    QuotasApprove = "quotas:approve",
    OperationsRead = "operations:read",
    OperationsWrite = "operations:write",
    BatchesRead = "batches:read",
    /// Leave requests to be sent one after the other; each needs its own scope as well.
    BatchesWrite = "batches:write",
    ReconcileRead = "reconcile:read",
    /// Have what another system believes compared with what is.
    ReconcileWrite = "reconcile:write",
    EventsRead = "events:read",
    WebhooksWrite = "webhooks:write",
    AuditRead = "audit:read",
    RequestsRead = "requests:read",
}

stored_as_text! {
    /// A named set of scopes for a new key.
    pub enum Bundle {
        /// Suspends and resumes, renews and cancels subscriptions, one or many at once, reads usage; places no orders. Its holds are for payment only.
        BillingSystem = "billing_system",
        /// Opens accounts, takes and reviews sign-ups, reads the catalogue, places orders, renews and cancels subscriptions.
        Crm = "crm",
        /// All that a reseller's own staff need.
        ResellerAdmin = "reseller_admin",
        /// All that a tenant's own staff need.
        TenantAdmin = "tenant_admin",
        /// Every scope there is.
        OperatorAdmin = "operator_admin",
        /// Reads everything, changes nothing.
        Auditor = "auditor",
    }
}

impl Bundle {
    pub fn scopes(self) -> Vec<Scope> {
        use Scope::*;
        match self {
            Bundle::BillingSystem => vec![
                AccountsRead,
                SubscriptionsRead,
                SubscriptionsWrite,
                ServicesRead,
                ServicesSuspend,
                ServicesResume,
                QuotasRead,
                OperationsRead,
                BatchesRead,
                BatchesWrite,
                ReconcileRead,
                ReconcileWrite,
                EventsRead,
                WebhooksWrite,
                RequestsRead,
            ],
            Bundle::Crm => vec![
                AccountsRead,
                AccountsWrite,
                SignupsCreate,
                SignupsRead,
                SignupsReview,
                CatalogRead,
                QuotesWrite,
                OrdersRead,
                OrdersPlace,
                OrdersCancel,
                OrdersApprove,
                SubscriptionsRead,
                SubscriptionsWrite,
                ServicesRead,
                ResourcesRead,
                ResourcesWrite,
                QuotasRead,
                OperationsRead,
                BatchesRead,
                BatchesWrite,
                EventsRead,
                WebhooksWrite,
                RequestsRead,
            ],
            Bundle::ResellerAdmin => Scope::ALL
                .iter()
                .copied()
                .filter(|scope| !matches!(scope, ServersRead | ServersWrite | HoldsOverride))
                .collect(),
            Bundle::TenantAdmin => vec![
                AccountsRead,
                AccountsWrite,
                MembersWrite,
                KeysRead,
                KeysWrite,
                CatalogRead,
                QuotesWrite,
                OrdersRead,
                OrdersPlace,
                OrdersCancel,
                SubscriptionsRead,
                SubscriptionsWrite,
                ServicesRead,
                ServicesSuspend,
                ServicesResume,
                ResourcesRead,
                ResourcesWrite,
                QuotasRead,
                QuotasWrite,
                OperationsRead,
                BatchesRead,
                BatchesWrite,
                ReconcileRead,
                ReconcileWrite,
                EventsRead,
                WebhooksWrite,
                AuditRead,
                RequestsRead,
            ],
            Bundle::OperatorAdmin => Scope::ALL.to_vec(),
            Bundle::Auditor => {
                Scope::ALL.iter().copied().filter(|scope| scope.as_str().ends_with(":read")).collect()
            }
        }
    }

    /// For which reasons a key of this bundle places and lifts holds.
    pub fn hold_classes(self) -> Vec<ReasonClass> {
        match self {
            Bundle::BillingSystem => vec![ReasonClass::Payment],
            Bundle::Crm | Bundle::Auditor => Vec::new(),
            Bundle::ResellerAdmin | Bundle::TenantAdmin | Bundle::OperatorAdmin => {
                ReasonClass::PLACED.to_vec()
            }
        }
    }
}

//! An operator with a server and a plan, a reseller below it and a tenant below that, made as callers make
//! them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Map;
use tenantry::access::kek::Kek;
use tenantry::access::seal::{Context, Sealer};
use tenantry::clock::Clock;
use tenantry::domain::accounts::accounts::{Opening, create, create_root};
use tenantry::domain::catalog::{plans, servers};
use tenantry::domain::commerce::orders;
use tenantry::domain::services::holds;
use tenantry::domain::services::resources::{self, NewResource};
use tenantry::domain::{Result, Work};
use tenantry::model::accounts::accounts::{Account, AccountType, Environment};
use tenantry::model::catalog::plans::{Plan, PlanQuota, PlanService, PlanStatus, PlanTerms};
use tenantry::model::catalog::servers::{Placement, SealedSecret, Server, VirtualServer};
use tenantry::model::catalog::service_types::ServiceType;
use tenantry::model::commerce::orders::Order;
use tenantry::model::connector::{Connector, Descriptor};
use tenantry::model::ids::{KeyId, OperationId, OrderId, RequestId, ResourceId, ServerId, ServiceId};
use tenantry::model::interval::Interval;
use tenantry::model::quotas::{Mode, Quota, QuotaKey};
use tenantry::model::scopes::Scope;
use tenantry::model::services::holds::{Effect, HoldScope, ReasonClass};
use tenantry::model::services::operations::Operation;
use tenantry::model::services::resources::Resource;
use tenantry::model::services::services::Service;
use tenantry::model::services::specs::{DomainSpec, MailboxSpec, ResourceSpec};
use tenantry::model::{Actor, Subtree, Time};
use tenantry::store::{self, Db};

/// What the server's credentials are in every world.
pub const CREDENTIALS: &str = "the server's own password";

pub struct World {
    pub db: Db,
    pub clock: Clock,
    pub sealer: Arc<Sealer>,
    pub operator: Account,
    pub reseller: Account,
    pub tenant: Account,
    pub server: Server,
    pub virtual_server: VirtualServer,
    /// On sale, of the operator's: mail for `quantity` people.
    pub plan: Plan,
}

/// Someone of the account who may do everything there.
pub fn actor(account: &Account, clock: &Clock) -> Actor {
    Actor {
        principal_id: account.id,
        principal_path: account.path.clone(),
        subject_id: account.id,
        subject_path: account.path.clone(),
        reach: Subtree::of(&account.path),
        actors: Arc::new([]),
        key_id: KeyId::new(),
        scopes: Scope::ALL.into(),
        hold_classes: ReasonClass::ALL.into(),
        allowed_addresses: Arc::new([]),
        expires_at: None,
        spend_cap: None,
        member_id: None,
        is_public: false,
        batch_id: None,
        environment: account.environment,
        request_id: RequestId::new(),
        address: None,
        now: clock.now(),
    }
}

/// Runs a use-case as the door does: records, settles and commits, or leaves nothing.
pub async fn act<T>(db: &Db, actor: &Actor, use_case: impl AsyncFnOnce(&mut Work) -> Result<T>) -> Result<T> {
    let mut work = Work::of(db.write(actor.subtree()).await?, actor);
    let made = use_case(&mut work).await?;
    work.record(None).await?;
    work.settle(Some(actor)).await?;
    work.tx.commit().await?;
    Ok(made)
}

pub fn opening(account_type: AccountType, name: &str) -> Opening {
    Opening {
        parent_id: None,
        account_type,
        environment: None,
        name: name.into(),
        contact_email: None,
        country: None,
        locale: None,
        time_zone: None,
        currency: None,
        external_id: None,
        metadata: BTreeMap::new(),
        fingerprint: String::new(),
    }
}

pub fn domain(name: &str) -> NewResource {
    new_resource(ResourceSpec::Domain(DomainSpec { name: name.into() }), None)
}

pub fn mailbox(address: &str, quota_mb: i64) -> NewResource {
    let spec = MailboxSpec { address: address.into(), display_name: None, quota_mb };
    new_resource(ResourceSpec::Mailbox(spec), Some("{BLF-CRYPT}hash".into()))
}

pub fn new_resource(spec: ResourceSpec, password_hash: Option<String>) -> NewResource {
    NewResource {
        spec,
        password_hash,
        external_id: None,
        metadata: BTreeMap::new(),
        fingerprint: String::new(),
    }
}

impl World {
    /// A world whose server is spoken to by the connector.
    pub async fn new(db: &Db, connector: &dyn Connector) -> Self {
        let clock = Clock::system();
        let sealer = Arc::new(Sealer::new(Kek::generate()));
        let tx = db.write(Subtree::everything()).await.unwrap();
        let cause =
            tenantry::model::events::events::Cause { key_id: None, request_id: None, reason_code: None };
        let mut work = Work::because(tx, cause, clock.now());
        let operator = create_root(&mut work, "Operator", Environment::Live).await.unwrap();
        work.finish().await.unwrap();

        let of = actor(&operator, &clock);
        let descriptor: Descriptor = connector.descriptor().clone();
        let id = ServerId::new();
        let (account_id, record_id) = (operator.id.to_string(), id.to_string());
        let context = Context {
            table: "servers",
            column: "credentials",
            account_id: &account_id,
            record_id: &record_id,
        };
        let registration = servers::Registration {
            id,
            name: "Server".into(),
            connector: descriptor.name.into(),
            settings: Map::new(),
            credentials: Some(SealedSecret {
                sealed: sealer.seal(&context, CREDENTIALS.as_bytes()),
                fingerprint: "sha256:00000000".into(),
            }),
        };
        let server =
            act(db, &of, async |work| servers::register(work, &of, registration, Some(&descriptor)).await)
                .await
                .unwrap();
        let placement = descriptor
            .service_types
            .iter()
            .map(|service_type| Placement { service_type: *service_type, server_id: id })
            .collect();
        let virtual_server = act(db, &of, async |work| {
            servers::combine(work, &of, "Everything".into(), placement, |_, _| true).await
        })
        .await
        .unwrap();
        let draft = mail_plan(&virtual_server, "mail");
        let plan = act(db, &of, async |work| plans::create(work, &of, draft).await).await.unwrap();
        let reseller = Self::open(db, &of, AccountType::Reseller, "Reseller").await;
        let tenant = Self::open(db, &actor(&reseller, &clock), AccountType::Tenant, "Tenant").await;
        let db = db.clone();
        Self { db, clock, sealer, operator, reseller, tenant, server, virtual_server, plan }
    }

    /// An account directly below the caller's own.
    pub async fn open(db: &Db, of: &Actor, account_type: AccountType, name: &str) -> Account {
        let made = act(db, of, async |work| create(work, of, opening(account_type, name)).await).await;
        made.unwrap().into_inner()
    }

    pub fn actor(&self, account: &Account) -> Actor {
        actor(account, &self.clock)
    }

    /// An order of the plan for an account, with what it is to contain.
    pub async fn order(&self, account: &Account, resources: Vec<NewResource>) -> Order {
        let of = self.actor(account);
        let placing = orders::Placing {
            account_id: None,
            items: vec![orders::NewItem::Add(orders::NewSubscription {
                plan: "mail".into(),
                quantity: 1,
                addons: Vec::new(),
                resources,
                external_id: None,
            })],
            quote_id: None,
            external_id: None,
            metadata: BTreeMap::new(),
            fingerprint: String::new(),
        };
        let made = act(&self.db, &of, async |work| orders::place(work, &of, placing).await).await;
        made.unwrap().into_inner()
    }

    /// Asks for a resource.
    pub async fn ask(&self, service: ServiceId, new: NewResource) -> Resource {
        let of = self.actor(&self.tenant);
        let made = act(&self.db, &of, async |work| resources::create(work, &of, service, new).await).await;
        made.unwrap().into_inner()
    }

    pub async fn suspend(&self, by: &Account, on: holds::On) -> holds::Outcome {
        let of = self.actor(by);
        let placing = holds::Placing {
            scope: HoldScope::All,
            effect: Effect::Suspend,
            reason_code: "payment".into(),
            reason: None,
            starts_at: None,
            expires_at: None,
        };
        let account_type = by.account_type;
        act(&self.db, &of, async |work| holds::place(work, &of, account_type, on, placing).await)
            .await
            .unwrap()
    }

    pub async fn resume(&self, by: &Account, on: holds::On) -> holds::Outcome {
        let of = self.actor(by);
        act(&self.db, &of, async |work| holds::lift(work, &of, on, None).await).await.unwrap()
    }

    pub async fn operation(&self, id: OperationId) -> Operation {
        let mut conn = self.db.read(Subtree::everything()).await.unwrap();
        store::services::operations::find(&mut conn, id).await.unwrap().unwrap()
    }

    pub async fn order_now(&self, id: OrderId) -> Order {
        let mut conn = self.db.read(Subtree::everything()).await.unwrap();
        store::commerce::orders::find(&mut conn, id).await.unwrap().unwrap()
    }

    pub async fn service(&self, id: ServiceId) -> Service {
        let mut conn = self.db.read(Subtree::everything()).await.unwrap();
        store::services::services::find(&mut conn, id).await.unwrap().unwrap()
    }

    pub async fn resource(&self, id: ResourceId) -> Resource {
        let mut conn = self.db.read(Subtree::everything()).await.unwrap();
        store::services::resources::find(&mut conn, id).await.unwrap().unwrap()
    }

    /// What is used and reserved of a holder's quota.
    pub async fn quota(&self, holder: impl ToString, key: QuotaKey) -> (i64, i64) {
        let rows: Vec<Quota> = self.quotas(&holder.to_string()).await;
        rows.iter().find(|row| row.key == key).map_or((0, 0), |row| (row.used, row.reserved))
    }

    pub async fn quotas(&self, holder: &str) -> Vec<Quota> {
        let mut conn = self.db.read(Subtree::everything()).await.unwrap();
        store::quotas::quotas::of_holder(&mut conn, holder).await.unwrap()
    }

    /// The types of all events so far, in their order. The feed would hold the last ones back for as long as
    /// another test has a transaction open.
    pub async fn events(&self) -> Vec<String> {
        let mut conn = self.db.read(Subtree::everything()).await.unwrap();
        let statement = "SELECT e.type FROM events e ORDER BY e.position, e.id";
        let rows: Vec<(String,)> = conn.query(statement).all().await.unwrap();
        rows.into_iter().map(|(told,)| told).collect()
    }

    /// Lets all that waits in the queue be due now, instead of waiting for it.
    pub async fn make_due(&self) {
        let mut tx = self.db.write(Subtree::everything()).await.unwrap();
        let statement = "UPDATE operations SET due_at = $1 WHERE status = 'queued'";
        tx.query(statement).bind(Time::EPOCH).execute().await.unwrap();
        tx.commit().await.unwrap();
    }
}

pub fn mail_plan(virtual_server: &VirtualServer, code: &str) -> plans::Draft {
    let quota = |key, per_unit| PlanQuota { key, included: 0, per_unit, mode: Mode::Allocated };
    plans::Draft {
        code: code.into(),
        name: "Hosted mail".into(),
        status: PlanStatus::Active,
        terms: PlanTerms {
            virtual_server_id: virtual_server.id,
            services: vec![PlanService { service_type: ServiceType::Mail, settings: Map::new() }],
            quotas: vec![
                quota(QuotaKey::MailDomains, 10),
                quota(QuotaKey::MailMailboxes, 200),
                quota(QuotaKey::MailStorageMb, 1_000_000),
            ],
            components: Vec::new(),
            billing_period: Interval::MONTHLY,
            trial: None,
            lease: None,
            requires_approval: false,
            max_quantity: None,
        },
        metadata: BTreeMap::new(),
    }
}

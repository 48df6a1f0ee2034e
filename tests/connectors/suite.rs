//! What every connector promises, whatever it speaks to. A connector joins with a `World`, its server seen
//! from outside, and one line: `mail_conformance!(MyWorld::start())`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Map;
use tenantry::model::catalog::service_types::ServiceType;
use tenantry::model::connector::{Connector, Fault, QuotaEnforcement, ResourceGoal, ServiceGoal, Target};
use tenantry::model::ids::{AccountId, ResourceId, ServiceId};
use tenantry::model::services::Access;
use tenantry::model::services::specs::{DomainSpec, MailboxSpec, ResourceSpec};

/// A connector's server, seen from outside.
#[async_trait]
pub trait World: Send + Sync {
    fn connector(&self) -> Arc<dyn Connector>;

    /// The server with the settings and credentials that are right.
    fn target(&self) -> Target;

    /// The same server with settings or credentials that it will not take.
    fn wrong_target(&self) -> Target;

    /// All that is stored on the server as text, with what shows a rewrite: equal texts, nothing written.
    async fn snapshot(&self) -> String;

    /// Puts something of that name on the server that is not ours.
    async fn plant_foreign(&self, spec: &ResourceSpec);

    /// Takes the server away, for a while.
    async fn break_server(&self);

    async fn mend_server(&self);
}

/// What still works of a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    pub login: bool,
    pub delivery: bool,
}

/// A mail server: what a customer and what the senders of his mail see.
#[async_trait]
pub trait MailWorld: World {
    /// How many messages the inbox has, or the server's refusal.
    async fn login(&self, address: &str, password: &str) -> Result<usize, String>;

    /// Brings a message of about so many bytes; a refusal is its code and text.
    async fn deliver(&self, address: &str, bytes: usize) -> Result<(), (u16, String)>;

    /// What this connector leaves to a degraded service.
    fn degraded(&self) -> Reach;
}

/// Waits until what the connector did must show.
pub async fn settle(world: &(impl World + ?Sized)) {
    let delay = world.connector().descriptor().effect_delay_ms;
    tokio::time::sleep(Duration::from_millis(delay + 100)).await;
}

pub fn service(service_type: ServiceType) -> ServiceGoal {
    ServiceGoal {
        id: ServiceId::new(),
        account_id: AccountId::new(),
        service_type,
        settings: Map::new(),
        access: Access::Full,
    }
}

/// The service with another access.
pub fn with_access(service: &ServiceGoal, access: Access) -> ServiceGoal {
    ServiceGoal { access, ..service.clone() }
}

pub fn resource(service: &ServiceGoal, spec: ResourceSpec) -> ResourceGoal {
    ResourceGoal { id: ResourceId::new(), service: service.clone(), spec, password_hash: None }
}

pub fn domain(service: &ServiceGoal, name: &str) -> ResourceGoal {
    resource(service, ResourceSpec::Domain(DomainSpec { name: name.into() }))
}

pub fn mailbox(service: &ServiceGoal, address: &str, password: &str, quota_mb: i64) -> ResourceGoal {
    let spec = MailboxSpec { address: address.into(), display_name: None, quota_mb };
    let mut goal = resource(service, ResourceSpec::Mailbox(spec));
    goal.password_hash = Some(hash(password));
    goal
}

/// As the engine hands passwords on, only cheaper.
pub fn hash(password: &str) -> String {
    let parts = bcrypt::hash_with_result(password, 4).unwrap();
    format!("{{BLF-CRYPT}}{}", parts.format_for_version(bcrypt::Version::TwoY))
}

/// A mail service with a domain and one mailbox in it, `alice@` with the password `secret1`.
pub struct Tenant {
    pub service: ServiceGoal,
    pub domain: ResourceGoal,
    pub alice: ResourceGoal,
}

pub const ALICE: &str = "alice@acme.example";
const BOB: &str = "bob@acme.example";

impl Tenant {
    pub async fn provisioned(world: &dyn MailWorld) -> Self {
        let (connector, target) = (world.connector(), world.target());
        let service = service(ServiceType::Mail);
        let tenant = Self {
            domain: domain(&service, "acme.example"),
            alice: mailbox(&service, ALICE, "secret1", 1),
            service,
        };
        connector.ensure_service(&target, &tenant.service).await.unwrap();
        connector.ensure_resource(&target, &tenant.domain).await.unwrap();
        connector.ensure_resource(&target, &tenant.alice).await.unwrap();
        settle(world).await;
        tenant
    }

    fn resources(&self) -> [ResourceGoal; 2] {
        [self.domain.clone(), self.alice.clone()]
    }

    async fn set_access(&self, world: &dyn MailWorld, access: Access) {
        let goal = with_access(&self.service, access);
        let resources = self.resources().map(|resource| ResourceGoal { service: goal.clone(), ..resource });
        world.connector().set_access(&world.target(), &goal, &resources).await.unwrap();
        settle(world).await;
    }
}

pub async fn a_server_answers_a_test_and_refuses_wrong_settings(world: &dyn World) {
    let connector = world.connector();
    connector.test(&world.target()).await.unwrap();
    let refused = connector.test(&world.wrong_target()).await;
    assert!(matches!(refused, Err(Fault::Denied(_))), "{refused:?}");
}

pub async fn a_mailbox_is_made_once_and_opens_with_its_password_only(world: &dyn MailWorld) {
    let tenant = Tenant::provisioned(world).await;
    assert_eq!(world.deliver(ALICE, 1000).await, Ok(()));
    assert_eq!(world.login(ALICE, "secret1").await, Ok(1));
    assert!(world.login(ALICE, "wrong").await.is_err());

    let (connector, target) = (world.connector(), world.target());
    assert!(connector.observe(&target, &tenant.alice).await.unwrap().is_some());
    let before = world.snapshot().await;
    connector.ensure_service(&target, &tenant.service).await.unwrap();
    connector.ensure_resource(&target, &tenant.domain).await.unwrap();
    connector.ensure_resource(&target, &tenant.alice).await.unwrap();
    assert_eq!(world.snapshot().await, before, "a repeated call wrote something");
    assert_eq!(world.login(ALICE, "secret1").await, Ok(1));
}

pub async fn a_mailbox_without_a_password_refuses_every_login_and_takes_mail(world: &dyn MailWorld) {
    let tenant = Tenant::provisioned(world).await;
    let (connector, target) = (world.connector(), world.target());
    let locked = ResourceGoal { password_hash: None, ..mailbox(&tenant.service, BOB, "unused", 100) };
    connector.ensure_resource(&target, &locked).await.unwrap();
    settle(world).await;
    // Once only: Dovecot lets whoever fails often wait ever longer.
    assert!(world.login(BOB, "unused").await.is_err());
    assert_eq!(world.deliver(BOB, 1000).await, Ok(()));
    let opened = ResourceGoal { password_hash: Some(hash("secret1")), ..locked };
    connector.ensure_resource(&target, &opened).await.unwrap();
    settle(world).await;
    assert_eq!(world.login(BOB, "secret1").await, Ok(1));
}

pub async fn a_changed_password_replaces_the_old_one(world: &dyn MailWorld) {
    let tenant = Tenant::provisioned(world).await;
    let changed = ResourceGoal { password_hash: Some(hash("secret2")), ..tenant.alice };
    world.connector().ensure_resource(&world.target(), &changed).await.unwrap();
    settle(world).await;
    assert_eq!(world.login(ALICE, "secret2").await, Ok(0));
    assert!(world.login(ALICE, "secret1").await.is_err());
}

pub async fn a_full_mailbox_takes_mail_again_once_its_quota_is_raised(world: &dyn MailWorld) {
    let tenant = Tenant::provisioned(world).await;
    assert_eq!(world.connector().descriptor().quota, QuotaEnforcement::Enforced);
    assert_eq!(world.deliver(ALICE, 900_000).await, Ok(()));
    let refused = world.deliver(ALICE, 900_000).await;
    assert!(refused.is_err(), "a full mailbox took more");

    let mut raised = tenant.alice.clone();
    raised.spec =
        ResourceSpec::Mailbox(MailboxSpec { address: ALICE.into(), display_name: None, quota_mb: 2 });
    world.connector().ensure_resource(&world.target(), &raised).await.unwrap();
    settle(world).await;
    assert_eq!(world.deliver(ALICE, 900_000).await, Ok(()));

    world.connector().ensure_resource(&world.target(), &tenant.alice).await.unwrap();
    settle(world).await;
    assert_eq!(world.login(ALICE, "secret1").await, Ok(2), "a quota below what is used keeps the mail");
    assert!(world.deliver(ALICE, 1000).await.is_err());
}

pub async fn a_suspended_mailbox_refuses_login_and_keeps_its_mail(world: &dyn MailWorld) {
    let tenant = Tenant::provisioned(world).await;
    assert_eq!(world.deliver(ALICE, 1000).await, Ok(()));
    tenant.set_access(world, Access::Suspended).await;
    let refusal = world.login(ALICE, "secret1").await.unwrap_err();
    assert!(refusal.to_lowercase().contains("suspended"), "no reason is given: {refusal}");
    let (code, text) = world.deliver(ALICE, 1000).await.unwrap_err();
    assert!((400..500).contains(&code), "senders must keep the mail and retry: {code} {text}");

    tenant.set_access(world, Access::Full).await;
    assert_eq!(world.login(ALICE, "secret1").await, Ok(1));
    assert_eq!(world.deliver(ALICE, 1000).await, Ok(()));
    assert_eq!(world.login(ALICE, "secret1").await, Ok(2));
}

pub async fn a_mailbox_made_in_a_suspended_service_opens_only_after_resume(world: &dyn MailWorld) {
    let tenant = Tenant::provisioned(world).await;
    tenant.set_access(world, Access::Suspended).await;
    let suspended = with_access(&tenant.service, Access::Suspended);
    let bob = mailbox(&suspended, "bob@acme.example", "secret3", 1);
    world.connector().ensure_resource(&world.target(), &bob).await.unwrap();
    settle(world).await;
    assert!(world.login("bob@acme.example", "secret3").await.is_err());
    let resources = [tenant.domain, tenant.alice, bob]
        .map(|resource| ResourceGoal { service: tenant.service.clone(), ..resource });
    world.connector().set_access(&world.target(), &tenant.service, &resources).await.unwrap();
    settle(world).await;
    assert_eq!(world.login("bob@acme.example", "secret3").await, Ok(0));
}

pub async fn a_degraded_mailbox_does_what_the_connector_says(world: &dyn MailWorld) {
    let tenant = Tenant::provisioned(world).await;
    assert_eq!(world.deliver(ALICE, 1000).await, Ok(()));
    tenant.set_access(world, Access::Degraded).await;
    let seen = Reach {
        login: world.login(ALICE, "secret1").await.is_ok(),
        delivery: world.deliver(ALICE, 1000).await.is_ok(),
    };
    assert_eq!(seen, world.degraded());
    tenant.set_access(world, Access::Suspended).await;
    assert!(world.deliver(ALICE, 1000).await.is_err() && world.login(ALICE, "secret1").await.is_err());
    tenant.set_access(world, Access::Full).await;
    let expected = 1 + usize::from(seen.delivery);
    assert_eq!(world.login(ALICE, "secret1").await, Ok(expected));
}

pub async fn what_is_not_ours_is_refused_and_left_alone(world: &dyn MailWorld) {
    let (connector, target) = (world.connector(), world.target());
    let ours = Tenant::provisioned(world).await;
    let stranger = service(ServiceType::Mail);
    connector.ensure_service(&target, &stranger).await.unwrap();
    let foreign = domain(&stranger, "foreign.example");
    world.plant_foreign(&foreign.spec).await;
    let before = world.snapshot().await;

    let planted = [foreign.clone(), mailbox(&stranger, "x@foreign.example", "secret9", 1)];
    let others = [domain(&stranger, "acme.example"), mailbox(&stranger, ALICE, "secret9", 1)];
    for goal in planted.iter().chain(&others) {
        let refused = connector.ensure_resource(&target, goal).await;
        assert!(matches!(refused, Err(Fault::Foreign(_))), "{goal:?}: {refused:?}");
        let removed = connector.remove_resource(&target, goal).await;
        assert!(matches!(removed, Ok(()) | Err(Fault::Foreign(_))), "{removed:?}");
    }
    let suspended = with_access(&stranger, Access::Suspended);
    connector.set_access(&target, &suspended, &others).await.ok();
    connector.remove_service(&target, &stranger).await.unwrap();
    assert_eq!(world.snapshot().await, before, "something of another's was changed");
    settle(world).await;
    assert_eq!(world.login(ALICE, "secret1").await, Ok(0), "{:?}", ours.service.id);
}

pub async fn a_broken_server_is_unavailable_and_the_same_call_works_once_it_is_mended(world: &dyn MailWorld) {
    let tenant = Tenant::provisioned(world).await;
    let (connector, target) = (world.connector(), world.target());
    let bob = mailbox(&tenant.service, "bob@acme.example", "secret3", 1);
    world.break_server().await;
    let fault = connector.ensure_resource(&target, &bob).await.unwrap_err();
    assert!(matches!(fault, Fault::Unavailable { .. }), "{fault:?}");
    let fault = connector.remove_resource(&target, &tenant.alice).await.unwrap_err();
    assert!(
        matches!(fault, Fault::Unavailable { .. }),
        "nothing is removed while nobody can look: {fault:?}"
    );
    world.mend_server().await;
    connector.ensure_resource(&target, &bob).await.unwrap();
    settle(world).await;
    assert_eq!(world.login("bob@acme.example", "secret3").await, Ok(0));
    assert_eq!(world.login(ALICE, "secret1").await, Ok(0));
}

pub async fn faults_tell_no_secrets(world: &dyn MailWorld) {
    let tenant = Tenant::provisioned(world).await;
    let fault = world.connector().ensure_resource(&world.wrong_target(), &tenant.alice).await.unwrap_err();
    assert!(matches!(fault, Fault::Denied(_)), "{fault:?}");
    let hash = tenant.alice.password_hash.unwrap();
    assert!(!format!("{fault:?} {fault}").contains(&hash));
}

pub async fn a_removed_mailbox_is_gone_with_its_mail_and_removing_it_again_is_no_fault(
    world: &dyn MailWorld,
) {
    let tenant = Tenant::provisioned(world).await;
    let (connector, target) = (world.connector(), world.target());
    assert_eq!(world.deliver(ALICE, 1000).await, Ok(()));
    connector.remove_resource(&target, &tenant.alice).await.unwrap();
    connector.remove_resource(&target, &tenant.alice).await.unwrap();
    settle(world).await;
    assert!(world.login(ALICE, "secret1").await.is_err());
    assert!(world.deliver(ALICE, 1000).await.is_err());
    assert_eq!(connector.observe(&target, &tenant.alice).await, Ok(None));

    connector.ensure_resource(&target, &tenant.alice).await.unwrap();
    settle(world).await;
    assert_eq!(world.login(ALICE, "secret1").await, Ok(0), "the next owner reads the last one's mail");
}

pub async fn a_removed_service_leaves_nothing_and_removing_it_again_is_no_fault(world: &dyn MailWorld) {
    let (connector, target) = (world.connector(), world.target());
    let tenant = Tenant::provisioned(world).await;
    connector.remove_service(&target, &tenant.service).await.unwrap();
    connector.remove_service(&target, &tenant.service).await.unwrap();
    settle(world).await;
    assert!(world.login(ALICE, "secret1").await.is_err());
    for resource in tenant.resources() {
        assert_eq!(connector.observe(&target, &resource).await, Ok(None));
    }
    let next = Tenant::provisioned(world).await;
    assert_eq!(world.login(ALICE, "secret1").await, Ok(0), "{:?}", next.service.id);
}

pub async fn twenty_five_mailboxes_made_at_once_all_open(world: &dyn MailWorld) {
    let tenant = Tenant::provisioned(world).await;
    let (connector, target) = (world.connector(), world.target());
    let address = |n: usize| format!("user{n}@acme.example");
    let goals: Vec<_> =
        (0..25).map(|n| mailbox(&tenant.service, &address(n), &format!("secret{n}"), 1)).collect();
    let made = goals.iter().map(|goal| connector.ensure_resource(&target, goal));
    for made in futures_util::future::join_all(made).await {
        made.unwrap();
    }
    settle(world).await;
    for n in 0..25 {
        assert_eq!(world.login(&address(n), &format!("secret{n}")).await, Ok(0), "{}", address(n));
    }
    assert_eq!(world.login(ALICE, "secret1").await, Ok(0));
}

/// Declares one test for each promise of a mail connector; the expression makes a fresh world.
#[macro_export]
macro_rules! mail_conformance {
    ($world:expr) => {
        $crate::mail_conformance! { $world =>
            a_server_answers_a_test_and_refuses_wrong_settings
            a_mailbox_is_made_once_and_opens_with_its_password_only
            a_mailbox_without_a_password_refuses_every_login_and_takes_mail
            a_changed_password_replaces_the_old_one
            a_full_mailbox_takes_mail_again_once_its_quota_is_raised
            a_suspended_mailbox_refuses_login_and_keeps_its_mail
            a_mailbox_made_in_a_suspended_service_opens_only_after_resume
            a_degraded_mailbox_does_what_the_connector_says
            what_is_not_ours_is_refused_and_left_alone
            a_broken_server_is_unavailable_and_the_same_call_works_once_it_is_mended
            faults_tell_no_secrets
            a_removed_mailbox_is_gone_with_its_mail_and_removing_it_again_is_no_fault
            a_removed_service_leaves_nothing_and_removing_it_again_is_no_fault
            twenty_five_mailboxes_made_at_once_all_open
        }
    };
    ($world:expr => $($promise:ident)+) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $promise() {
            let world = $world.await;
            $crate::suite::$promise(&world).await;
        }
    )+};
}

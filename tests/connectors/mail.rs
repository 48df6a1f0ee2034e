//! The connector `mail` against a real Dovecot and Postfix: the shared suite, and what only mail has.

use serde_json::json;
use sqlx::{Connection, MySqlConnection, PgConnection};
use tenantry::model::connector::{Fault, ResourceGoal};
use tenantry::model::ids::ServiceId;
use tenantry::model::services::Access;

use crate::mail_site::{API_KEY, Engine, MailSite};
use crate::probe::ImapSession;
use crate::suite::{self, ALICE, MailWorld, Tenant, World, with_access};

crate::mail_conformance!(MailSite::start(Engine::Sqlite));

async fn suspend(site: &MailSite, tenant: &Tenant) -> Result<(), Fault> {
    let goal = with_access(&tenant.service, Access::Suspended);
    site.connector().set_access(&site.target(), &goal, &[]).await
}

async fn resume(site: &MailSite, tenant: &Tenant) {
    site.connector().set_access(&site.target(), &tenant.service, &[]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_session_ends_when_its_service_is_suspended() {
    let site = MailSite::start(Engine::Sqlite).await;
    let tenant = Tenant::provisioned(&site).await;
    let other = suite::service(tenant.service.service_type);
    let neighbour =
        [suite::domain(&other, "other.example"), suite::mailbox(&other, "alice@other.example", "secret1", 1)];
    for goal in &neighbour {
        site.connector().ensure_resource(&site.target(), goal).await.unwrap();
    }
    let mut session = ImapSession::open(site.imap(), ALICE, "secret1").await.unwrap();
    let mut beside = ImapSession::open(site.imap(), "alice@other.example", "secret1").await.unwrap();
    session.ask("NOOP").await.unwrap();

    suspend(&site, &tenant).await.unwrap();
    assert!(session.ask("NOOP").await.is_err(), "the session goes on");
    beside.ask("NOOP").await.expect("another tenant's session was ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_session_ends_when_the_password_changes() {
    let site = MailSite::start(Engine::Sqlite).await;
    let tenant = Tenant::provisioned(&site).await;
    let mut session = ImapSession::open(site.imap(), ALICE, "secret1").await.unwrap();
    let same = site.connector().ensure_resource(&site.target(), &tenant.alice).await;
    same.unwrap();
    session.ask("NOOP").await.expect("a repeated call ended the session");

    let changed = ResourceGoal { password_hash: Some(suite::hash("secret2")), ..tenant.alice };
    site.connector().ensure_resource(&site.target(), &changed).await.unwrap();
    assert!(session.ask("NOOP").await.is_err(), "who knew the old password is still inside");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_who_retries_after_resume_gets_his_mail_through() {
    let site = MailSite::start(Engine::Sqlite).await;
    let tenant = Tenant::provisioned(&site).await;
    site.deliver(ALICE, 1000).await.unwrap();
    suspend(&site, &tenant).await.unwrap();

    let refusal = site.login(ALICE, "secret1").await.unwrap_err();
    assert!(refusal.contains("[CONTACTADMIN] Account suspended"), "{refusal}");
    let (code, text) = site.deliver(ALICE, 1000).await.unwrap_err();
    assert!(code == 450 && text.contains("4.2.1"), "{code} {text}");
    let (code, text) = site.deliver_by_lmtp(ALICE).await.unwrap_err();
    assert!((400..500).contains(&code), "what Postfix had taken before would bounce: {code} {text}");

    resume(&site, &tenant).await;
    site.deliver(ALICE, 1000).await.unwrap();
    assert_eq!(site.login(ALICE, "secret1").await, Ok(2), "old and new mail");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_done_until_dovecot_has_done_its_part() {
    let site = MailSite::start(Engine::Sqlite).await;
    let tenant = Tenant::provisioned(&site).await;
    site.deliver(ALICE, 1000).await.unwrap();
    let (connector, target) = (site.connector(), site.target());

    site.stop_servers();
    let suspended = suspend(&site, &tenant).await;
    assert!(matches!(suspended, Err(Fault::Unavailable { .. })), "{suspended:?}");
    let removed = connector.remove_resource(&target, &tenant.alice).await;
    assert!(matches!(removed, Err(Fault::Unavailable { .. })), "{removed:?}");
    assert_eq!(site.stored(ALICE), 1);

    site.start_servers();
    suspend(&site, &tenant).await.unwrap();
    connector.remove_resource(&target, &tenant.alice).await.unwrap();
    assert!(!site.store_of(ALICE).exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_domain_takes_its_mailboxes_and_their_folders_with_it() {
    let site = MailSite::start(Engine::Sqlite).await;
    let tenant = Tenant::provisioned(&site).await;
    let (connector, target) = (site.connector(), site.target());
    site.deliver(ALICE, 1000).await.unwrap();
    let mut session = ImapSession::open(site.imap(), ALICE, "secret1").await.unwrap();
    session.ask("CREATE \"Project X; rm -r $HOME\"").await.unwrap();
    session.ask("CREATE Archive.2026").await.unwrap();

    connector.remove_resource(&target, &tenant.domain).await.unwrap();
    assert!(session.ask("NOOP").await.is_err());
    assert!(!site.store_of(ALICE).exists(), "mail is left on the disk");
    assert_eq!(connector.observe(&target, &tenant.domain).await, Ok(None));
    assert_eq!(connector.observe(&target, &tenant.alice).await, Ok(None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_observed_is_what_the_servers_say() {
    let site = MailSite::start(Engine::Sqlite).await;
    let tenant = Tenant::provisioned(&site).await;
    site.deliver(ALICE, 10_000).await.unwrap();
    let (connector, target) = (site.connector(), site.target());
    let seen = connector.observe(&target, &tenant.alice).await.unwrap().unwrap().facts;
    assert_eq!(
        (&seen["messages"], &seen["quota_mb"], &seen["access"]),
        (&json!(1), &json!(1), &json!("full"))
    );
    assert!((9..20).contains(&seen["storage_kb"].as_i64().unwrap()), "{seen:?}");

    suspend(&site, &tenant).await.unwrap();
    let seen = connector.observe(&target, &tenant.alice).await.unwrap().unwrap().facts;
    assert_eq!((&seen["messages"], &seen["access"]), (&json!(1), &json!("suspended")));
    let facts = connector.test(&target).await.unwrap().facts;
    assert_eq!((&facts["domains"], &facts["mailboxes"]), (&json!(1), &json!(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mailbox_needs_its_domain() {
    let site = MailSite::start(Engine::Sqlite).await;
    let tenant = Tenant::provisioned(&site).await;
    let homeless = suite::mailbox(&tenant.service, "bob@nowhere.example", "secret2", 1);
    let refused = site.connector().ensure_resource(&site.target(), &homeless).await;
    assert!(matches!(refused, Err(Fault::Invalid(_))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_credentials_are_denied_and_a_server_that_is_away_is_unavailable() {
    let site = MailSite::start(Engine::Sqlite).await;
    let connector = site.connector();
    let wrong_key = site.target_opened_by(json!({ "doveadm_api_key": "another-key" }));
    let none = tenantry::model::connector::Target { credentials: None, ..site.target() };
    let unread = site.target_opened_by(json!({ "doveadm_api_kee": "typo-and-secret" }));
    let in_the_open = site.target_with("database", "postgres://tenantry:pass1234@127.0.0.1/x".into());
    let no_role = site.target_with("database", "postgres://nobody_of_this_name@127.0.0.1/postgres".into());
    let no_user = site.target_with("database", "mysql://nobody_of_this_name@127.0.0.1/mysql".into());
    for target in [wrong_key, none, unread, in_the_open, no_role, no_user] {
        let fault = connector.test(&target).await.unwrap_err();
        assert!(matches!(fault, Fault::Denied(_)), "{:?}: {fault:?}", target.settings);
        for secret in ["another-key", "typo-and-secret", "pass1234", API_KEY] {
            assert!(!format!("{fault:?} {fault}").contains(secret), "{fault}");
        }
    }

    let closed_port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let away = [
        site.target_with("doveadm_url", format!("http://{closed_port}/doveadm/v1").into()),
        site.target_with("database", format!("postgres://postgres@{closed_port}/x").into()),
        site.target_with("database", format!("mysql://root@{closed_port}/x").into()),
    ];
    for target in away {
        let fault = connector.test(&target).await.unwrap_err();
        assert!(matches!(fault, Fault::Unavailable { .. }), "{:?}: {fault:?}", target.settings);
    }
    assert!(!format!("{connector:?}").contains(API_KEY));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dovecot_over_mariadb_serves_a_mailbox_through_its_life() {
    let name = database_name();
    let mut admin = MySqlConnection::connect("mysql://root@127.0.0.1/").await.unwrap();
    sqlx::query(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut admin).await.unwrap();
    let lived = tokio::spawn(through_its_life(Engine::MariaDb(name.clone()))).await;
    sqlx::query(sqlx::AssertSqlSafe(format!("DROP DATABASE {name}"))).execute(&mut admin).await.unwrap();
    lived.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dovecot_over_postgresql_serves_a_mailbox_through_its_life() {
    let name = database_name();
    let mut admin = PgConnection::connect("postgres://postgres@127.0.0.1/postgres").await.unwrap();
    sqlx::query(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut admin).await.unwrap();
    let lived = tokio::spawn(through_its_life(Engine::Postgres(name.clone()))).await;
    let drop = format!("DROP DATABASE {name} WITH (FORCE)");
    sqlx::query(sqlx::AssertSqlSafe(drop)).execute(&mut admin).await.unwrap();
    lived.unwrap();
}

fn database_name() -> String {
    format!("tenantry_mail_{}", ServiceId::new().bare())
}

async fn through_its_life(engine: Engine) {
    let site = MailSite::start(engine).await;
    let tenant = Tenant::provisioned(&site).await;
    let (connector, target) = (site.connector(), site.target());
    connector.test(&target).await.unwrap();
    connector.ensure_resource(&target, &tenant.alice).await.unwrap();
    site.deliver_by_lmtp(ALICE).await.unwrap();
    let mut session = ImapSession::open(site.imap(), ALICE, "secret1").await.unwrap();
    let more =
        (0..10).map(|n| suite::mailbox(&tenant.service, &format!("user{n}@acme.example"), "secret9", 1));
    let more: Vec<_> = more.collect();
    let made = more.iter().map(|goal| connector.ensure_resource(&target, goal));
    for made in futures_util::future::join_all(made).await {
        made.unwrap();
    }

    suspend(&site, &tenant).await.unwrap();
    assert!(session.ask("NOOP").await.is_err());
    let refusal = site.login(ALICE, "secret1").await.unwrap_err();
    assert!(refusal.contains("[CONTACTADMIN] Account suspended"), "{refusal}");
    let (code, text) = site.deliver_by_lmtp(ALICE).await.unwrap_err();
    assert!((400..500).contains(&code), "{code} {text}");

    resume(&site, &tenant).await;
    assert_eq!(site.login(ALICE, "secret1").await, Ok(1));
    let stranger = suite::service(tenant.service.service_type);
    let refused = connector.ensure_resource(&target, &suite::domain(&stranger, "acme.example")).await;
    assert!(matches!(refused, Err(Fault::Foreign(_))), "{refused:?}");

    connector.remove_service(&target, &tenant.service).await.unwrap();
    assert!(site.login(ALICE, "secret1").await.is_err());
    assert!(!site.store_of(ALICE).exists());
    assert_eq!(connector.observe(&target, &tenant.domain).await, Ok(None));
}

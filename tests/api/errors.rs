//! Refusals: one form, one catalogue, and a page for each code.

use std::collections::BTreeSet;

use actix_web::{App, HttpServer, middleware, web};
use sqlx::{Connection, PgConnection};
use tenantry::api;

use super::*;

on_both_servers! {
    /// ERR-1: `type` and `doc` lead to a page that says when the code comes and what is to be done.
    async fn every_code_has_a_page(site: With::no_workers()) {
        let list = site.get("/docs/errors").send().await.is(200);
        assert_eq!(list.header("content-type"), Some("text/html; charset=utf-8"));
        let mut names = BTreeSet::new();
        for code in api::Code::ALL {
            let name = code.as_str();
            assert!(names.insert(name), "{name} is there twice");
            assert!(list.text.contains(&format!("\"/docs/errors/{name}\"")), "{name} is not in the list");
            let page = site.get(&format!("/docs/errors/{name}")).send().await.is(200);
            for said in [name, code.title(), &code.status().to_string(), "When it comes", "What to do"] {
                assert!(page.text.contains(said), "{name}: {said}: {}", page.text);
            }
            assert!(!page.text.contains('`'), "{}", page.text);
        }
        site.get("/docs/errors/no_such_code").send().await.refused(404, "route_not_found");
    }

    /// ERR-1, ERR-4: who else works on the same thing is told, and when to come again.
    async fn a_second_change_of_a_resource_waits_for_the_first(site: With::workers()) {
        let world = site.world().await;
        let ordered = site.ordered(&world.tenant, "acme.example", 1).await;
        let key = &world.tenant.key;
        let place = format!("/v1/services/{}/resources", ordered.mail);
        let made = site.post(&place).key(key).wait(20).json(mailbox("a@acme.example")).send().await.is(201);
        // The server is away, so that what is begun does not end.
        let root = site.folder.join("served");
        std::fs::rename(&root, site.folder.join("away")).unwrap();
        let path = format!("/v1/resources/{}", made.id());
        let rename = |name: &str| site.patch(&path).key(key).json(json!({"spec": {"display_name": name}})).send();
        let first = rename("First").await.is(202);
        let second = rename("Second").await.refused(409, "operation_in_progress");
        assert_eq!(second.body["operation_id"], first.body["operation_id"]);
        assert_eq!((&second.body["retryable"], second.header("retry-after")), (&json!(true), Some("1")));
    }

    /// A server whose connector this installation does not have can be asked for nothing.
    async fn what_a_connector_cannot_do_is_said(site: With::workers()) {
        let world = site.world().await;
        let ordered = site.ordered(&world.tenant, "acme.example", 1).await;
        site.fresh.tamper(&format!("UPDATE servers SET connector = 'of_another_release' WHERE id = '{}'", world.server)).await;
        let path = format!("/v1/services/{}/connection", ordered.mail);
        site.get(&path).key(&world.tenant.key).send().await.refused(501, "not_implemented_by_connector");
    }
}

/// ERR-2.
#[actix_web::test]
async fn a_handler_that_panics_answers_500_and_the_connection_lives() {
    async fn panics() -> &'static str {
        panic!("/var/lib/secret.db: no such table")
    }
    let app = || {
        App::new()
            .route("/panics", web::get().to(panics))
            .route("/lives", web::get().to(async || "well"))
            .wrap(middleware::from_fn(api::around))
    };
    let server = HttpServer::new(app).workers(1).disable_signals().bind(("127.0.0.1", 0)).unwrap();
    let address = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    actix_web::rt::spawn(server);
    let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(1).build().unwrap();
    for _ in 0..3 {
        let answer = client.get(format!("http://{address}/panics")).send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await.unwrap();
        let answer = Answer { status, headers, body: serde_json::from_str(&text).unwrap(), text };
        assert!(!answer.text.contains("secret"), "{}", answer.text);
        assert_eq!(
            (answer.header("cache-control"), answer.header("x-content-type-options")),
            (Some("no-store"), Some("nosniff"))
        );
        answer.refused(500, "internal_error");
        let lives = client.get(format!("http://{address}/lives")).send().await.unwrap();
        assert_eq!(lives.text().await.unwrap(), "well");
    }
    handle.stop(true).await;
}

/// On SQLite writers come one after the other, so that this cannot happen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_somebody_else_was_quicker_with_can_be_sent_again() {
    let site = Site::open(common::Fresh::postgres().await, With::no_workers()).await;
    let world = site.world().await;
    let (path, key) = (format!("/v1/accounts/{}", world.tenant.id), world.reseller.key.clone());
    let mut other = PgConnection::connect(&site.fresh.url).await.unwrap();
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut other).await.unwrap();
    let mut first = other.begin().await.unwrap();
    sqlx::query("SELECT set_config('app.subtree', '/', true)").execute(&mut *first).await.unwrap();
    let changed = sqlx::query("UPDATE accounts SET version = version + 1 WHERE id = $1");
    let changed = changed.bind(&world.tenant.id).execute(&mut *first).await.unwrap();
    assert_eq!(changed.rows_affected(), 1);
    let late = site.patch(&path).key(&key).json(json!({"name": "Late"})).send();
    let late = tokio::spawn(late);
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND $1 = ANY(pg_blocking_pids(pid))";
    while sqlx::query_scalar::<_, i64>(waiting).bind(pid).fetch_one(&mut *first).await.unwrap() == 0 {
        tokio::task::yield_now().await;
    }
    first.commit().await.unwrap();
    let refused = late.await.unwrap().refused(409, "concurrent_change");
    assert_eq!((&refused.body["retryable"], refused.header("retry-after")), (&json!(true), Some("1")));
    site.patch(&path).key(&key).json(json!({"name": "Late"})).send().await.is(200);
    other.close().await.unwrap();
    site.close().await;
}

//! A server that is asked to end, and a second one where only one may be.

use reqwest::Method;

use super::hosting::Hosting;
use super::*;

/// JOB-14
#[tokio::test]
async fn a_second_server_on_a_folder_is_told_who_has_it() {
    let one = Installation::new();
    let first = one.serve().await;
    let refused = one.beside().run(&["serve"]);
    let text = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(75), "{text}");
    assert!(text.contains("is in use by another tenantry process"), "{text}");
    assert!(text.contains(&one.folder.join("data").display().to_string()), "{text}");
    first.kill();
    // What was killed holds nothing back.
    let second = one.beside();
    second.serve().await.kill();
    one.remove();
}

/// SHUT-1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_asked_to_end_answers_what_was_asked_before_and_nobody_after() {
    let installation = Installation::new();
    let key = installation.key();
    // Nobody works, so that the request below waits as long as it said.
    let served = installation.serve_with(&["serve", "--no-workers"]).await;
    let hosting = Hosting::new(&installation, &key).await;
    let (_, id) = hosting.place(&[installation.listen], "domain-last").await;
    let order = hosting.caller.get(&format!("/orders/{id}")).await;
    let operation = format!("/operations/{}?wait=3", order["operation_id"].as_str().unwrap());
    let caller = hosting.caller.clone();
    let begun = Instant::now();
    let waiting = tokio::spawn(async move { caller.call(Method::GET, &operation).send().await.unwrap() });
    tokio::time::sleep(Duration::from_millis(300)).await;
    served.terminate();
    let refused = loop {
        match std::net::TcpStream::connect(installation.listen) {
            Err(error) => break error,
            Ok(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
        assert!(begun.elapsed() < Duration::from_secs(3), "it goes on listening");
    };
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    assert!(!waiting.is_finished(), "it was refused only after the last answer");
    let answer = waiting.await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.json::<Value>().await.unwrap()["status"], "queued");
    assert!(begun.elapsed() >= Duration::from_secs(3));
    assert_eq!(served.ended().await.code(), Some(0), "{}", installation.said());
    installation.remove();
}

//! The audit's checkpoints, whatever ends the program.

use std::fs;
use std::path::PathBuf;

use super::*;
use tenantry::clock::Clock;

/// Makes six minutes pass since the last checkpoint.
async fn due(fresh: &Fresh) {
    let earlier = Clock::system().now().minus(Duration::from_secs(360));
    fresh.tamper(&format!("UPDATE audit_checkpoints SET made_at = '{earlier}'")).await;
}

fn file(of: &Installation) -> PathBuf {
    of.folder.join("data/audit-checkpoints.ndjson")
}

fn verify(installation: &Installation) -> (bool, String) {
    let told = installation.run(&["audit", "verify"]);
    (told.status.success(), String::from_utf8_lossy(&told.stdout).into_owned())
}

/// AUD-3: killed while it makes and writes checkpoints, at any moment: none is missing and none is there twice
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_leaves_no_gap_and_no_double_in_its_checkpoints() {
    let fresh = Fresh::postgres().await;
    let installation = Installation::on(&fresh.url);
    let key = installation.key();
    for round in 0..times(8, 60) {
        due(&fresh).await;
        let server = installation.serve().await;
        let caller = Outsider::new(installation.listen, &key);
        caller.make("/accounts", json!({"type": "tenant", "name": format!("Round {round}")})).await;
        // The first is due as the server starts: it is killed about then.
        tokio::time::sleep(Duration::from_micros(round * 3_700 % 30_000)).await;
        server.kill();
    }
    let (whole, told) = verify(&installation);
    assert!(whole, "{told}");
    due(&fresh).await;
    let server = installation.serve().await;
    common::until("all is written", async || {
        let (_, told) = verify(&installation);
        let text = fs::read_to_string(file(&installation)).unwrap_or_default();
        text.matches("\"type\":\"checkpoint\"").count() > 1 && told.contains("checkpoints")
    })
    .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.kill();
    let text = fs::read_to_string(file(&installation)).unwrap();
    let found = tenantry::model::accounts::checkpoints::read(text.as_bytes()).unwrap();
    let numbers: Vec<_> = found.iter().map(|found| found.checkpoint.number).collect();
    assert_eq!(numbers, (1..=numbers.len() as i64).collect::<Vec<_>>());
    let (whole, told) = verify(&installation);
    assert!(whole && told.contains(&format!("{} checkpoints", numbers.len())), "{told}");
    // And what is wrong ends the command with 1.
    fs::write(file(&installation), text.replacen("\"number\":1,", "\"number\":9,", 1)).unwrap();
    let told = installation.run(&["audit", "verify"]);
    assert_eq!(told.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&told.stdout).contains("FAIL  checkpoint 1"), "{told:?}");
    installation.remove();
    fresh.remove().await;
}

/// AUD-3: a file that cannot be written stops no request, and shows
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_checkpoints_that_cannot_be_written_is_told_and_requests_go_on() {
    let installation = Installation::new();
    let elsewhere = installation.folder.join("mounted");
    let file = elsewhere.join("checkpoints");
    let installation = installation.with("AUDIT__CHECKPOINT_FILE", file.display().to_string());
    let key = installation.key();
    let server = installation.serve().await;
    let http = process::in_clear();
    let ready = async || {
        let url = format!("http://{}/readyz", installation.admin);
        let answer = http.get(url).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap()["degraded"].clone())
    };
    common::until("it shows", async || ready().await == (200, json!(["audit_checkpoints"]))).await;
    Outsider::new(installation.listen, &key)
        .make("/accounts", json!({"type": "tenant", "name": "One"}))
        .await;
    assert!(
        installation.said().contains("the audit's checkpoints are not written"),
        "{}",
        installation.said()
    );
    let metrics = async || {
        let url = format!("http://{}/metrics", installation.admin);
        http.get(url).send().await.unwrap().text().await.unwrap()
    };
    assert!(!metrics().await.contains("\naudit_checkpoint_timestamp_seconds "), "it is not counted as made");
    fs::create_dir(&elsewhere).unwrap();
    common::until("it goes on by itself", async || ready().await == (200, json!([]))).await;
    assert!(metrics().await.contains("\naudit_checkpoint_timestamp_seconds "));
    assert!(file.exists());
    server.kill();
    installation.remove();
}

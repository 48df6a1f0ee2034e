//! The signing keys are changed from the command line while the server serves.

use super::*;

/// The names of the keys that are told.
async fn told(installation: &Installation) -> Vec<String> {
    let answer = reqwest::get(format!("http://{}/oauth/jwks", installation.listen)).await.unwrap();
    let keys: Value = answer.json().await.unwrap();
    let names = keys["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned());
    names.collect()
}

on_both_installations! {
    /// TOK-8
    async fn a_server_goes_by_what_is_changed_on_the_command_line(one: Installation, _url: String) {
        one.key();
        let running = one.serve().await;
        let first = told(&one).await;
        let status = said(&one, &["signing", "status"]);
        assert!(status.starts_with(&first[0]) && status.trim_end().ends_with("is signed with"), "{status}");

        let added = said(&one, &["signing", "add"]);
        common::until("the next key is told", async || told(&one).await.len() == 2).await;
        assert!(added.contains("is told, and signed with from"), "{added}");
        let again = one.run(&["signing", "add"]);
        assert_eq!(again.status.code(), Some(1), "{again:?}");
        said(&one, &["signing", "drop"]);
        common::until("it is taken back", async || told(&one).await == first).await;

        let only = said(&one, &["signing", "replace"]);
        common::until("another key is told", async || told(&one).await != first).await;
        assert!(only.starts_with(&told(&one).await[0]), "{only}");
        running.kill();
        one.remove();
    }
}

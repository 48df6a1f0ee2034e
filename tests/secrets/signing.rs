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
    /// TOK-8, AUD-1
    async fn a_server_goes_by_what_is_changed_on_the_command_line(one: Installation, _url: String) {
        let operator = one.key();
        let running = one.serve().await;
        let first = told(&one).await;
        let status = said(&one, &["signing", "status"]);
        assert!(status.starts_with(&first[0]) && status.trim_end().ends_with("is signed with"), "{status}");

        let added = said(&one, &["signing", "add"]);
        common::until("the next key is told", async || told(&one).await.len() == 2).await;
        assert!(added.contains("is told, and signed with from"), "{added}");
        let again = one.run(&["signing", "add"]);
        assert_eq!(again.status.code(), Some(1), "{again:?}");
        let next = told(&one).await.into_iter().find(|key| *key != first[0]);
        said(&one, &["signing", "drop"]);
        common::until("it is taken back", async || told(&one).await == first).await;

        let only = said(&one, &["signing", "replace"]);
        common::until("another key is told", async || told(&one).await != first).await;
        assert!(only.starts_with(&told(&one).await[0]), "{only}");
        let only = told(&one).await.pop();
        let lines = Outsider::new(one.listen, &operator).list("/audit").await;
        let of_keys = lines.iter().filter(|line| line["action"].as_str().unwrap().starts_with("signing_"));
        let of_keys: Vec<_> = of_keys.map(|line| (line["action"].clone(), line["resource"].clone())).collect();
        let expected = [("signing_key_add", next.clone()), ("signing_key_drop", next), ("signing_keys_replace", only)];
        assert_eq!(of_keys, expected.map(|(action, key)| (json!(action), json!(key))));
        said(&one, &["audit", "verify"]);
        running.kill();
        one.remove();
    }
}

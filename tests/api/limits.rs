//! Rate limits: what is refused, what it costs, and what callers are told of it.

use super::*;

/// With these settings, and a clock that stands.
fn with(settings: &'static [(&'static str, &'static str)]) -> With {
    With { settings, workers: false, ..With::clock() }
}

const KEY: &str = "TENANTRY_LIMITS__KEY_PER_MINUTE";
const ACCOUNT: &str = "TENANTRY_LIMITS__ACCOUNT_PER_MINUTE";
const SUBTREE: &str = "TENANTRY_LIMITS__SUBTREE_PER_MINUTE";
const ADDRESS: &str = "TENANTRY_LIMITS__ADDRESS_PER_MINUTE";
const ADDRESS_POSTS: &str = "TENANTRY_LIMITS__ADDRESS_POSTS_PER_MINUTE";
const POSTS: &str = "TENANTRY_LIMITS__POSTS_PER_MINUTE";

/// The members of `RateLimit` or `RateLimit-Policy`: name, and the numbers of its two parameters.
fn members(header: &str) -> Vec<(String, u64, u64)> {
    let number = |part: &str, name: &str| part.strip_prefix(name).expect(header).parse().expect(header);
    let member = |text: &str| {
        let parts: Vec<_> = text.split(';').collect();
        let [name, first, second] = parts[..] else { panic!("{header}") };
        let name = name.strip_prefix('"').and_then(|name| name.strip_suffix('"')).expect(header);
        let first_name = if first.starts_with("q=") { "q=" } else { "r=" };
        let second_name = if first_name == "q=" { "w=" } else { "t=" };
        (name.to_owned(), number(first, first_name), number(second, second_name))
    };
    header.split(", ").map(member).collect()
}

/// What is left of the caller's own policies, told by the answer.
fn left(answer: &Answer, policy: &str) -> u64 {
    let told = members(answer.header("ratelimit").expect("an authenticated answer tells it"));
    told.iter().find(|member| member.0 == policy).expect("the policy is told").1
}

/// Reads until a refusal: how many were answered, and the refusal.
async fn exhausted(site: &Site, key: &str) -> (usize, Answer) {
    for answered in 0..1000 {
        let answer = site.get("/v1/orders").key(key).send().await;
        if answer.status != 200 {
            return (answered, answer.refused(429, "rate_limited"));
        }
    }
    panic!("no limit is met");
}

on_both_servers! {
    /// RL-1, RL-4, RL-5: a key that has used up its units is refused until they are back, and told when.
    async fn a_key_over_its_limit_waits_as_long_as_it_is_told(site: with(&[(KEY, "60")])) {
        let key = site.key(&site.operator_key, &operator(site).await, "auditor").await;
        let (answered, refusal) = exhausted(site, &key).await;
        assert_eq!(answered, 60);
        assert_eq!(refusal.body["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
        assert_eq!(refusal.body["violated-policies"], json!(["key"]));
        assert_eq!(members(refusal.header("ratelimit").unwrap())[0], ("key".into(), 0, 1));
        let wait: u64 = refusal.header("retry-after").expect("it says when").parse().unwrap();
        assert!((1..=2).contains(&wait), "{wait}");
        site.clock.advance(Duration::from_millis(999));
        site.get("/v1/orders").key(&key).send().await.refused(429, "rate_limited");
        site.clock.advance(Duration::from_millis(1));
        site.get("/v1/orders").key(&key).send().await.is(200);
        site.get("/v1/orders").key(&key).send().await.refused(429, "rate_limited");
    }

    /// RL-4
    async fn every_authenticated_answer_tells_the_policies_and_what_is_left(site: with(&[(KEY, "100"), (ACCOUNT, "1000")])) {
        let key = &site.operator_key;
        let mut before = 100;
        for (path, status) in [("/v1/me", 200), ("/v1/orders?nothing=1", 400), ("/v1/plans/none", 404)] {
            let answer = site.get(path).key(key).send().await.is(status);
            let policies = members(answer.header("ratelimit-policy").unwrap());
            assert_eq!(policies, [("key".into(), 100, 60), ("acct".into(), 1000, 60)]);
            let told = members(answer.header("ratelimit").unwrap());
            assert_eq!(told[0], ("key".into(), before - 1, 1), "the tightest comes first");
            assert_eq!(told[1], ("acct".into(), 900 + before - 1, 1));
            before -= 1;
        }
    }

    /// RL-1: a read costs one unit, a write two, an action five, an export twenty; a replay is charged like the first.
    async fn what_is_asked_has_its_price(site: with(&[])) {
        let world = site.world().await;
        let key = &site.key(&site.operator_key, &world.operator.id, "operator_admin").await;
        let whole = left(&site.get("/v1/me").key(key).send().await.is(200), "key");
        let body = json!({"type": "tenant", "name": "T"});
        let make = || site.post("/v1/accounts").key(key).idem("one").json(body.clone());
        let at = left(&make().send().await.is(201), "key");
        let replayed = make().send().await.is(201);
        assert_eq!(replayed.header("idempotency-replayed"), Some("true"));
        assert_eq!((at, left(&replayed, "key")), (whole - 2, whole - 4));
        let path = format!("/v1/accounts/{}/suspend", world.reseller.id);
        let held = site.post(&path).key(key).json(json!({"reason_code": "payment"})).send().await;
        assert!(held.status < 300, "{}", held.text);
        assert_eq!(left(&held, "key"), whole - 9, "{}", held.text);
        site.get("/v1/audit/export").key(key).send().await.is(200);
        let limits = site.get("/v1/limits").key(key).send().await.is(200);
        assert_eq!(left(&limits, "key"), whole - 30, "{}", limits.text);
        assert_eq!(limits.body["units"], json!({"read": 1, "write": 2, "action": 5, "export": 20}));
    }

    /// RL-1, RL-2: an account's keys draw from one bucket, and what it refuses is not taken from the key.
    async fn an_account_has_one_limit_for_all_its_keys(site: with(&[(ACCOUNT, "100")])) {
        let id = operator(site).await;
        let first = site.key(&site.operator_key, &id, "auditor").await;
        let second = site.key(&site.operator_key, &id, "auditor").await;
        let (_, refusal) = exhausted(site, &first).await;
        assert_eq!(refusal.body["violated-policies"], json!(["acct"]));
        let other = site.get("/v1/orders").key(&second).send().await.refused(429, "rate_limited");
        assert_eq!(left(&other, "key"), 6000, "a refused request takes nothing of its key");
    }

    /// RL-1, RL-2: the accounts below one account share a limit; to be refused there takes nothing of one's own.
    async fn neighbours_share_a_limit_and_a_refusal_there_takes_nothing_elsewhere(site: with(&[(SUBTREE, "40")])) {
        let by = &site.operator_key;
        let one = site.account(by, "tenant", "One").await;
        let two = site.account(by, "tenant", "Two").await;
        let (answered, refusal) = exhausted(site, &one.key).await;
        assert_eq!((answered, &refusal.body["violated-policies"]), (40, &json!(["subtree"])));
        let refused = site.get("/v1/orders").key(&two.key).send().await.refused(429, "rate_limited");
        assert_eq!((left(&refused, "key"), left(&refused, "acct")), (6_000, 30_000));
        site.get("/v1/orders").key(by).send().await.is(200);
    }

    /// RL-5: a price that is not there is waited for, and then it is.
    async fn a_write_waits_for_both_of_its_units(site: with(&[(KEY, "60")])) {
        let key = site.key(&site.operator_key, &operator(site).await, "operator_admin").await;
        exhausted(site, &key).await;
        let make = || site.post("/v1/accounts").key(&key).json(json!({"type": "tenant", "name": "T"}));
        let wait = make().send().await.refused(429, "rate_limited");
        let wait: u64 = wait.header("retry-after").unwrap().parse().unwrap();
        assert!((2..=3).contains(&wait), "{wait}");
        site.clock.advance(Duration::from_secs(wait));
        make().send().await.is(201);
    }

    /// RL-1, RL-6: who fails to authenticate is limited by address, and takes nothing of anybody's account.
    async fn failed_credentials_are_limited_by_address_and_cost_no_account_anything(site: with(&[(ADDRESS, "5")])) {
        let key = &site.operator_key;
        let before = left(&site.get("/v1/me").key(key).send().await.is(200), "acct");
        let wrong = format!("{key}x");
        for _ in 0..5 {
            let refused = site.get("/v1/me").key(&wrong).send().await.refused(401, "invalid_token");
            assert!(refused.header("ratelimit").is_none() && refused.header("ratelimit-policy").is_none());
        }
        let refused = site.get("/v1/me").key(&wrong).send().await.refused(429, "rate_limited");
        assert_eq!(refused.body["violated-policies"], json!(["addr"]));
        assert!(refused.header("ratelimit").is_none() && refused.header("ratelimit-policy").is_none());
        site.get("/v1/me").send().await.refused(429, "rate_limited");
        let after = left(&site.get("/v1/me").key(key).send().await.is(200), "acct");
        assert_eq!(after, before - 1);
        site.clock.advance(Duration::from_secs(12));
        site.get("/v1/me").key(&wrong).send().await.refused(401, "invalid_token");
    }

    /// RL-11
    async fn reports_of_leaks_are_limited_by_address(site: with(&[(ADDRESS_POSTS, "5")])) {
        let report = || site.post("/v1/keys/report_leaked").json(json!({"key": "nonsense"}));
        for _ in 0..5 {
            report().send().await.is(202);
        }
        let refused = report().send().await.refused(429, "rate_limited");
        assert_eq!(refused.body["violated-policies"], json!(["addr-post"]));
        site.get("/v1/me").key(&site.operator_key).send().await.is(200);
    }

    /// RL-11: tokens too, and the limit of one address is none of the keys'.
    async fn requests_for_tokens_are_limited_by_address_and_told_in_the_words_of_oauth(site: with(&[(ADDRESS_POSTS, "4")])) {
        let key = &site.operator_key;
        let id = format!("key_{}", key.split('_').nth(2).unwrap());
        let ask = || site.post("/oauth/token").basic(&id, key).form(&[("grant_type", "client_credentials")]);
        for _ in 0..4 {
            ask().send().await.is(200);
        }
        let refused = ask().send().await.is(429);
        assert_eq!(refused.body["error"], "temporarily_unavailable");
        let wait: u64 = refused.header("retry-after").expect("it says when").parse().unwrap();
        assert!((15..=18).contains(&wait), "{wait}");
        site.post("/v1/keys/report_leaked").json(json!({"key": "x"})).send().await.refused(429, "rate_limited");
        assert_eq!(left(&site.get("/v1/me").key(key).send().await.is(200), "key"), 5_999);
        site.clock.advance(Duration::from_secs(wait));
        ask().send().await.is(200);
    }

    /// RL-11: all addresses together have a limit too, and nobody with a credential is in it.
    async fn what_strangers_post_has_a_limit_for_all_of_them(site: with(&[(POSTS, "3"), ("TENANTRY_SERVER__TRUSTED_PROXIES", "127.0.0.0/8")])) {
        let report = |last: u8| {
            let from = format!("203.0.113.{last}");
            site.post("/v1/keys/report_leaked").header("X-Forwarded-For", &from).json(json!({"key": "x"}))
        };
        for last in 1..=3 {
            report(last).send().await.is(202);
        }
        let refused = report(4).send().await.refused(429, "rate_limited");
        assert_eq!(refused.body["violated-policies"], json!(["post"]));
        site.get("/v1/me").key(&site.operator_key).send().await.is(200);
        site.clock.advance(Duration::from_secs(20));
        report(4).send().await.is(202);
    }

    /// RL-12: a quota of a plan is no rate limit: over it the answer is 409 and says nothing of coming back, however often.
    async fn over_a_quota_the_answer_is_409_and_never_429(site: with(&[])) {
        let world = site.world().await;
        let put = json!({"ceiling": 0});
        let path = format!("/v1/accounts/{}/quotas/mail.mailboxes", world.tenant.id);
        site.put(&path).anyway().key(&world.operator.key).json(put).send().await.is(200);
        for _ in 0..5 {
            let order = add("hosted-mail", 1, json!([]));
            let refused = site.post("/v1/orders").key(&world.tenant.key).json(order).send().await;
            let refused = refused.refused(409, "quota_exceeded");
            assert!(refused.header("retry-after").is_none() && refused.body["retryable"] == false);
            assert!(refused.body["violated-policies"].is_null(), "{}", refused.text);
            assert!(refused.header("ratelimit").is_some());
        }
    }

    /// RL-4
    async fn what_applies_can_be_read(site: with(&[(KEY, "90"), (ADDRESS, "7")])) {
        let shown = site.get("/v1/limits").key(&site.operator_key).send().await.is(200);
        let policy = |at: usize| shown.body["rate_policies"][at].clone();
        assert_eq!(policy(0), json!({"name": "key", "quota": 90, "window_seconds": 60}));
        assert_eq!(policy(3), json!({"name": "addr", "quota": 7, "window_seconds": 60}));
        assert_eq!([policy(4)["name"].clone(), policy(5)["name"].clone()], ["addr-post", "post"]);
        assert_eq!(shown.body["idempotency_retention_seconds"], 72 * 3600);
        assert_eq!(shown.body["max_body_bytes"], 256 * 1024);
        site.get("/v1/limits").send().await.refused(401, "unauthenticated");
    }
}

async fn operator(site: &Site) -> String {
    site.get("/v1/me").key(&site.operator_key).send().await.is(200).text_of("/account/id")
}

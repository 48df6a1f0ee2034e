//! Which values are taken, to the last one that is and the first that is not: the same on both databases.

use super::*;

/// An account with some member, as text.
fn account(member: &str) -> String {
    format!("{{\"type\":\"tenant\",\"name\":\"A\"{}{member}}}", if member.is_empty() { "" } else { "," })
}

async fn create(site: &Site, world: &World, body: impl Into<reqwest::Body>) -> Answer {
    site.post("/v1/accounts").key(&world.reseller.key).body("application/json", body).send().await
}

on_both_servers! {
    /// VAL-1, of the request around the body.
    async fn a_request_may_be_so_large_and_no_larger(site: With::no_workers()) {
        let world = site.world().await;
        let key = &world.tenant.key;
        let long = |length: usize| format!("/v1/orders?cursor={}", "c".repeat(length - "/v1/orders?cursor=".len()));
        site.get(&long(8192)).key(key).send().await.refused(400, "invalid_cursor");
        site.get(&long(8193)).key(key).send().await.refused(414, "uri_too_long");
        let padded = |lines: usize, size: usize| {
            let call = site.get("/v1/orders").key(key);
            (0..lines).fold(call, |call, line| call.header(&format!("x-pad-{line}"), &"p".repeat(size)))
        };
        padded(50, 10).send().await.is(200);
        padded(64, 10).send().await.refused(431, "headers_too_large");
        padded(15, 1000).send().await.is(200);
        padded(16, 1050).send().await.refused(431, "headers_too_large");
        let body = |length: usize| account("").replace('A', &"A".repeat(length - account("").len() + 1));
        create(site, &world, body(256 * 1024)).await.refused(422, "validation_failed");
        create(site, &world, body(256 * 1024 + 1)).await.refused(413, "body_too_large");
        let unzipped = site.post("/v1/accounts").key(&world.reseller.key).header("Content-Encoding", "gzip").json(json!({}));
        unzipped.send().await.refused(415, "unsupported_media_type");
    }

    /// VAL-1, of what is in the body.
    async fn parts_of_a_body_may_be_so_large_and_no_larger(site: With::no_workers()) {
        let world = site.world().await;
        let name = |length: usize| json!({"type": "tenant", "name": "ü".repeat(length)}).to_string();
        let metadata = |pairs: usize, key: usize, value: usize| {
            let pairs = (0..pairs).map(|n| (format!("{n:0>key$}"), json!("ü".repeat(value))));
            json!({"type": "tenant", "name": "A", "metadata": pairs.collect::<serde_json::Map<_, _>>()}).to_string()
        };
        for taken in [name(128), metadata(50, 2, 1), metadata(1, 40, 1), metadata(1, 1, 500)] {
            create(site, &world, taken).await.is(201);
        }
        for refused in [name(129), metadata(51, 2, 1), metadata(1, 41, 1), metadata(1, 1, 501), metadata(201, 3, 1)] {
            create(site, &world, refused.clone()).await.refused(422, "validation_failed");
        }
        let text = account(&format!("\"locale\":\"{}\"", "a".repeat(4097)));
        create(site, &world, text).await.refused(422, "validation_failed");
        let items = account(&format!("\"metadata\":[{}]", ["1"; 1001].join(",")));
        create(site, &world, items).await.refused(422, "validation_failed");
        let deep = |levels: usize| account(&format!("\"metadata\":{}1{}", "[".repeat(levels), "]".repeat(levels)));
        create(site, &world, deep(31)).await.refused(422, "validation_failed");
        create(site, &world, deep(32)).await.refused(400, "malformed_json");
    }

    /// VAL-2.
    async fn json_is_read_to_the_letter(site: With::no_workers()) {
        let world = site.world().await;
        for malformed in [
            account("").into_bytes()[1..].to_vec(),
            [b"\xef\xbb\xbf".as_slice(), account("").as_bytes()].concat(),
            account("\"locale\":\"").into_bytes(),
            account("\"locale\":\"\u{0}\"").into_bytes(),
            [account("").as_bytes(), b" x"].concat(),
            account("\"locale\":NaN").into_bytes(),
            account("\"locale\":Infinity").into_bytes(),
            account("\"metadata\":{\"a\":\"1\",\"a\":\"2\"}").into_bytes(),
            [b"{\"type\":\"tenant\",\"name\":\"".as_slice(), b"\xff\"}"].concat(),
            [b"{\"type\":\"tenant\",\"name\":\"".as_slice(), b"\xed\xa0\x80\"}"].concat(),
        ] {
            let told = String::from_utf8_lossy(&malformed).into_owned();
            let answer = create(site, &world, malformed).await;
            assert_eq!((answer.status, answer.code()), (400, "malformed_json"), "{told}: {}", answer.text);
        }
        let quantity = |written: &str| {
            let order = format!("{{\"items\":[{{\"action\":\"add\",\"plan\":\"hosted-mail\",\"quantity\":{written}}}]}}");
            site.post("/v1/orders?dry_run=true").key(&world.tenant.key).body("application/json", order).send()
        };
        for whole in ["1", "1.0", "10e-1", "0.1e1"] {
            quantity(whole).await.is(202);
        }
        for other in ["1e400", "-1e400", "1.5", "\"1\"", "true", "null", "[1]", "9223372036854775808", "1e19"] {
            quantity(other).await.refused(422, "validation_failed");
        }
        let unknown = create(site, &world, account("\"colour\":\"red\"")).await.refused(422, "validation_failed");
        assert_eq!(unknown.faults(), [("/colour".to_owned(), "unknown_field".to_owned())]);
    }

    /// VAL-3.
    async fn names_are_kept_in_one_form_and_have_no_characters_that_deceive(site: With::no_workers()) {
        let world = site.world().await;
        let named = |name: &str| create(site, &world, json!({"type": "tenant", "name": name}).to_string());
        for (given, kept) in [("Mu\u{308}ller", "M\u{fc}ller"), ("东京 株式会社", "东京 株式会社"), ("مؤسسة", "مؤسسة"), ("\u{212b}", "\u{c5}")] {
            assert_eq!(named(given).await.is(201).text_at("name"), kept);
        }
        for unfit in [
            "a\u{0}b", "a\u{1b}[2J", "a\u{85}b", "a\u{202e}b", "a\u{2066}b", "a\u{200f}b", // controls and changes of direction
            "a\u{e000}b", "a\u{378}b", "a\u{fffe}b", "a\u{10ffff}b", // for private use, unassigned, noncharacters
            "a\nb", "\t", " \u{a0} ",
        ] {
            let refused = named(unfit).await.refused(422, "validation_failed");
            assert_eq!(refused.faults()[0].0, "/name", "{unfit:?}: {}", refused.text);
        }
        create(site, &world, account("\"metadata\":{\"a\":\"\\ud800\"}")).await.refused(422, "validation_failed");
    }

    /// VAL-3: what is compared is folded first.
    async fn domains_and_addresses_are_the_same_however_they_are_written(site: With::workers()) {
        let world = site.world().await;
        let ordered = site.ordered(&world.tenant, "m\u{fc}ller.example", 3).await;
        let place = format!("/v1/services/{}/resources", ordered.mail);
        let new = |address: &str| site.post(&place).key(&world.tenant.key).wait(20).json(mailbox(address)).send();
        let made = new("Alice@M\u{dc}LLER.example").await.is(201);
        assert_eq!(made.text_of("/spec/address"), "alice@xn--mller-kva.example");
        for same in ["alice@xn--mller-kva.example", "ALICE@XN--MLLER-KVA.EXAMPLE", "alice@mu\u{308}ller.example"] {
            new(same).await.refused(409, "name_taken");
        }
        for wrong in [format!("{}@müller.example", "a".repeat(65)), "a@müller.example/x".into(), "a@b@müller.example".into()] {
            new(&wrong).await.refused(422, "validation_failed");
        }
    }

    /// VAL-4: what is too much is said, and nothing wraps around.
    async fn quantities_have_an_end_and_their_products_too(site: With::no_workers()) {
        let world = site.world().await;
        let huge = json!([{"key": "mail.storage_mb", "per_unit": 1_000_000_000_i64}]);
        site.plan(&world.virtual_server, "huge", huge).await;
        let order = |plan: &str, quantity: i64| site.post("/v1/orders").key(&world.tenant.key).json(add(plan, quantity, json!([]))).send();
        order("huge", 1).await.is(202);
        for quantity in [-1, 0, 1 << 31, i64::MAX] {
            order("huge", quantity).await.refused(422, "validation_failed");
        }
        let most = order("huge", (1 << 31) - 1).await;
        assert!([202, 409, 422].contains(&most.status), "{}", most.text);
        if most.status == 202 {
            let item = most.text_of("/items/0/subscription_id");
            let quota = site.quota(&world.tenant.key, &item, "mail.storage_mb").await.unwrap();
            assert_eq!(quota["ceiling"], 1_000_000_000_i64 * ((1 << 31) - 1));
        }
    }

    /// VAL-5.
    async fn times_have_an_offset_and_lie_between_1970_and_2199(site: With::no_workers()) {
        let world = site.world().await;
        let path = format!("/v1/accounts/{}/suspend?dry_run=true", world.tenant.id);
        let until = |time: &str| site.post(&path).key(&site.operator_key).json(json!({"reason_code": "payment", "expires_at": time})).send();
        for (given, kept) in [
            ("2199-12-31T23:59:59.999999Z", "2199-12-31T23:59:59.999999Z"),
            ("2030-01-01T00:30:00+01:00", "2029-12-31T23:30:00.000000Z"),
            ("2030-01-01T00:00:00.123456789Z", "2030-01-01T00:00:00.123456Z"),
            ("2030-12-31T23:59:60Z", "2030-12-31T23:59:59.000000Z"),
        ] {
            let held = until(given).await;
            assert!(held.status < 300, "{given}: {}", held.text);
            assert_eq!(held.text_of("/holds/0/expires_at"), kept);
        }
        for wrong in [
            "2200-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "2030-01-01T00:00:00", "2030-01-01", "2030-02-30T00:00:00Z",
            "2030-01-01T24:00:00Z", "1893456000", "tomorrow", "",
        ] {
            let refused = until(wrong).await.refused(422, "validation_failed");
            assert_eq!(refused.faults()[0].0, "/expires_at", "{wrong}: {}", refused.text);
        }
    }
}

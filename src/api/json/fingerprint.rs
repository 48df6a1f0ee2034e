use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use crate::model::canonical;

/// What a repeated request is recognised by: nobody without the key can find a request that has it. The query's
/// parameters are expected in order.
pub fn fingerprint(
    key: &[u8; 32],
    method: &str,
    path: &str,
    sorted_query: &str,
    subject: &str,
    version: &str,
    body: &Value,
) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in [method, path, sorted_query, subject, version, &canonical(body)] {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part.as_bytes());
    }
    hex::encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::json::parse;

    fn of(body: &[u8]) -> String {
        fingerprint(&[7; 32], "POST", "/v1/orders", "a=1", "acc_1", "1", &parse(body).unwrap())
    }

    #[test]
    fn order_of_members_and_white_space_do_not_matter_and_all_else_does() {
        let one = of(br#"{"a":1,"b":[1,2]}"#);
        assert_eq!(one, of(b" { \"b\" : [ 1.0, 2 ],\n\"a\": 1 } "));
        assert_eq!(one.len(), 64);
        for other in
            [r#"{"a":1,"b":[2,1]}"#, r#"{"a":"1","b":[1,2]}"#, r#"{"a":1,"b":[1,2],"c":null}"#, "null"]
        {
            assert_ne!(one, of(other.as_bytes()), "{other}");
        }
        let exact = |number: &str| of(format!("{{\"n\":{number}}}").as_bytes());
        assert_ne!(exact("9007199254740992"), exact("9007199254740993"));
    }

    #[test]
    fn every_part_of_a_request_counts_and_none_runs_into_the_next() {
        let of = |key: u8, parts: [&str; 5]| {
            fingerprint(&[key; 32], parts[0], parts[1], parts[2], parts[3], parts[4], &Value::Null)
        };
        let parts = ["POST", "/v1/orders", "a=1", "acc_1", "1"];
        let mut seen = vec![of(7, parts), of(8, parts)];
        for at in 0..parts.len() {
            let mut other = parts;
            other[at] = "other";
            seen.push(of(7, other));
        }
        seen.push(of(7, ["POST/", "v1/orders", "a=1", "acc_1", "1"]));
        seen.push(of(7, ["POST", "/v1/orders", "a=1acc_1", "", "1"]));
        let distinct: std::collections::BTreeSet<_> = seen.iter().collect();
        assert_eq!(distinct.len(), seen.len());
    }
}

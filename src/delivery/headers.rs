//! Which headers of its own an endpoint may be sent.

/// The longest value.
pub const MAX_VALUE: usize = 1_024;
/// How many an endpoint has at most, those that are not shown among them.
pub const MAX_HEADERS: usize = 20;

/// What is admitted beside names that begin with `x-`.
const ADMITTED: [&str; 5] =
    ["api-key", "apikey", "authorization", "cf-access-client-id", "cf-access-client-secret"];
/// Admitted only where the value is not shown.
const SECRET: &str = "authorization";
/// By these what stands between us and the endpoint might be misled.
const MISLEADING: [&str; 6] =
    ["x-forwarded", "x-http-method", "x-method-override", "x-original", "x-real-ip", "x-rewrite"];

/// Whether the header may go out with the deliveries to an endpoint that wants it. The program's own, those of the
/// connection and those of the body are never the endpoint's to set.
pub fn may_be_sent(name: &str, is_secret: bool) -> bool {
    let name = name.to_ascii_lowercase();
    let is_token = name.len() <= 64
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    let is_admitted = name.starts_with("x-") && name.len() > 2 || ADMITTED.contains(&name.as_str());
    let is_misleading = MISLEADING.iter().any(|begin| name.starts_with(begin));
    is_token && is_admitted && !is_misleading && (is_secret || name != SECRET)
}

/// Whether the text can be a header's value as it is.
pub fn is_value(text: &str) -> bool {
    (1..=MAX_VALUE).contains(&text.len())
        && text.trim() == text
        && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// WH-8
    #[test]
    fn only_headers_that_are_nobody_elses_can_be_an_endpoints_own() {
        for name in ["X-Api-Key", "x-tenant", "Api-Key", "CF-Access-Client-Id"] {
            assert!(may_be_sent(name, false) && may_be_sent(name, true), "{name}");
        }
        assert!(may_be_sent("Authorization", true) && !may_be_sent("Authorization", false));
        for name in [
            "Host",
            "Content-Length",
            "Transfer-Encoding",
            "webhook-id",
            "Webhook-Signature",
            "webhook-timestamp",
            "webhook-x",
            "Content-Type",
            "Content-Encoding",
            "Connection",
            "Upgrade",
            "TE",
            "Trailer",
            "Expect",
            "Cookie",
            "Set-Cookie",
            "User-Agent",
            "Accept",
            "Accept-Encoding",
            "Proxy-Authorization",
            "Forwarded",
            "X-Forwarded-For",
            "X-Forwarded-Host",
            "X-Real-IP",
            "X-HTTP-Method-Override",
            "X-Original-URL",
            "X-Rewrite-URL",
            "Via",
            "Date",
            "Origin",
            "Referer",
            "traceparent",
            "",
            "x-",
            "x-a b",
            "x-a:",
            "x-\u{e4}",
            "x-a\r\nhost",
        ] {
            assert!(!may_be_sent(name, true) && !may_be_sent(name, false), "{name:?}");
        }
        assert!(!may_be_sent(&format!("x-{}", "a".repeat(63)), true));
    }

    #[test]
    fn a_value_is_one_line_of_visible_characters() {
        assert!(is_value("Bearer abc") && is_value(&"a".repeat(1_024)));
        for wrong in ["", " a", "a ", "a\nb", "a\tb", "\u{e4}", "a\u{7f}"] {
            assert!(!is_value(wrong), "{wrong:?}");
        }
        assert!(!is_value(&"a".repeat(1_025)));
    }
}

//! The catalogue of errors: each code once, with its status, whether the same request may succeed later, its
//! title, when it comes and what is to be done. The pages under `/docs/errors` and the document tell it.

/// Declares the catalogue.
macro_rules! codes {
    ($($name:ident = $code:literal, $status:literal, $retryable:literal, $title:literal, $when:literal, $then:literal;)+) => {
        /// A stable word for what went wrong. Its meaning never changes; new ones may be added.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code { $(#[doc = $title] $name),+ }

        impl Code {
            pub const ALL: &[Code] = &[$(Code::$name),+];

            pub const fn as_str(self) -> &'static str {
                match self { $(Code::$name => $code),+ }
            }

            pub const fn status(self) -> u16 {
                match self { $(Code::$name => $status),+ }
            }

            /// Whether the same request with the same idempotency key may succeed later.
            pub const fn retryable(self) -> bool {
                match self { $(Code::$name => $retryable),+ }
            }

            pub const fn title(self) -> &'static str {
                match self { $(Code::$name => $title),+ }
            }

            /// When it comes.
            pub const fn when(self) -> &'static str {
                match self { $(Code::$name => $when),+ }
            }

            /// What the caller does then.
            pub const fn then(self) -> &'static str {
                match self { $(Code::$name => $then),+ }
            }
        }
    };
}

codes! {
    MalformedRequest = "malformed_request", 400, false, "The request is malformed",
        "The request line, a header or the query cannot be understood.",
        "Send what HTTP allows; `detail` says what it is.";
    MalformedJson = "malformed_json", 400, false, "The body is not JSON",
        "The body is not one JSON value in UTF-8: it is cut short, has something behind it, a member twice, or is nested too deeply.",
        "Send one JSON object; `detail` says where reading stopped.";
    UnknownParameter = "unknown_parameter", 400, false, "The query has a parameter that is not known here",
        "A query parameter, or a condition in a header, is not known to this operation, or is there twice. It is refused rather than passed over.",
        "Leave it out, or look up its name; `errors` names each.";
    InvalidCursor = "invalid_cursor", 400, false, "The cursor is not one of this list",
        "The cursor was altered, belongs to another list, account or filter, or is older than a day.",
        "Begin the list anew without a cursor.";
    IdempotencyKeyInvalid = "idempotency_key_invalid", 400, false, "The Idempotency-Key is not well-formed",
        "The header is there twice, is empty, longer than 255, or has other characters than visible ASCII without \" and \\.",
        "Send one key; a UUID is a good one.";
    IdempotencyKeyRequired = "idempotency_key_required", 400, false, "An Idempotency-Key is needed",
        "The operator demands an `Idempotency-Key` with this operation, or the account one of its keys and tokens with each change, and the request has none. Nothing was looked up or done.",
        "Send one, a new one for each new request; where it is the account that demands it, its `require_idempotency_key` can be taken back.";
    Unauthenticated = "unauthenticated", 401, false, "A credential is needed",
        "There is no credential in the request.",
        "Send `Authorization: Bearer` with a key or a token.";
    InvalidToken = "invalid_token", 401, false, "The credential is not valid",
        "The key or token is malformed, unknown, expired, revoked, or of a closed account; or a credential stands in the URL. It is not told which.",
        "Get a new token, or a new key from whoever hands them out.";
    InsufficientScope = "insufficient_scope", 403, false, "The credential lacks a scope",
        "The credential is good, but lacks the scope that the operation needs; `WWW-Authenticate` names it.",
        "Use a key that has it. A key never gets more scopes than it was made with.";
    ScopeEscalation = "scope_escalation", 403, false, "A credential cannot grant what it does not have",
        "A credential was to be made, or renewed, with more than its maker has.",
        "Ask for scopes, addresses and times within your own.";
    SpendCapExceeded = "spend_cap_exceeded", 403, false, "The key's spend cap does not allow it",
        "The key has a cap (`spend_cap`), and the order costs more than it leaves, has a price in another currency, or none that is known here; or a price was to be set, which such a key does not.",
        "Order less, tomorrow, or with another key; or have the cap changed (`PATCH /v1/keys/{id}`).";
    DelegationDenied = "delegation_denied", 403, false, "The account does not let those above it do this",
        "The account that was to be acted in, or one above it, lets those above it only read, or not act in it at all; or the operator has taken this from all sellers.",
        "Ask the account to do it itself, or to let you (`delegation` of `PATCH /v1/accounts/{id}`).";
    IpNotAllowed = "ip_not_allowed", 403, false, "The credential is not taken from this address",
        "The key is good only for some addresses, and the request came from another.",
        "Call from one of them, or have a key made for this one.";
    OriginNotAllowed = "origin_not_allowed", 403, false, "The storefront's key is not taken from this page",
        "The key of a storefront is taken only with the `Origin` of one of its pages; the request had another one or none.",
        "Call from one of them, or have this one added to the key's `origins`. Programs use a secret key.";
    EnvironmentMismatch = "environment_mismatch", 403, false, "The credential is for the other environment",
        "A test key was used on something live, or a live key on something of a test account; or a test account was to have what only live ones can.",
        "Use a key of the environment that the account is in; `GET /v1/me` tells a key's own.";
    AccountSuspended = "account_suspended", 403, false, "The account is suspended",
        "The account of the key is held, by itself or by one above. Its keys may read only.",
        "See the holds (`GET /v1/accounts/{id}/holds`); whoever placed them can lift them.";
    NotFound = "not_found", 404, false, "There is no such object",
        "There is no such object in the caller's reach. It is not told whether there is one elsewhere.",
        "Look at the identifier, and at the account the key belongs to.";
    AccountNotFound = "account_not_found", 404, false, "There is no such account",
        "There is no such account in the caller's reach, or `Tenantry-Account` names none.",
        "Look at the identifier; an account is reached from itself and from above.";
    RouteNotFound = "route_not_found", 404, false, "There is no such route",
        "The path is not one of this API's.",
        "See /docs.";
    MethodNotAllowed = "method_not_allowed", 405, false, "The method is not allowed here",
        "The path is there, but not with this method; `Allow` names those that are.",
        "Use one of them.";
    RequestTimeout = "request_timeout", 408, true, "The request took too long to arrive",
        "The head or the body of the request did not arrive in time.",
        "Send it again, faster.";
    StateConflict = "state_conflict", 409, false, "The object's state does not allow this",
        "The object is in a state from which this cannot be done; `current_state` and `allowed_actions` say what can.",
        "Read the object, then decide.";
    OperationInProgress = "operation_in_progress", 409, true, "Another operation is in progress",
        "Something is being done to the same object, and only one thing can be; `operation_id` names it.",
        "Wait for the operation to end and send the request again.";
    AccountMoved = "account_moved", 409, true, "The caller's account has moved",
        "The account of the credential was given another place in the tree a moment ago, and this replica did not know yet. Nothing was done.",
        "Send it again, with the same Idempotency-Key; a list is begun anew.";
    ConcurrentChange = "concurrent_change", 409, true, "Somebody else changed the same thing",
        "Two requests changed the same thing in the same moment, and the other one was first.",
        "Send it again; with `If-Match` you learn whether you still want to.";
    QuotaExceeded = "quota_exceeded", 409, false, "The quota does not suffice",
        "More is asked than is left, of the subscription, the account or one above; `violations` has each shortage, `remedies` what would help.",
        "Take a remedy, or ask for less.";
    ExternalIdConflict = "external_id_conflict", 409, false, "The external_id is in use",
        "The `external_id` belongs to another object, whose content differs; `existing_id` names it.",
        "Use that object, or another `external_id`.";
    NameTaken = "name_taken", 409, false, "The name is taken",
        "The name is in use where it must be the only one.",
        "Choose another.";
    AccountNotEmpty = "account_not_empty", 409, false, "The account is not empty",
        "An account is closed once all below it is closed and its subscriptions have ended; `open_accounts` and `subscriptions` count what is left.",
        "Close the accounts below it and cancel its subscriptions, then send it again.";
    PreviewOutdated = "preview_outdated", 409, false, "The preview is outdated",
        "A batch was to be left as it was previewed, and the preview is older than 15 minutes, of another credential, or the objects that it would be for are others by now. Nothing was left.",
        "Preview it again, look at what has changed, and leave it with the new token.";
    IdempotencyInProgress = "idempotency_in_progress", 409, true, "The first request with this key is still running",
        "The first request with this Idempotency-Key has not ended yet.",
        "Send it again in a moment; it will get the first one's answer.";
    IdempotencyResultExpired = "idempotency_result_expired", 409, false, "The answer with a secret is no longer kept",
        "The answer had a secret, which is kept for a day only. The request is not run again.",
        "Rotate the key or secret to get a new one.";
    PreconditionFailed = "precondition_failed", 412, false, "The object has changed since it was read",
        "`If-Match` names other versions than the object has; `etag` is a tag of the one it has.",
        "Read the object, see what changed, and send the change with its tag.";
    BodyTooLarge = "body_too_large", 413, false, "The body is too large",
        "The body is larger than 256 KiB.",
        "Send less.";
    UriTooLong = "uri_too_long", 414, false, "The URL is too long",
        "Path and query together are longer than 8 KiB.",
        "Send less in the query.";
    HeadersTooLarge = "headers_too_large", 431, false, "The headers are too large",
        "There are more than 64 headers, or they are larger than 16 KiB in all.",
        "Send fewer headers.";
    UnsupportedMediaType = "unsupported_media_type", 415, false, "The body must be application/json",
        "The body's Content-Type or Content-Encoding is not one that is read here.",
        "Send application/json, uncompressed.";
    ValidationFailed = "validation_failed", 422, false, "The body is not valid",
        "The body or the query is not valid. `errors` has all faults at once, each with its place (a JSON Pointer, a parameter or a header).",
        "Mend each place named.";
    FieldNotWritable = "field_not_writable", 422, false, "A member of the body is not for callers to set",
        "The body has members of the object that are only read, such as `id`, `status` or `created_at`, or that are set when it is made and stay, such as `account_id`. They are refused rather than passed over.",
        "Leave out each place named in `errors`.";
    IdempotencyKeyReused = "idempotency_key_reused", 422, false, "The Idempotency-Key belongs to another request",
        "The Idempotency-Key was used for a request that was not the same one. Nothing was done.",
        "Use a new key for each new request, and the same key only to repeat one.";
    WebhookUrlRejected = "webhook_url_rejected", 422, false, "Webhooks cannot be sent there",
        "Webhooks go to public https addresses: the URL's scheme, port, host or what it resolves to is not one.",
        "Give an address that is reachable from the Internet.";
    PlanNotApplicable = "plan_not_applicable", 422, false, "The plan cannot be ordered as asked",
        "The plan cannot be ordered so: it is not on sale to this account, or does not go with the subscription or quantity.",
        "See `GET /v1/plans` as this account.";
    PreconditionRequired = "precondition_required", 428, false, "If-Match is missing",
        "The operation changes what others may have changed since it was read, so it asks for the entity tag of what was read.",
        "Read the object and send its `ETag` as `If-Match`; `*` changes whatever is there.";
    RateLimited = "rate_limited", 429, true, "Too much is asked at once",
        "A rate limit of the key, of its account, of all accounts below the same one, or of the address is used up, or the account or address has too many requests under way; `violated-policies` names each. Nothing was done.",
        "Send it again after `Retry-After`. `GET /v1/limits` shows the limits, the header `RateLimit` what is left.";
    InternalError = "internal_error", 500, true, "Something went wrong on our side",
        "A fault of ours. Nothing was changed unless the same request with its Idempotency-Key says otherwise.",
        "Send it again with the same Idempotency-Key; if it stays, tell the operator the request_id.";
    NotImplementedByConnector = "not_implemented_by_connector", 501, false, "The connector cannot do this",
        "The outside system behind this service cannot do it.",
        "See the service type's actions.";
    DependencyUnavailable = "dependency_unavailable", 503, true, "Something we depend on is not available",
        "The database does not answer. Nothing was done, or what was done is told by the same Idempotency-Key.",
        "Send it again with the same Idempotency-Key after `Retry-After`.";
    Overloaded = "overloaded", 503, true, "The server has more to do than it can",
        "More is under way than the server can do, or all connections to the database have been in use for longer than anybody is to wait. Lists are turned away first, suspending and resuming last. Nothing was changed.",
        "Send it again with the same Idempotency-Key after `Retry-After`, and less at a time.";
    ReadOnly = "read_only", 503, true, "Nothing can be written at present",
        "The database's disk is full, or another one is about to take over. Nothing was changed; what is there can be read.",
        "Send it again with the same Idempotency-Key after `Retry-After`.";
    ShuttingDown = "shutting_down", 503, true, "The server is shutting down",
        "This replica is going down.",
        "Send it again; another one takes it.";
}

-- What callers asked and what they were told, kept for some time so that they can look it up.
CREATE TABLE requests (
    id              TEXT        NOT NULL PRIMARY KEY,
    account_id      TEXT        NOT NULL,
    path            TEXT        NOT NULL,
    key_id          TEXT        NOT NULL,
    operation       TEXT        NOT NULL,
    method          TEXT        NOT NULL,
    target          TEXT        NOT NULL,
    status          BIGINT      NOT NULL,
    code            TEXT,
    idempotency_key TEXT,
    replayed        BOOLEAN     NOT NULL,
    address         TEXT,
    user_agent      TEXT,
    duration_us     BIGINT      NOT NULL,
    received_at     TIMESTAMPTZ NOT NULL
);
CREATE INDEX requests_of_account ON requests (account_id, id);
CREATE INDEX requests_by_age ON requests (received_at);

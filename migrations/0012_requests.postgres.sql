-- What callers asked and what they were told, kept for some time so that they can look it up.
CREATE TABLE requests (
    id              TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account_id      TEXT COLLATE "C" NOT NULL,
    path            TEXT COLLATE "C" NOT NULL,
    key_id          TEXT COLLATE "C" NOT NULL,
    operation       TEXT COLLATE "C" NOT NULL,
    method          TEXT COLLATE "C" NOT NULL,
    target          TEXT COLLATE "C" NOT NULL,
    status          BIGINT           NOT NULL,
    code            TEXT COLLATE "C",
    idempotency_key TEXT COLLATE "C",
    replayed        BOOLEAN          NOT NULL,
    address         TEXT COLLATE "C",
    user_agent      TEXT COLLATE "C",
    duration_us     BIGINT           NOT NULL,
    received_at     TIMESTAMPTZ      NOT NULL
);
CREATE INDEX requests_of_account ON requests (account_id, id);
CREATE INDEX requests_by_age ON requests (received_at);

ALTER TABLE requests ENABLE ROW LEVEL SECURITY;
ALTER TABLE requests FORCE ROW LEVEL SECURITY;
CREATE POLICY subtree ON requests
    USING (starts_with(path, NULLIF(current_setting('app.subtree', true), '')))
    WITH CHECK (starts_with(path, NULLIF(current_setting('app.subtree', true), '')));

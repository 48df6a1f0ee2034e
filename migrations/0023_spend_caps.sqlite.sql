-- How much may be ordered with a key, and how much was on the last day on which anything was.
ALTER TABLE api_keys ADD COLUMN spend_cap JSONB;

CREATE TABLE key_spending (
    key_id     TEXT        NOT NULL PRIMARY KEY REFERENCES api_keys (id),
    account_id TEXT        NOT NULL,
    path       TEXT        NOT NULL,
    day        TIMESTAMPTZ NOT NULL,
    spent      BIGINT      NOT NULL
);

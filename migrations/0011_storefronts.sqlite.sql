-- A server is in the environment of its account.
ALTER TABLE servers ADD COLUMN environment TEXT NOT NULL DEFAULT 'live' CHECK (environment IN ('live', 'test'));
UPDATE servers SET environment = 'test' WHERE account_id IN (SELECT id FROM accounts WHERE environment = 'test');

-- Keys that stand in the pages of a shop. They are no secrets: they are kept as they are.
CREATE TABLE storefront_keys (
    id                              TEXT        NOT NULL PRIMARY KEY,
    account_id                      TEXT        NOT NULL REFERENCES accounts (id),
    path                            TEXT        NOT NULL,
    environment                     TEXT        NOT NULL CHECK (environment IN ('live', 'test')),
    name                            TEXT        NOT NULL,
    key                             TEXT        NOT NULL,
    origins                         JSONB       NOT NULL,
    requests_per_minute             BIGINT      NOT NULL CHECK (requests_per_minute > 0),
    requests_per_minute_per_address BIGINT      NOT NULL CHECK (requests_per_minute_per_address > 0),
    status                          TEXT        NOT NULL CHECK (status IN ('active', 'revoked')),
    created_by                      TEXT        NOT NULL,
    expires_at                      TIMESTAMPTZ NOT NULL,
    revoked_at                      TIMESTAMPTZ,
    version                         BIGINT      NOT NULL,
    created_at                      TIMESTAMPTZ NOT NULL,
    updated_at                      TIMESTAMPTZ NOT NULL
);
CREATE INDEX storefront_keys_by_place ON storefront_keys (path, id);

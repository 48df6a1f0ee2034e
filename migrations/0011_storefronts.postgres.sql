-- A server is in the environment of its account.
SELECT set_config('app.subtree', '/', true);
ALTER TABLE servers ADD COLUMN environment TEXT COLLATE "C" NOT NULL DEFAULT 'live' CHECK (environment IN ('live', 'test'));
UPDATE servers SET environment = 'test' WHERE account_id IN (SELECT id FROM accounts WHERE environment = 'test');

-- Keys that stand in the pages of a shop. They are no secrets: they are kept as they are.
CREATE TABLE storefront_keys (
    id                              TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account_id                      TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    path                            TEXT COLLATE "C" NOT NULL,
    environment                     TEXT COLLATE "C" NOT NULL CHECK (environment IN ('live', 'test')),
    name                            TEXT COLLATE "C" NOT NULL,
    key                             TEXT COLLATE "C" NOT NULL,
    origins                         JSONB            NOT NULL,
    requests_per_minute             BIGINT           NOT NULL CHECK (requests_per_minute > 0),
    requests_per_minute_per_address BIGINT           NOT NULL CHECK (requests_per_minute_per_address > 0),
    status                          TEXT COLLATE "C" NOT NULL CHECK (status IN ('active', 'revoked')),
    created_by                      TEXT COLLATE "C" NOT NULL,
    expires_at                      TIMESTAMPTZ      NOT NULL,
    revoked_at                      TIMESTAMPTZ,
    version                         BIGINT           NOT NULL,
    created_at                      TIMESTAMPTZ      NOT NULL,
    updated_at                      TIMESTAMPTZ      NOT NULL
);
CREATE INDEX storefront_keys_by_place ON storefront_keys (path, id);

ALTER TABLE storefront_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE storefront_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY subtree ON storefront_keys
    USING (starts_with(path, NULLIF(current_setting('app.subtree', true), '')))
    WITH CHECK (starts_with(path, NULLIF(current_setting('app.subtree', true), '')));

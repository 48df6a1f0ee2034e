-- How a key authenticates as an OAuth client, and the public keys of its assertions.
ALTER TABLE api_keys ADD COLUMN auth_method TEXT NOT NULL DEFAULT 'client_secret_basic';
ALTER TABLE api_keys ADD COLUMN jwks JSONB NOT NULL DEFAULT '[]';

-- Assertions that clients authenticated with, by a digest of client and jti, until they would be refused anyway.
CREATE TABLE used_assertions (
    digest     TEXT        PRIMARY KEY,
    expires_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX used_assertions_by_end ON used_assertions (expires_at);

-- The people of an account, and whose keys are whose.
CREATE TABLE members (
    id         TEXT        NOT NULL PRIMARY KEY,
    account_id TEXT        NOT NULL REFERENCES accounts (id),
    path       TEXT        NOT NULL,
    role       TEXT        NOT NULL CHECK (role IN ('owner', 'peer', 'billing', 'viewer')),
    name       TEXT        NOT NULL,
    email      TEXT        NOT NULL,
    -- What a peer may do; the other roles say it themselves.
    scopes     JSONB       NOT NULL,
    metadata   JSONB       NOT NULL,
    version    BIGINT      NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX members_by_place ON members (path, id);
CREATE UNIQUE INDEX members_by_email ON members (account_id, email);

ALTER TABLE api_keys ADD COLUMN member_id TEXT;
CREATE INDEX api_keys_by_member ON api_keys (member_id) WHERE member_id IS NOT NULL;

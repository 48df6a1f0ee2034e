-- The people of an account, and whose keys are whose.
CREATE TABLE members (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    path       TEXT COLLATE "C" NOT NULL,
    role       TEXT COLLATE "C" NOT NULL CHECK (role IN ('owner', 'peer', 'billing', 'viewer')),
    name       TEXT COLLATE "C" NOT NULL,
    email      TEXT COLLATE "C" NOT NULL,
    -- What a peer may do; the other roles say it themselves.
    scopes     JSONB            NOT NULL,
    metadata   JSONB            NOT NULL,
    version    BIGINT           NOT NULL,
    created_at TIMESTAMPTZ      NOT NULL,
    updated_at TIMESTAMPTZ      NOT NULL
);
CREATE INDEX members_by_place ON members (path, id);
CREATE UNIQUE INDEX members_by_email ON members (account_id, email);

ALTER TABLE members ENABLE ROW LEVEL SECURITY;
ALTER TABLE members FORCE ROW LEVEL SECURITY;
DO $$
DECLARE
    declared text := 'NULLIF(current_setting(''app.subtree'', true), '''')';
    below text := format('starts_with(path, %1$s) OR (path || ''.'') ^@ ANY (string_to_array(%1$s, '',''))', declared);
BEGIN
    EXECUTE format('CREATE POLICY subtree ON members USING (%s) WITH CHECK (%s)', below, below);
END $$;

ALTER TABLE api_keys ADD COLUMN member_id TEXT COLLATE "C";
CREATE INDEX api_keys_by_member ON api_keys (member_id) WHERE member_id IS NOT NULL;

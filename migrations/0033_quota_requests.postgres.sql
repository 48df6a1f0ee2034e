-- What accounts ask those above them for.
CREATE TABLE quota_requests (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    path       TEXT COLLATE "C" NOT NULL,
    key        TEXT COLLATE "C" NOT NULL,
    -- What is asked for, and what was given.
    ceiling    BIGINT           NOT NULL,
    granted    BIGINT,
    reason     TEXT COLLATE "C",
    status     TEXT COLLATE "C" NOT NULL CHECK (status IN ('pending', 'approved', 'rejected', 'withdrawn')),
    note       TEXT COLLATE "C",
    decided_at TIMESTAMPTZ,
    version    BIGINT           NOT NULL,
    created_at TIMESTAMPTZ      NOT NULL,
    updated_at TIMESTAMPTZ      NOT NULL
);
CREATE INDEX quota_requests_by_place ON quota_requests (path, id);
CREATE UNIQUE INDEX quota_requests_pending ON quota_requests (account_id, key) WHERE status = 'pending';
CREATE INDEX quota_requests_to_decide ON quota_requests (path, id) WHERE status = 'pending';

ALTER TABLE quota_requests ENABLE ROW LEVEL SECURITY;
ALTER TABLE quota_requests FORCE ROW LEVEL SECURITY;
DO $$
DECLARE
    declared text := 'NULLIF(current_setting(''app.subtree'', true), '''')';
    below text := format('starts_with(path, %1$s) OR (path || ''.'') ^@ ANY (string_to_array(%1$s, '',''))', declared);
BEGIN
    EXECUTE format('CREATE POLICY subtree ON quota_requests USING (%s) WITH CHECK (%s)', below, below);
END $$;

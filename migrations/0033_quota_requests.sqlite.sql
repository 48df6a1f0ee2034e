-- What accounts ask those above them for.
CREATE TABLE quota_requests (
    id         TEXT        NOT NULL PRIMARY KEY,
    account_id TEXT        NOT NULL REFERENCES accounts (id),
    path       TEXT        NOT NULL,
    key        TEXT        NOT NULL,
    -- What is asked for, and what was given.
    ceiling    BIGINT      NOT NULL,
    granted    BIGINT,
    reason     TEXT       ,
    status     TEXT        NOT NULL CHECK (status IN ('pending', 'approved', 'rejected', 'withdrawn')),
    note       TEXT       ,
    decided_at TIMESTAMPTZ,
    version    BIGINT      NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX quota_requests_by_place ON quota_requests (path, id);
CREATE UNIQUE INDEX quota_requests_pending ON quota_requests (account_id, key) WHERE status = 'pending';
CREATE INDEX quota_requests_to_decide ON quota_requests (path, id) WHERE status = 'pending';

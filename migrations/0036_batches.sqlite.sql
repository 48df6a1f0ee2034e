-- Requests that are sent one after the other by a worker, in the name of whoever left them.
CREATE TABLE batches (
    id           TEXT        NOT NULL PRIMARY KEY,
    account_id   TEXT        NOT NULL REFERENCES accounts (id),
    path         TEXT        NOT NULL,
    -- The key they are sent with, whose account it is of, and what the access token said if it was one.
    principal_id TEXT        NOT NULL,
    key_id       TEXT        NOT NULL,
    claims       JSONB,
    -- Sealed: the body of all items that have none of their own.
    body         TEXT,
    dry_run      BOOLEAN     NOT NULL,
    -- Until when its requests are sent.
    good_until   TIMESTAMPTZ NOT NULL,
    status       TEXT        NOT NULL
        CHECK (status IN ('queued', 'running', 'cancelling', 'completed', 'cancelled')),
    total        BIGINT      NOT NULL,
    succeeded    BIGINT      NOT NULL,
    failed       BIGINT      NOT NULL,
    cancelled    BIGINT      NOT NULL,
    -- When a worker may take it up; none once it has ended.
    due_at       TIMESTAMPTZ,
    fence        BIGINT      NOT NULL,
    version      BIGINT      NOT NULL,
    created_at   TIMESTAMPTZ NOT NULL,
    started_at   TIMESTAMPTZ,
    ended_at     TIMESTAMPTZ,
    updated_at   TIMESTAMPTZ NOT NULL
);
CREATE INDEX batches_by_place ON batches (path, id);
CREATE INDEX batches_due ON batches (due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX batches_under_way ON batches (account_id) WHERE due_at IS NOT NULL;
-- Of one account one is worked on at a time.
CREATE UNIQUE INDEX batches_running ON batches (account_id) WHERE status = 'running';
CREATE INDEX batches_ended ON batches (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE batch_items (
    -- The batch's identifier and the place in it: in the order of these they are sent.
    id            TEXT        NOT NULL PRIMARY KEY,
    batch_id      TEXT        NOT NULL REFERENCES batches (id),
    account_id    TEXT        NOT NULL REFERENCES accounts (id),
    path          TEXT        NOT NULL,
    place         BIGINT      NOT NULL,
    method        TEXT        NOT NULL CHECK (method IN ('POST', 'PUT', 'PATCH', 'DELETE')),
    target        TEXT        NOT NULL,
    -- Which account it acts for, if it is another than the batch's.
    subject_id    TEXT,
    if_match      TEXT,
    -- Sealed; none once it has been done.
    body          TEXT,
    status        TEXT        NOT NULL CHECK (status IN ('pending', 'succeeded', 'failed', 'cancelled')),
    attempts      BIGINT      NOT NULL,
    answer_status BIGINT,
    resource_id   TEXT,
    operation_id  TEXT,
    problem       JSONB
);
CREATE INDEX batch_items_in_order ON batch_items (batch_id, id);
CREATE INDEX batch_items_by_status ON batch_items (batch_id, status, id);

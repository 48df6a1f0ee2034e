-- Requests that are sent one after the other by a worker, in the name of whoever left them.
CREATE TABLE batches (
    id           TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account_id   TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    path         TEXT COLLATE "C" NOT NULL,
    -- The key they are sent with, whose account it is of, and what the access token said if it was one.
    principal_id TEXT COLLATE "C" NOT NULL,
    key_id       TEXT COLLATE "C" NOT NULL,
    claims       JSONB,
    -- Sealed: the body of all items that have none of their own.
    body         TEXT COLLATE "C",
    dry_run      BOOLEAN          NOT NULL,
    -- Until when its requests are sent.
    good_until   TIMESTAMPTZ      NOT NULL,
    status       TEXT COLLATE "C" NOT NULL
        CHECK (status IN ('queued', 'running', 'cancelling', 'completed', 'cancelled')),
    total        BIGINT           NOT NULL,
    succeeded    BIGINT           NOT NULL,
    failed       BIGINT           NOT NULL,
    cancelled    BIGINT           NOT NULL,
    -- When a worker may take it up; none once it has ended.
    due_at       TIMESTAMPTZ,
    fence        BIGINT           NOT NULL,
    version      BIGINT           NOT NULL,
    created_at   TIMESTAMPTZ      NOT NULL,
    started_at   TIMESTAMPTZ,
    ended_at     TIMESTAMPTZ,
    updated_at   TIMESTAMPTZ      NOT NULL
);
CREATE INDEX batches_by_place ON batches (path, id);
CREATE INDEX batches_due ON batches (due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX batches_under_way ON batches (account_id) WHERE due_at IS NOT NULL;
-- Of one account one is worked on at a time.
CREATE UNIQUE INDEX batches_running ON batches (account_id) WHERE status = 'running';
CREATE INDEX batches_ended ON batches (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE batch_items (
    -- The batch's identifier and the place in it: in the order of these they are sent.
    id            TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    batch_id      TEXT COLLATE "C" NOT NULL REFERENCES batches (id),
    account_id    TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    path          TEXT COLLATE "C" NOT NULL,
    place         BIGINT           NOT NULL,
    method        TEXT COLLATE "C" NOT NULL CHECK (method IN ('POST', 'PUT', 'PATCH', 'DELETE')),
    target        TEXT COLLATE "C" NOT NULL,
    -- Which account it acts for, if it is another than the batch's.
    subject_id    TEXT COLLATE "C",
    if_match      TEXT COLLATE "C",
    -- Sealed; none once it has been done.
    body          TEXT COLLATE "C",
    status        TEXT COLLATE "C" NOT NULL CHECK (status IN ('pending', 'succeeded', 'failed', 'cancelled')),
    attempts      BIGINT           NOT NULL,
    answer_status BIGINT,
    resource_id   TEXT COLLATE "C",
    operation_id  TEXT COLLATE "C",
    problem       JSONB
);
CREATE INDEX batch_items_in_order ON batch_items (batch_id, id);
CREATE INDEX batch_items_by_status ON batch_items (batch_id, status, id);

DO $$
DECLARE
    declared text := 'NULLIF(current_setting(''app.subtree'', true), '''')';
    below text := format('starts_with(path, %1$s) OR (path || ''.'') ^@ ANY (string_to_array(%1$s, '',''))', declared);
    of text;
BEGIN
    FOREACH of IN ARRAY ARRAY['batches', 'batch_items'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', of);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', of);
        EXECUTE format('CREATE POLICY subtree ON %I USING (%s) WITH CHECK (%s)', of, below, below);
    END LOOP;
END $$;

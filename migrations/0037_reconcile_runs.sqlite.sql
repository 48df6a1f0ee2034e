-- What a billing system believes of subscriptions, and where it differs from what is.
CREATE TABLE reconcile_runs (
    id           TEXT        NOT NULL PRIMARY KEY,
    account_id   TEXT        NOT NULL REFERENCES accounts (id),
    path         TEXT        NOT NULL,
    -- The subscriptions at and below this account are compared.
    compared_id  TEXT        NOT NULL,
    -- Whose holds are its own.
    principal_id TEXT        NOT NULL,
    status       TEXT        NOT NULL CHECK (status IN ('open', 'comparing', 'compared')),
    row_count    BIGINT      NOT NULL,
    counts       JSONB       NOT NULL,
    -- How far the comparison has come.
    progress     JSONB       NOT NULL,
    -- When a worker may go on with it; none while there is nothing to do.
    due_at       TIMESTAMPTZ,
    fence        BIGINT      NOT NULL,
    version      BIGINT      NOT NULL,
    created_at   TIMESTAMPTZ NOT NULL,
    compared_at  TIMESTAMPTZ,
    updated_at   TIMESTAMPTZ NOT NULL
);
CREATE INDEX reconcile_runs_by_place ON reconcile_runs (path, id);
CREATE INDEX reconcile_runs_due ON reconcile_runs (due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX reconcile_runs_under_way ON reconcile_runs (account_id) WHERE status <> 'compared';
CREATE INDEX reconcile_runs_made ON reconcile_runs (created_at);

CREATE TABLE reconcile_rows (
    run_id          TEXT        NOT NULL REFERENCES reconcile_runs (id),
    -- The subscription's external_id or identifier, as it was sent.
    name            TEXT        NOT NULL,
    account_id      TEXT        NOT NULL REFERENCES accounts (id),
    path            TEXT        NOT NULL,
    status          TEXT        NOT NULL CHECK (status IN ('active', 'suspended', 'ended')),
    plan            TEXT,
    quantity        BIGINT,
    -- The one that it was found to be.
    subscription_id TEXT,
    PRIMARY KEY (run_id, name)
);
CREATE INDEX reconcile_rows_found ON reconcile_rows (run_id, subscription_id);

CREATE TABLE reconcile_differences (
    run_id          TEXT        NOT NULL REFERENCES reconcile_runs (id),
    place           BIGINT      NOT NULL,
    account_id      TEXT        NOT NULL REFERENCES accounts (id),
    path            TEXT        NOT NULL,
    kind            TEXT        NOT NULL
        CHECK (kind IN ('unknown', 'ambiguous', 'not_listed', 'ended', 'status', 'plan', 'quantity')),
    name            TEXT,
    subscription_id TEXT,
    theirs          JSONB,
    ours            JSONB,
    repair          JSONB,
    PRIMARY KEY (run_id, place)
);
CREATE INDEX reconcile_differences_by_kind ON reconcile_differences (run_id, kind, place);

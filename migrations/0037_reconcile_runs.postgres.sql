-- What a billing system believes of subscriptions, and where it differs from what is.
CREATE TABLE reconcile_runs (
    id           TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account_id   TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    path         TEXT COLLATE "C" NOT NULL,
    -- The subscriptions at and below this account are compared.
    compared_id  TEXT COLLATE "C" NOT NULL,
    -- Whose holds are its own.
    principal_id TEXT COLLATE "C" NOT NULL,
    status       TEXT COLLATE "C" NOT NULL CHECK (status IN ('open', 'comparing', 'compared')),
    row_count    BIGINT           NOT NULL,
    counts       JSONB            NOT NULL,
    -- How far the comparison has come.
    progress     JSONB            NOT NULL,
    -- When a worker may go on with it; none while there is nothing to do.
    due_at       TIMESTAMPTZ,
    fence        BIGINT           NOT NULL,
    version      BIGINT           NOT NULL,
    created_at   TIMESTAMPTZ      NOT NULL,
    compared_at  TIMESTAMPTZ,
    updated_at   TIMESTAMPTZ      NOT NULL
);
CREATE INDEX reconcile_runs_by_place ON reconcile_runs (path, id);
CREATE INDEX reconcile_runs_due ON reconcile_runs (due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX reconcile_runs_under_way ON reconcile_runs (account_id) WHERE status <> 'compared';
CREATE INDEX reconcile_runs_made ON reconcile_runs (created_at);

CREATE TABLE reconcile_rows (
    run_id          TEXT COLLATE "C" NOT NULL REFERENCES reconcile_runs (id),
    -- The subscription's external_id or identifier, as it was sent.
    name            TEXT COLLATE "C" NOT NULL,
    account_id      TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    path            TEXT COLLATE "C" NOT NULL,
    status          TEXT COLLATE "C" NOT NULL CHECK (status IN ('active', 'suspended', 'ended')),
    plan            TEXT COLLATE "C",
    quantity        BIGINT,
    -- The one that it was found to be.
    subscription_id TEXT COLLATE "C",
    PRIMARY KEY (run_id, name)
);
CREATE INDEX reconcile_rows_found ON reconcile_rows (run_id, subscription_id);

CREATE TABLE reconcile_differences (
    run_id          TEXT COLLATE "C" NOT NULL REFERENCES reconcile_runs (id),
    place           BIGINT           NOT NULL,
    account_id      TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    path            TEXT COLLATE "C" NOT NULL,
    kind            TEXT COLLATE "C" NOT NULL
        CHECK (kind IN ('unknown', 'ambiguous', 'not_listed', 'ended', 'status', 'plan', 'quantity')),
    name            TEXT COLLATE "C",
    subscription_id TEXT COLLATE "C",
    theirs          JSONB,
    ours            JSONB,
    repair          JSONB,
    PRIMARY KEY (run_id, place)
);
CREATE INDEX reconcile_differences_by_kind ON reconcile_differences (run_id, kind, place);

DO $$
DECLARE
    declared text := 'NULLIF(current_setting(''app.subtree'', true), '''')';
    below text := format('starts_with(path, %1$s) OR (path || ''.'') ^@ ANY (string_to_array(%1$s, '',''))', declared);
    of text;
BEGIN
    FOREACH of IN ARRAY ARRAY['reconcile_runs', 'reconcile_rows', 'reconcile_differences'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', of);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', of);
        EXECUTE format('CREATE POLICY subtree ON %I USING (%s) WITH CHECK (%s)', of, below, below);
    END LOOP;
END $$;

-- What an endpoint is sent, how it is signed, and whether it has said that it wants to be sent anything.
ALTER TABLE webhook_endpoints ADD COLUMN payload TEXT NOT NULL DEFAULT 'full' CHECK (payload IN ('full', 'thin'));
ALTER TABLE webhook_endpoints ADD COLUMN headers JSONB NOT NULL DEFAULT '{}';
ALTER TABLE webhook_endpoints ADD COLUMN secret_headers TEXT;
ALTER TABLE webhook_endpoints ADD COLUMN secret_header_names JSONB NOT NULL DEFAULT '[]';
ALTER TABLE webhook_endpoints ADD COLUMN signing_key TEXT;
ALTER TABLE webhook_endpoints ADD COLUMN public_key TEXT;
ALTER TABLE webhook_endpoints ADD COLUMN old_secrets_until TIMESTAMPTZ;
ALTER TABLE webhook_endpoints ADD COLUMN verify BOOLEAN NOT NULL DEFAULT FALSE;
-- What the endpoint has to answer before it is sent events; none once it has.
ALTER TABLE webhook_endpoints ADD COLUMN challenge TEXT;
-- Which events had been committed when the endpoint was made: PostgreSQL's snapshot, or the next place in the feed.
ALTER TABLE webhook_endpoints ADD COLUMN made_at TEXT;

-- The secrets before, which deliveries are signed with as well until they end.
CREATE TABLE webhook_old_secrets (
    id          TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account_id  TEXT COLLATE "C" NOT NULL,
    path        TEXT COLLATE "C" NOT NULL,
    endpoint_id TEXT COLLATE "C" NOT NULL REFERENCES webhook_endpoints (id) ON DELETE CASCADE,
    secret      TEXT COLLATE "C" NOT NULL,
    signing_key TEXT COLLATE "C",
    ends_at     TIMESTAMPTZ      NOT NULL
);
CREATE INDEX webhook_old_secrets_by_endpoint ON webhook_old_secrets (endpoint_id, id);
CREATE INDEX webhook_old_secrets_by_end ON webhook_old_secrets (ends_at);

ALTER TABLE webhook_old_secrets ENABLE ROW LEVEL SECURITY;
ALTER TABLE webhook_old_secrets FORCE ROW LEVEL SECURITY;
CREATE POLICY subtree ON webhook_old_secrets
    USING (starts_with(path, NULLIF(current_setting('app.subtree', true), '')))
    WITH CHECK (starts_with(path, NULLIF(current_setting('app.subtree', true), '')));

-- The endpoint's wish at the time, so that every attempt has the same body.
ALTER TABLE deliveries ADD COLUMN thin BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX deliveries_failed ON deliveries (endpoint_id, created_at, id) WHERE status = 'failed';
CREATE INDEX deliveries_ended ON deliveries (created_at) WHERE due_at IS NULL;

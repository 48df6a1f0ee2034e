-- The house's foundation: one text for SQLite and PostgreSQL.
-- Every row that belongs to an account carries the account's path: lists over a subtree and row-level
-- security (0002) both go by it.

-- The tree, from the operator down to tenants.
CREATE TABLE accounts (
    id             TEXT        PRIMARY KEY,
    path           TEXT        NOT NULL UNIQUE,
    parent_id      TEXT        REFERENCES accounts (id),
    type           TEXT        NOT NULL CHECK (type IN ('operator', 'distributor', 'reseller', 'agent', 'tenant')),
    status         TEXT        NOT NULL CHECK (status IN ('active', 'closed')),
    environment    TEXT        NOT NULL CHECK (environment IN ('live', 'test')),
    name           TEXT        NOT NULL,
    contact_email  TEXT,
    country        TEXT,
    locale         TEXT,
    time_zone      TEXT,
    currency       TEXT,
    external_id    TEXT,
    external_id_by TEXT,
    fingerprint    TEXT        NOT NULL,
    metadata       JSONB       NOT NULL,
    version        BIGINT      NOT NULL,
    created_at     TIMESTAMPTZ NOT NULL,
    updated_at     TIMESTAMPTZ NOT NULL
);
CREATE UNIQUE INDEX accounts_by_place ON accounts (path, id);
CREATE UNIQUE INDEX accounts_by_external_id ON accounts (external_id_by, external_id) WHERE external_id IS NOT NULL;
CREATE UNIQUE INDEX accounts_one_root ON accounts (type) WHERE parent_id IS NULL;
CREATE INDEX accounts_by_parent ON accounts (parent_id, id);

-- How many events and audit lines an account has had: their sequences have no gap.
CREATE TABLE account_counters (
    account_id TEXT   PRIMARY KEY REFERENCES accounts (id),
    path       TEXT   NOT NULL,
    events     BIGINT NOT NULL DEFAULT 0,
    audit      BIGINT NOT NULL DEFAULT 0
);

-- Credentials: API keys, which are OAuth clients as well. Of a secret only its SHA-256 is kept.
CREATE TABLE api_keys (
    id           TEXT        PRIMARY KEY,
    account_id   TEXT        NOT NULL REFERENCES accounts (id),
    path         TEXT        NOT NULL,
    environment  TEXT        NOT NULL CHECK (environment IN ('live', 'test')),
    name         TEXT        NOT NULL,
    secret_hash  TEXT        NOT NULL,
    scopes       JSONB       NOT NULL,
    hold_classes JSONB       NOT NULL,
    status       TEXT        NOT NULL CHECK (status IN ('active', 'revoked')),
    created_by   TEXT        NOT NULL,
    created_at   TIMESTAMPTZ NOT NULL,
    expires_at   TIMESTAMPTZ,
    revoked_at   TIMESTAMPTZ,
    last_used_at TIMESTAMPTZ,
    version      BIGINT      NOT NULL
);
CREATE INDEX api_keys_by_place ON api_keys (path, id);

-- What access tokens are signed with; the private part is sealed.
CREATE TABLE signing_keys (
    id          TEXT        PRIMARY KEY,
    algorithm   TEXT        NOT NULL,
    private_key TEXT        NOT NULL,
    created_at  TIMESTAMPTZ NOT NULL
);

-- Backend installations and how services are spread over them.
CREATE TABLE servers (
    id          TEXT        PRIMARY KEY,
    account_id  TEXT        NOT NULL REFERENCES accounts (id),
    path        TEXT        NOT NULL,
    name        TEXT        NOT NULL,
    connector   TEXT        NOT NULL,
    settings    JSONB       NOT NULL,
    credentials TEXT,
    maintenance BOOLEAN     NOT NULL,
    version     BIGINT      NOT NULL,
    created_at  TIMESTAMPTZ NOT NULL,
    updated_at  TIMESTAMPTZ NOT NULL
);
CREATE INDEX servers_by_place ON servers (path, id);

CREATE TABLE virtual_servers (
    id         TEXT        PRIMARY KEY,
    account_id TEXT        NOT NULL REFERENCES accounts (id),
    path       TEXT        NOT NULL,
    name       TEXT        NOT NULL,
    placement  JSONB       NOT NULL,
    version    BIGINT      NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX virtual_servers_by_place ON virtual_servers (path, id);

-- What is sold. A version never changes; a running subscription keeps its own until it is moved.
CREATE TABLE plans (
    id         TEXT        PRIMARY KEY,
    account_id TEXT        NOT NULL REFERENCES accounts (id),
    path       TEXT        NOT NULL,
    code       TEXT        NOT NULL,
    name       TEXT        NOT NULL,
    status     TEXT        NOT NULL CHECK (status IN ('draft', 'active', 'paused', 'archived')),
    current    BIGINT      NOT NULL,
    metadata   JSONB       NOT NULL,
    version    BIGINT      NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    UNIQUE (account_id, code)
);
CREATE INDEX plans_by_place ON plans (path, id);

CREATE TABLE plan_versions (
    plan_id    TEXT        NOT NULL REFERENCES plans (id),
    number     BIGINT      NOT NULL,
    path       TEXT        NOT NULL,
    terms      JSONB       NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (plan_id, number)
);

-- A ceiling and what is taken of it, for an account or a subscription. Where there is no ceiling, there is
-- no row. What an 'allocated' row may hold has been taken from the level above already, so that its use
-- goes no higher; the use of a 'shared' row is taken from the level above as well.
CREATE TABLE quotas (
    holder     TEXT        NOT NULL,
    key        TEXT        NOT NULL,
    account_id TEXT        NOT NULL REFERENCES accounts (id),
    path       TEXT        NOT NULL,
    mode       TEXT        NOT NULL CHECK (mode IN ('shared', 'allocated')),
    ceiling    BIGINT      NOT NULL CHECK (ceiling >= 0),
    used       BIGINT      NOT NULL DEFAULT 0 CHECK (used >= 0),
    reserved   BIGINT      NOT NULL DEFAULT 0 CHECK (reserved >= 0),
    updated_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (holder, key)
);
CREATE INDEX quotas_by_place ON quotas (path, holder, key);

CREATE TABLE orders (
    id             TEXT        PRIMARY KEY,
    account_id     TEXT        NOT NULL REFERENCES accounts (id),
    path           TEXT        NOT NULL,
    status         TEXT        NOT NULL CHECK (status IN ('draft', 'scheduled', 'pending_approval', 'requires_input',
                       'queued', 'in_progress', 'completed', 'partially_completed', 'failed', 'rejected',
                       'cancelling', 'cancelled', 'expired')),
    items          JSONB       NOT NULL,
    outcome        TEXT,
    retryable      BOOLEAN     NOT NULL,
    error          JSONB,
    placed_by      TEXT        NOT NULL,
    operation_id   TEXT,
    external_id    TEXT,
    external_id_by TEXT,
    fingerprint    TEXT        NOT NULL,
    metadata       JSONB       NOT NULL,
    version        BIGINT      NOT NULL,
    created_at     TIMESTAMPTZ NOT NULL,
    updated_at     TIMESTAMPTZ NOT NULL
);
CREATE INDEX orders_by_place ON orders (path, id);
CREATE UNIQUE INDEX orders_by_external_id ON orders (external_id_by, external_id) WHERE external_id IS NOT NULL;

CREATE TABLE subscriptions (
    id           TEXT        PRIMARY KEY,
    account_id   TEXT        NOT NULL REFERENCES accounts (id),
    path         TEXT        NOT NULL,
    status       TEXT        NOT NULL CHECK (status IN ('pending', 'trialing', 'active', 'past_due', 'cancelling',
                     'cancelled', 'expired')),
    plan_id      TEXT        NOT NULL,
    plan_version BIGINT      NOT NULL,
    quantity     BIGINT      NOT NULL CHECK (quantity > 0),
    order_id     TEXT        NOT NULL,
    external_id  TEXT,
    metadata     JSONB       NOT NULL,
    version      BIGINT      NOT NULL,
    created_at   TIMESTAMPTZ NOT NULL,
    updated_at   TIMESTAMPTZ NOT NULL,
    FOREIGN KEY (plan_id, plan_version) REFERENCES plan_versions (plan_id, number)
);
CREATE INDEX subscriptions_by_place ON subscriptions (path, id);

CREATE TABLE services (
    id              TEXT        PRIMARY KEY,
    account_id      TEXT        NOT NULL REFERENCES accounts (id),
    path            TEXT        NOT NULL,
    subscription_id TEXT        NOT NULL REFERENCES subscriptions (id),
    type            TEXT        NOT NULL,
    name            TEXT        NOT NULL,
    lifecycle       TEXT        NOT NULL CHECK (lifecycle IN ('requested', 'provisioning', 'active', 'failed',
                        'terminating', 'terminated', 'purging', 'purged')),
    applied_access  TEXT        NOT NULL CHECK (applied_access IN ('full', 'degraded', 'suspended')),
    server_id       TEXT        NOT NULL REFERENCES servers (id),
    settings        JSONB       NOT NULL,
    observed        JSONB       NOT NULL,
    version         BIGINT      NOT NULL,
    created_at      TIMESTAMPTZ NOT NULL,
    updated_at      TIMESTAMPTZ NOT NULL
);
CREATE INDEX services_by_place ON services (path, id);
CREATE INDEX services_by_subscription ON services (subscription_id, id);

CREATE TABLE resources (
    id             TEXT        PRIMARY KEY,
    account_id     TEXT        NOT NULL REFERENCES accounts (id),
    path           TEXT        NOT NULL,
    service_id     TEXT        NOT NULL REFERENCES services (id),
    type           TEXT        NOT NULL,
    name           TEXT        NOT NULL,
    lifecycle      TEXT        NOT NULL CHECK (lifecycle IN ('requested', 'provisioning', 'active', 'failed',
                       'deleting', 'deleted')),
    spec           JSONB       NOT NULL,
    observed       JSONB       NOT NULL,
    password_hash  TEXT,
    external_id    TEXT,
    external_id_by TEXT,
    fingerprint    TEXT        NOT NULL,
    metadata       JSONB       NOT NULL,
    version        BIGINT      NOT NULL,
    created_at     TIMESTAMPTZ NOT NULL,
    updated_at     TIMESTAMPTZ NOT NULL
);
CREATE INDEX resources_by_service ON resources (service_id, id);
CREATE INDEX resources_by_place ON resources (path, id);
CREATE UNIQUE INDEX resources_by_external_id ON resources (external_id_by, external_id)
    WHERE external_id IS NOT NULL AND lifecycle <> 'deleted' AND lifecycle <> 'failed';
-- A domain, an address or a zone exists once in the installation.
CREATE UNIQUE INDEX resources_by_name ON resources (type, name) WHERE lifecycle <> 'deleted' AND lifecycle <> 'failed';

-- Why something is held. The target of a hold on an account is the account's path, else an identifier: one
-- IN list finds every hold that reaches a service.
CREATE TABLE holds (
    id             TEXT        PRIMARY KEY,
    account_id     TEXT        NOT NULL REFERENCES accounts (id),
    path           TEXT        NOT NULL,
    target_type    TEXT        NOT NULL CHECK (target_type IN ('account', 'subscription', 'service')),
    target_id      TEXT        NOT NULL,
    target         TEXT        NOT NULL,
    status         TEXT        NOT NULL CHECK (status IN ('scheduled', 'active', 'released', 'expired')),
    effect         TEXT        NOT NULL CHECK (effect IN ('suspend', 'degrade', 'freeze_changes', 'block_purge')),
    reason_class   TEXT        NOT NULL CHECK (reason_class IN ('payment', 'abuse', 'legal', 'administrative',
                       'voluntary', 'policy')),
    reason_code    TEXT        NOT NULL,
    reason         TEXT,
    placed_by      TEXT        NOT NULL,
    placed_by_path TEXT        NOT NULL,
    placed_by_type TEXT        NOT NULL,
    starts_at      TIMESTAMPTZ,
    expires_at     TIMESTAMPTZ,
    ended_at       TIMESTAMPTZ,
    ended_by       TEXT,
    version        BIGINT      NOT NULL,
    created_at     TIMESTAMPTZ NOT NULL,
    updated_at     TIMESTAMPTZ NOT NULL
);
CREATE INDEX holds_in_force ON holds (target) WHERE status = 'active';
CREATE INDEX holds_by_target ON holds (target_id, id);
CREATE INDEX holds_by_place ON holds (path, id);
-- An equal hold is returned, not doubled.
CREATE UNIQUE INDEX holds_once ON holds (target, placed_by, reason_class, effect) WHERE status = 'active';
CREATE INDEX holds_starting ON holds (starts_at) WHERE status = 'scheduled';
CREATE INDEX holds_to_come ON holds (target) WHERE status = 'scheduled';
CREATE INDEX holds_ending ON holds (expires_at) WHERE status = 'active' AND expires_at IS NOT NULL;

-- The work behind a 202, and the queue it waits in: due_at is set for as long as there is something to do.
CREATE TABLE operations (
    id           TEXT        PRIMARY KEY,
    account_id   TEXT        NOT NULL REFERENCES accounts (id),
    path         TEXT        NOT NULL,
    kind         TEXT        NOT NULL,
    status       TEXT        NOT NULL CHECK (status IN ('queued', 'running', 'waiting_input', 'succeeded', 'failed',
                     'cancelled', 'needs_attention')),
    order_id     TEXT,
    service_id   TEXT,
    resource_id  TEXT,
    parent_id    TEXT,
    -- What the operation must not share: nobody else may run with the same lock…
    lock         TEXT,
    -- …and of two changes of the same thing the second is refused already when it is asked for.
    exclusive    BOOLEAN     NOT NULL,
    lane         BIGINT      NOT NULL,
    due_at       TIMESTAMPTZ,
    fence        BIGINT      NOT NULL DEFAULT 0,
    attempts     BIGINT      NOT NULL DEFAULT 0,
    steps        JSONB       NOT NULL,
    task         JSONB       NOT NULL,
    reserved     JSONB       NOT NULL,
    waiting_on   TEXT,
    retryable    BOOLEAN     NOT NULL,
    outcome      TEXT        CHECK (outcome IN ('succeeded', 'rolled_back', 'left_partial')),
    error        JSONB,
    request_id   TEXT        NOT NULL,
    version      BIGINT      NOT NULL,
    created_at   TIMESTAMPTZ NOT NULL,
    updated_at   TIMESTAMPTZ NOT NULL
);
CREATE INDEX operations_by_place ON operations (path, id);
CREATE INDEX operations_due ON operations (lane, due_at, id) WHERE due_at IS NOT NULL;
CREATE UNIQUE INDEX operations_running ON operations (lock) WHERE status = 'running';
CREATE UNIQUE INDEX operations_in_flight ON operations (lock)
    WHERE exclusive AND status IN ('queued', 'running', 'waiting_input', 'needs_attention');
CREATE INDEX operations_by_lock ON operations (lock, id) WHERE due_at IS NOT NULL;
CREATE INDEX operations_by_parent ON operations (parent_id, id) WHERE parent_id IS NOT NULL;

-- Every change, in the order it was committed in: (position, id).
CREATE TABLE events (
    id          TEXT        PRIMARY KEY,
    position    BIGINT      NOT NULL,
    account_id  TEXT        NOT NULL,
    path        TEXT        NOT NULL,
    sequence    BIGINT      NOT NULL,
    type        TEXT        NOT NULL,
    body        JSONB       NOT NULL,
    occurred_at TIMESTAMPTZ NOT NULL
);
CREATE UNIQUE INDEX events_by_position ON events (position, id);
CREATE UNIQUE INDEX events_by_account ON events (account_id, sequence);

-- How far a reader of the feed has come.
CREATE TABLE feed_readers (
    name     TEXT   PRIMARY KEY,
    position BIGINT NOT NULL,
    event_id TEXT   NOT NULL
);

CREATE TABLE webhook_endpoints (
    id          TEXT        PRIMARY KEY,
    account_id  TEXT        NOT NULL REFERENCES accounts (id),
    path        TEXT        NOT NULL,
    url         TEXT        NOT NULL,
    description TEXT,
    event_types JSONB       NOT NULL,
    secret      TEXT        NOT NULL,
    status      TEXT        NOT NULL CHECK (status IN ('enabled', 'disabled')),
    failing_since TIMESTAMPTZ,
    version     BIGINT      NOT NULL,
    created_at  TIMESTAMPTZ NOT NULL,
    updated_at  TIMESTAMPTZ NOT NULL
);
CREATE INDEX webhook_endpoints_by_place ON webhook_endpoints (path, id);

CREATE TABLE deliveries (
    id           TEXT        PRIMARY KEY,
    account_id   TEXT        NOT NULL,
    path         TEXT        NOT NULL,
    endpoint_id  TEXT        NOT NULL REFERENCES webhook_endpoints (id) ON DELETE CASCADE,
    event_id     TEXT        NOT NULL,
    event_type   TEXT        NOT NULL,
    status       TEXT        NOT NULL CHECK (status IN ('pending', 'delivered', 'failed')),
    due_at       TIMESTAMPTZ,
    fence        BIGINT      NOT NULL DEFAULT 0,
    attempts     JSONB       NOT NULL,
    created_at   TIMESTAMPTZ NOT NULL,
    updated_at   TIMESTAMPTZ NOT NULL
);
CREATE UNIQUE INDEX deliveries_once ON deliveries (endpoint_id, event_id);
CREATE INDEX deliveries_by_endpoint ON deliveries (endpoint_id, id);
CREATE INDEX deliveries_due ON deliveries (due_at, id) WHERE due_at IS NOT NULL;

-- Who did what, with a sequence for each account that has no gap.
CREATE TABLE audit (
    account_id   TEXT        NOT NULL,
    sequence     BIGINT      NOT NULL,
    path         TEXT        NOT NULL,
    principal_id TEXT        NOT NULL,
    key_id       TEXT        NOT NULL,
    action       TEXT        NOT NULL,
    resource     TEXT,
    request_id   TEXT        NOT NULL,
    address      TEXT,
    outcome      TEXT        NOT NULL,
    detail       JSONB       NOT NULL,
    occurred_at  TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (account_id, sequence)
);

-- What was answered to a request that carried an Idempotency-Key, to be answered again.
CREATE TABLE replies (
    principal_id TEXT        NOT NULL,
    subject_id   TEXT        NOT NULL,
    key          TEXT        NOT NULL,
    path         TEXT        NOT NULL,
    request      TEXT        NOT NULL,
    status       BIGINT      NOT NULL,
    location     TEXT,
    etag         TEXT,
    operation_id TEXT,
    sealed       BOOLEAN     NOT NULL,
    body         TEXT        NOT NULL,
    created_at   TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (principal_id, subject_id, key)
);
CREATE INDEX replies_by_age ON replies (created_at);

-- The program's own facts: the check value of the key-encryption key, for one.
CREATE TABLE facts (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

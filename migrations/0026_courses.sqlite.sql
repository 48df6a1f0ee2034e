-- The course of subscriptions: periods, trials, leases, cancellations and ends.
-- Of the plan, which its account may not reach any more once it has moved.
ALTER TABLE subscriptions ADD COLUMN plan_code TEXT NOT NULL DEFAULT '';
ALTER TABLE subscriptions ADD COLUMN billing_period JSONB NOT NULL DEFAULT '{"unit": "month", "count": 1}';
ALTER TABLE subscriptions ADD COLUMN anchored_at TIMESTAMPTZ;
ALTER TABLE subscriptions ADD COLUMN trial_ends_at TIMESTAMPTZ;
ALTER TABLE subscriptions ADD COLUMN tried_plan_id TEXT;
ALTER TABLE subscriptions ADD COLUMN expires_at TIMESTAMPTZ;
ALTER TABLE subscriptions ADD COLUMN cancel_at TIMESTAMPTZ;
-- How many levels above the subscription's account it was cancelled from.
ALTER TABLE subscriptions ADD COLUMN cancelled_above BIGINT;
ALTER TABLE subscriptions ADD COLUMN ended_at TIMESTAMPTZ;
ALTER TABLE subscriptions ADD COLUMN due_at TIMESTAMPTZ;

UPDATE subscriptions SET anchored_at = created_at WHERE status = 'active';
UPDATE subscriptions SET plan_code = (SELECT p.code FROM plans p WHERE p.id = plan_id), billing_period = COALESCE(
    (SELECT v.terms -> 'billing_period' FROM plan_versions v WHERE v.plan_id = subscriptions.plan_id AND v.number = plan_version),
    billing_period);

CREATE INDEX subscriptions_due ON subscriptions (due_at) WHERE due_at IS NOT NULL;

-- What has ended is held for that reason: SQLite widens a check by making the table anew.
CREATE TABLE holds_widened (
    id             TEXT        PRIMARY KEY,
    account_id     TEXT        NOT NULL REFERENCES accounts (id),
    path           TEXT        NOT NULL,
    target_type    TEXT        NOT NULL CHECK (target_type IN ('account', 'subscription', 'service')),
    target_id      TEXT        NOT NULL,
    target         TEXT        NOT NULL,
    status         TEXT        NOT NULL CHECK (status IN ('scheduled', 'active', 'released', 'expired')),
    effect         TEXT        NOT NULL CHECK (effect IN ('suspend', 'degrade', 'freeze_changes', 'block_purge')),
    reason_class   TEXT        NOT NULL CHECK (reason_class IN ('payment', 'abuse', 'legal', 'administrative',
                       'voluntary', 'policy', 'ended')),
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
INSERT INTO holds_widened SELECT id, account_id, path, target_type, target_id, target, status, effect, reason_class, reason_code,
    reason, placed_by, placed_by_path, placed_by_type, starts_at, expires_at, ended_at, ended_by, version, created_at, updated_at
    FROM holds;
DROP TABLE holds;
ALTER TABLE holds_widened RENAME TO holds;
CREATE INDEX holds_in_force ON holds (target) WHERE status = 'active';
CREATE INDEX holds_by_target ON holds (target_id, id);
CREATE INDEX holds_by_place ON holds (path, id);
CREATE UNIQUE INDEX holds_once ON holds (target, placed_by, reason_class, effect) WHERE status = 'active';
CREATE INDEX holds_starting ON holds (starts_at) WHERE status = 'scheduled';
CREATE INDEX holds_to_come ON holds (target) WHERE status = 'scheduled';
CREATE INDEX holds_ending ON holds (expires_at) WHERE status = 'active' AND expires_at IS NOT NULL;

-- The course of subscriptions: periods, trials, leases, cancellations and ends.
SELECT set_config('app.subtree', '/', true);

ALTER TABLE subscriptions
    -- Of the plan, which its account may not reach any more once it has moved.
    ADD COLUMN plan_code       TEXT COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN billing_period  JSONB NOT NULL DEFAULT '{"unit": "month", "count": 1}',
    ADD COLUMN anchored_at     TIMESTAMPTZ,
    ADD COLUMN trial_ends_at   TIMESTAMPTZ,
    ADD COLUMN tried_plan_id   TEXT COLLATE "C",
    ADD COLUMN expires_at      TIMESTAMPTZ,
    ADD COLUMN cancel_at       TIMESTAMPTZ,
    -- How many levels above the subscription's account it was cancelled from.
    ADD COLUMN cancelled_above BIGINT,
    ADD COLUMN ended_at        TIMESTAMPTZ,
    ADD COLUMN due_at          TIMESTAMPTZ;

UPDATE subscriptions SET anchored_at = created_at WHERE status = 'active';
UPDATE subscriptions SET plan_code = (SELECT p.code FROM plans p WHERE p.id = plan_id), billing_period = COALESCE(
    (SELECT v.terms -> 'billing_period' FROM plan_versions v WHERE v.plan_id = subscriptions.plan_id AND v.number = plan_version),
    billing_period);

CREATE INDEX subscriptions_due ON subscriptions (due_at) WHERE due_at IS NOT NULL;

-- What has ended is held for that reason.
ALTER TABLE holds DROP CONSTRAINT holds_reason_class_check;
ALTER TABLE holds ADD CONSTRAINT holds_reason_class_check
    CHECK (reason_class IN ('payment', 'abuse', 'legal', 'administrative', 'voluntary', 'policy', 'ended'));

-- Who wants to become a customer, until somebody has seen to it.
CREATE TABLE signups (
    id                TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    -- The seller below whom the account is to stand.
    account_id        TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    path              TEXT COLLATE "C" NOT NULL,
    status            TEXT COLLATE "C" NOT NULL CHECK (status IN ('pending', 'accepted', 'rejected', 'expired')),
    account           JSONB            NOT NULL,
    administrator     JSONB            NOT NULL,
    domain            TEXT COLLATE "C",
    external_id       TEXT COLLATE "C",
    plan              TEXT COLLATE "C" NOT NULL,
    quantity          BIGINT           NOT NULL,
    needs_email       BOOLEAN          NOT NULL,
    needs_approval    BOOLEAN          NOT NULL,
    token_hash        TEXT COLLATE "C",
    email_verified_at TIMESTAMPTZ,
    approved_at       TIMESTAMPTZ,
    opened_id         TEXT COLLATE "C",
    member_id         TEXT COLLATE "C",
    order_id          TEXT COLLATE "C",
    operation_id      TEXT COLLATE "C",
    reason            TEXT COLLATE "C",
    metadata          JSONB            NOT NULL,
    fingerprint       TEXT COLLATE "C" NOT NULL,
    expires_at        TIMESTAMPTZ      NOT NULL,
    version           BIGINT           NOT NULL,
    created_at        TIMESTAMPTZ      NOT NULL,
    updated_at        TIMESTAMPTZ      NOT NULL
);
CREATE INDEX signups_by_place ON signups (path, id);
-- What was rejected or has expired leaves its name free.
CREATE UNIQUE INDEX signups_by_external_id ON signups (account_id, external_id)
    WHERE external_id IS NOT NULL AND status IN ('pending', 'accepted');
CREATE INDEX signups_due ON signups (expires_at) WHERE status = 'pending';
CREATE INDEX signups_over ON signups (updated_at) WHERE status IN ('rejected', 'expired');

ALTER TABLE signups ENABLE ROW LEVEL SECURITY;
ALTER TABLE signups FORCE ROW LEVEL SECURITY;
DO $$
DECLARE
    declared text := 'NULLIF(current_setting(''app.subtree'', true), '''')';
    below text := format('starts_with(path, %1$s) OR (path || ''.'') ^@ ANY (string_to_array(%1$s, '',''))', declared);
BEGIN
    EXECUTE format('CREATE POLICY subtree ON signups USING (%s) WITH CHECK (%s)', below, below);
END $$;

-- What a seller, and whoever stands above it, asks of those who sign up.
ALTER TABLE accounts ADD COLUMN signup_policy JSONB;
-- How many sign-ups a shop's pages may send; none by those that were there before.
ALTER TABLE storefront_keys ADD COLUMN signups_per_hour BIGINT NOT NULL DEFAULT 0 CHECK (signups_per_hour >= 0);
ALTER TABLE storefront_keys ADD COLUMN signups_per_hour_per_address BIGINT NOT NULL DEFAULT 5 CHECK (signups_per_hour_per_address > 0);
ALTER TABLE storefront_keys ADD COLUMN signup_max_quantity BIGINT NOT NULL DEFAULT 10 CHECK (signup_max_quantity > 0);

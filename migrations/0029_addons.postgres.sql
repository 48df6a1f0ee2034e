-- What raises the quotas of subscriptions, beside their plans.
CREATE TABLE addons (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    path       TEXT COLLATE "C" NOT NULL,
    code       TEXT COLLATE "C" NOT NULL,
    name       TEXT COLLATE "C" NOT NULL,
    status     TEXT COLLATE "C" NOT NULL CHECK (status IN ('draft', 'active', 'paused', 'archived')),
    terms      JSONB            NOT NULL,
    metadata   JSONB            NOT NULL,
    version    BIGINT           NOT NULL,
    created_at TIMESTAMPTZ      NOT NULL,
    updated_at TIMESTAMPTZ      NOT NULL
);
CREATE UNIQUE INDEX addons_by_code ON addons (account_id, code);
CREATE INDEX addons_by_place ON addons (path, id);

DO $$
DECLARE
    declared text := 'NULLIF(current_setting(''app.subtree'', true), '''')';
    below text := format('starts_with(path, %1$s) OR (path || ''.'') ^@ ANY (string_to_array(%1$s, '',''))', declared);
    above text := format('starts_with(%1$s, path) OR strpos(%1$s, '','' || path) > 0', declared);
BEGIN
    ALTER TABLE addons ENABLE ROW LEVEL SECURITY;
    ALTER TABLE addons FORCE ROW LEVEL SECURITY;
    EXECUTE format('CREATE POLICY subtree ON addons USING (%s) WITH CHECK (%s)', below, below);
    -- Sellers above offer theirs.
    EXECUTE format('CREATE POLICY above ON addons FOR SELECT USING (%s)', above);
END $$;

-- What a subscription has of them, in the terms and at the price of when it was ordered.
ALTER TABLE subscriptions ADD COLUMN addons JSONB NOT NULL DEFAULT '[]';

-- A list says prices of add-ons, too: this column has either's identifier. It keeps its name while programs of before run
-- beside this one.
ALTER TABLE prices DROP CONSTRAINT prices_plan_id_fkey;

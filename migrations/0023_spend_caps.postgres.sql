-- How much may be ordered with a key, and how much was on the last day on which anything was.
ALTER TABLE api_keys ADD COLUMN spend_cap JSONB;

CREATE TABLE key_spending (
    key_id     TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES api_keys (id),
    account_id TEXT COLLATE "C" NOT NULL,
    path       TEXT COLLATE "C" NOT NULL,
    day        TIMESTAMPTZ      NOT NULL,
    spent      BIGINT           NOT NULL
);

DO $$
DECLARE
    declared text := 'NULLIF(current_setting(''app.subtree'', true), '''')';
    below text := format('starts_with(path, %1$s) OR (path || ''.'') ^@ ANY (string_to_array(%1$s, '',''))', declared);
    above text := format('starts_with(%1$s, path) OR strpos(%1$s, '','' || path) > 0', declared);
BEGIN
    ALTER TABLE key_spending ENABLE ROW LEVEL SECURITY;
    ALTER TABLE key_spending FORCE ROW LEVEL SECURITY;
    EXECUTE format('CREATE POLICY subtree ON key_spending USING (%s) WITH CHECK (%s)', below, below);
    -- Whoever orders for an account below counts for a key that stands above it.
    EXECUTE format('CREATE POLICY above ON key_spending FOR SELECT USING (%s)', above);
    EXECUTE format('CREATE POLICY counted ON key_spending FOR UPDATE USING (%s) WITH CHECK (%s)', above, above);
END $$;

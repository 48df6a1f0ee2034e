-- What accounts charge the accounts below them.
CREATE TABLE price_lists (
    id            TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account_id    TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    path          TEXT COLLATE "C" NOT NULL,
    name          TEXT COLLATE "C" NOT NULL,
    currency      TEXT COLLATE "C" NOT NULL,
    -- The one customer it is for, and that customer's label in paths; '' where it is for all.
    buyer_id      TEXT COLLATE "C",
    buyer         TEXT COLLATE "C" NOT NULL,
    offers        TEXT COLLATE "C" NOT NULL CHECK (offers IN ('all', 'listed')),
    adjustment    JSONB            NOT NULL,
    -- In millionths.
    exchange_rate BIGINT           CHECK (exchange_rate > 0),
    metadata      JSONB            NOT NULL,
    version       BIGINT           NOT NULL,
    created_at    TIMESTAMPTZ      NOT NULL,
    updated_at    TIMESTAMPTZ      NOT NULL
);
CREATE UNIQUE INDEX price_lists_once ON price_lists (account_id, buyer);
CREATE INDEX price_lists_by_buyer ON price_lists (path, buyer);
CREATE INDEX price_lists_by_place ON price_lists (path, id);

-- What a list says of a plan from a time on. What was in force never changes; what lies ahead can be taken back, or said anew.
CREATE TABLE prices (
    price_list_id TEXT COLLATE "C" NOT NULL REFERENCES price_lists (id) ON DELETE CASCADE,
    plan_id       TEXT COLLATE "C" NOT NULL REFERENCES plans (id),
    valid_from    TIMESTAMPTZ      NOT NULL,
    account_id    TEXT COLLATE "C" NOT NULL,
    path          TEXT COLLATE "C" NOT NULL,
    rule          JSONB            NOT NULL,
    created_at    TIMESTAMPTZ      NOT NULL,
    PRIMARY KEY (price_list_id, plan_id, valid_from)
);

DO $$
DECLARE
    name text;
    declared text := 'NULLIF(current_setting(''app.subtree'', true), '''')';
    below text := format('starts_with(path, %1$s) OR (path || ''.'') ^@ ANY (string_to_array(%1$s, '',''))', declared);
    above text := format('starts_with(%1$s, path) OR strpos(%1$s, '','' || path) > 0', declared);
BEGIN
    FOREACH name IN ARRAY ARRAY['price_lists', 'prices'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY subtree ON %I USING (%s) WITH CHECK (%s)', name, below, below);
        -- What an account pays comes of what all above it charge.
        EXECUTE format('CREATE POLICY above ON %I FOR SELECT USING (%s)', name, above);
    END LOOP;
END $$;

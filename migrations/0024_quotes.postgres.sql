-- Priced proposals that hold for a while.
CREATE TABLE quotes (
    id          TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account_id  TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    path        TEXT COLLATE "C" NOT NULL,
    -- Of whom the account bought when it was made.
    seller_id   TEXT COLLATE "C",
    status      TEXT COLLATE "C" NOT NULL CHECK (status IN ('open', 'accepted')),
    items       JSONB            NOT NULL,
    quota       JSONB            NOT NULL,
    valid_until TIMESTAMPTZ      NOT NULL,
    order_id    TEXT COLLATE "C",
    metadata    JSONB            NOT NULL,
    version     BIGINT           NOT NULL,
    created_at  TIMESTAMPTZ      NOT NULL,
    updated_at  TIMESTAMPTZ      NOT NULL
);
CREATE INDEX quotes_by_place ON quotes (path, id);

ALTER TABLE quotes ENABLE ROW LEVEL SECURITY;
ALTER TABLE quotes FORCE ROW LEVEL SECURITY;
DO $$
DECLARE
    declared text := 'NULLIF(current_setting(''app.subtree'', true), '''')';
    below text := format('starts_with(path, %1$s) OR (path || ''.'') ^@ ANY (string_to_array(%1$s, '',''))', declared);
BEGIN
    EXECUTE format('CREATE POLICY subtree ON quotes USING (%s) WITH CHECK (%s)', below, below);
END $$;

ALTER TABLE orders ADD COLUMN quote_id TEXT COLLATE "C";

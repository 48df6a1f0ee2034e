-- Priced proposals that hold for a while.
CREATE TABLE quotes (
    id          TEXT        NOT NULL PRIMARY KEY,
    account_id  TEXT        NOT NULL REFERENCES accounts (id),
    path        TEXT        NOT NULL,
    -- Of whom the account bought when it was made.
    seller_id   TEXT,
    status      TEXT        NOT NULL CHECK (status IN ('open', 'accepted')),
    items       JSONB       NOT NULL,
    quota       JSONB       NOT NULL,
    valid_until TIMESTAMPTZ NOT NULL,
    order_id    TEXT,
    metadata    JSONB       NOT NULL,
    version     BIGINT      NOT NULL,
    created_at  TIMESTAMPTZ NOT NULL,
    updated_at  TIMESTAMPTZ NOT NULL
);
CREATE INDEX quotes_by_place ON quotes (path, id);

ALTER TABLE orders ADD COLUMN quote_id TEXT;

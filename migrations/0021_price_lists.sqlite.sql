-- What accounts charge the accounts below them.
CREATE TABLE price_lists (
    id            TEXT        NOT NULL PRIMARY KEY,
    account_id    TEXT        NOT NULL REFERENCES accounts (id),
    path          TEXT        NOT NULL,
    name          TEXT        NOT NULL,
    currency      TEXT        NOT NULL,
    -- The one customer it is for, and that customer's label in paths; '' where it is for all.
    buyer_id      TEXT,
    buyer         TEXT        NOT NULL,
    offers        TEXT        NOT NULL CHECK (offers IN ('all', 'listed')),
    adjustment    JSONB       NOT NULL,
    -- In millionths.
    exchange_rate BIGINT      CHECK (exchange_rate > 0),
    metadata      JSONB       NOT NULL,
    version       BIGINT      NOT NULL,
    created_at    TIMESTAMPTZ NOT NULL,
    updated_at    TIMESTAMPTZ NOT NULL
);
CREATE UNIQUE INDEX price_lists_once ON price_lists (account_id, buyer);
CREATE INDEX price_lists_by_buyer ON price_lists (path, buyer);
CREATE INDEX price_lists_by_place ON price_lists (path, id);

-- What a list says of a plan from a time on. What was in force never changes; what lies ahead can be taken back, or said anew.
CREATE TABLE prices (
    price_list_id TEXT        NOT NULL REFERENCES price_lists (id) ON DELETE CASCADE,
    plan_id       TEXT        NOT NULL REFERENCES plans (id),
    valid_from    TIMESTAMPTZ NOT NULL,
    account_id    TEXT        NOT NULL,
    path          TEXT        NOT NULL,
    rule          JSONB       NOT NULL,
    created_at    TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (price_list_id, plan_id, valid_from)
);

-- What raises the quotas of subscriptions, beside their plans.
CREATE TABLE addons (
    id         TEXT        NOT NULL PRIMARY KEY,
    account_id TEXT        NOT NULL REFERENCES accounts (id),
    path       TEXT        NOT NULL,
    code       TEXT        NOT NULL,
    name       TEXT        NOT NULL,
    status     TEXT        NOT NULL CHECK (status IN ('draft', 'active', 'paused', 'archived')),
    terms      JSONB       NOT NULL,
    metadata   JSONB       NOT NULL,
    version    BIGINT      NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE UNIQUE INDEX addons_by_code ON addons (account_id, code);
CREATE INDEX addons_by_place ON addons (path, id);

-- What a subscription has of them, in the terms and at the price of when it was ordered.
ALTER TABLE subscriptions ADD COLUMN addons JSONB NOT NULL DEFAULT '[]';

-- A list says prices of add-ons, too: `plan_id` has either's identifier. It keeps its name as on PostgreSQL, where programs
-- of before run beside this one.
CREATE TABLE item_prices (
    price_list_id TEXT        NOT NULL REFERENCES price_lists (id) ON DELETE CASCADE,
    plan_id       TEXT        NOT NULL,
    valid_from    TIMESTAMPTZ NOT NULL,
    account_id    TEXT        NOT NULL,
    path          TEXT        NOT NULL,
    rule          JSONB       NOT NULL,
    created_at    TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (price_list_id, plan_id, valid_from)
);
INSERT INTO item_prices SELECT price_list_id, plan_id, valid_from, account_id, path, rule, created_at FROM prices;
DROP TABLE prices;
ALTER TABLE item_prices RENAME TO prices;

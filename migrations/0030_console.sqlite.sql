-- Accounts are found by their names, however these are written, and subscriptions by what others call them.
ALTER TABLE accounts ADD COLUMN name_key TEXT GENERATED ALWAYS AS (lower(name)) VIRTUAL;
CREATE INDEX accounts_by_name ON accounts (name_key, path);
CREATE INDEX subscriptions_by_external_id ON subscriptions (external_id, path) WHERE external_id IS NOT NULL;

-- How full a quota is, by the last threshold that it has reached: 80, 90 or 100 per cent, 101 where more is taken than there
-- is. Ceilings below ten have no thresholds. `told` is the one that was told of.
ALTER TABLE quotas
    ADD COLUMN filled BIGINT
        GENERATED ALWAYS AS (CASE WHEN used + reserved > ceiling THEN 101
                        WHEN ceiling < 10 OR (used + reserved) * 5 < ceiling * 4 THEN 0
                        WHEN used + reserved = ceiling THEN 100
                        WHEN (used + reserved) * 10 < ceiling * 9 THEN 80
                        ELSE 90 END) VIRTUAL;
ALTER TABLE quotas ADD COLUMN told BIGINT NOT NULL DEFAULT 0;
UPDATE quotas SET told = filled WHERE filled <> 0;
CREATE INDEX quotas_to_tell ON quotas (holder, key) WHERE filled <> told;

-- What is wrong below a seller, to be found without looking at what is not.
CREATE INDEX quotas_passed ON quotas (path) WHERE filled = 101;
CREATE INDEX operations_troubled ON operations (path) WHERE status = 'needs_attention';
CREATE INDEX holds_closing ON holds (path)
    WHERE status = 'active' AND (effect = 'suspend' OR effect = 'degrade') AND reason_class <> 'ended';

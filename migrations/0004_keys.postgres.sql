-- The secret before the last rotation, which works for a while beside the new one.
ALTER TABLE api_keys ADD COLUMN former_hash TEXT COLLATE "C";
ALTER TABLE api_keys ADD COLUMN former_until TIMESTAMPTZ;

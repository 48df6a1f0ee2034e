-- The secret before the last rotation, which works for a while beside the new one.
ALTER TABLE api_keys ADD COLUMN former_hash TEXT;
ALTER TABLE api_keys ADD COLUMN former_until TIMESTAMPTZ;

-- From where and from when on a key may be used, and where it was used last.
ALTER TABLE api_keys ADD COLUMN allowed_addresses JSONB NOT NULL DEFAULT '[]';
ALTER TABLE api_keys ADD COLUMN not_before TIMESTAMPTZ;
ALTER TABLE api_keys ADD COLUMN last_used_ip TEXT;

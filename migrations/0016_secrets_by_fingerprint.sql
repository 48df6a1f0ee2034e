-- What a server's credentials are recognised by, as they are never read back, and when they were set.
ALTER TABLE servers ADD COLUMN credentials_fingerprint TEXT;
ALTER TABLE servers ADD COLUMN credentials_set_at TIMESTAMPTZ;

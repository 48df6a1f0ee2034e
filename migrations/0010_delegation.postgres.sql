-- What accounts let those above them do, and whether their own keys must send an Idempotency-Key.
ALTER TABLE accounts ADD COLUMN delegation TEXT COLLATE "C" NOT NULL DEFAULT 'full' CHECK (delegation IN ('none', 'read', 'full'));
ALTER TABLE accounts ADD COLUMN require_idempotency_key BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX accounts_walled ON accounts (path) WHERE delegation <> 'full';

-- The accounts to which a key is narrowed.
ALTER TABLE api_keys ADD COLUMN roots JSONB NOT NULL DEFAULT '[]';

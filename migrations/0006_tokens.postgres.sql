-- Access tokens that were revoked before their time, by their jti, until they would have ended anyway.
CREATE TABLE revoked_tokens (
    jti        TEXT COLLATE "C" PRIMARY KEY,
    expires_at TIMESTAMPTZ      NOT NULL
);
CREATE INDEX revoked_tokens_by_end ON revoked_tokens (expires_at);

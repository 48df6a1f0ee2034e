-- The checkpoints of the audit's chains: the heads that each tells, as they are to stand in the files, its signed line,
-- and whether it stands in one by now. Beside them, the last line of each account that a checkpoint tells.
CREATE TABLE audit_checkpoints (
    number  BIGINT           NOT NULL PRIMARY KEY,
    made_at TIMESTAMPTZ      NOT NULL,
    heads   TEXT COLLATE "C" NOT NULL,
    line    TEXT COLLATE "C" NOT NULL,
    kept    BOOLEAN          NOT NULL
);
CREATE TABLE audit_witnessed (
    account_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    sequence   BIGINT           NOT NULL
);
-- With what each account's addresses are sealed in the audit's lines: without its key they are gone, and the chains stay.
CREATE TABLE audit_keys (
    account_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    key        TEXT COLLATE "C" NOT NULL
);

-- Each audit line carries a hash over itself and the hash of the line before; the head of the chain stands beside
-- the number of the last line. Lines from before have none, and the chain begins after them.
ALTER TABLE audit ADD COLUMN hash TEXT NOT NULL DEFAULT '';
ALTER TABLE account_counters ADD COLUMN audit_head TEXT NOT NULL DEFAULT '';

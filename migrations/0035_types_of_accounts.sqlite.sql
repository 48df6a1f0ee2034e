-- The types of the accounts that stand beside each other, for lists of what is theirs.
CREATE INDEX accounts_types ON accounts (path, type);

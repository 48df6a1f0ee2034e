-- Under which name and with which looks an account sells.
ALTER TABLE accounts ADD COLUMN branding JSONB;

-- How much may be asked for with a key: the name of one of the classes that the settings know.
ALTER TABLE api_keys ADD COLUMN rate_class TEXT NOT NULL DEFAULT 'standard';

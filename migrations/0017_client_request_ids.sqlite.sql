-- What callers call their requests themselves.
ALTER TABLE requests ADD COLUMN client_request_id TEXT;

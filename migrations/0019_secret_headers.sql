-- What each of an endpoint's secret headers is recognised by, as they are never read back, and when it was set: by name.
ALTER TABLE webhook_endpoints ADD COLUMN secret_header_marks JSONB NOT NULL DEFAULT '{}';

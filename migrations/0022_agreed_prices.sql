-- At what price a subscription was ordered.
ALTER TABLE subscriptions ADD COLUMN price JSONB;

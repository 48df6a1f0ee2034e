-- What an event is about: a service, a subscription, an order, or whatever is held. Not that of resources and operations,
-- which are told with their service.
ALTER TABLE events ADD COLUMN about TEXT;
CREATE INDEX events_about ON events (about, position, id) WHERE about IS NOT NULL;

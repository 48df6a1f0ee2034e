\set tenant random(0, 999)
\set key random(1, 9223372036854775806)
BEGIN;
INSERT INTO idem (tenant, key, request, reply) VALUES ('t' || :tenant, :key::text, repeat('0', 64), repeat('x', 200)) ON CONFLICT DO NOTHING;
INSERT INTO placed (tenant, status, body) VALUES ('t' || :tenant, 'queued', repeat('x', 500));
UPDATE quota SET used = used + 1 WHERE tenant = 't' || :tenant AND used < ceiling;
INSERT INTO outbox (tenant, kind, body) VALUES ('t' || :tenant, 'order.created', repeat('x', 200));
COMMIT;

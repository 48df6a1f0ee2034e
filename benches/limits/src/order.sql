-- What the product runs on SQLite for a keyed order of a plan with one service and three quotas, in its order; but for
-- the hash of the audit line, for which any text of its length stands.

INSERT INTO replies (principal_id, subject_id, key, path, request, status, sealed, body, created_at) VALUES
    (:principal, :principal, :key, :principal_path, :request, 0, FALSE, '', :now) ON CONFLICT (principal_id, subject_id,
    key) DO NOTHING;

SELECT a.id, a.path, a.parent_id, a.type, a.status, a.environment, a.name, a.contact_email, a.country, a.locale,
    a.time_zone, a.currency, a.external_id, a.external_id_by, a.fingerprint, a.metadata, a.version, a.created_at,
    a.updated_at, (SELECT MAX((SELECT CAST(MAX(CASE h.effect WHEN 'suspend' THEN 3 WHEN 'degrade' THEN 2 ELSE 0 END) AS
    BIGINT) FROM holds h WHERE h.status = 'active' AND h.target = t.column1)) FROM (VALUES (substr(a.path, 1, 14)),
    (substr(a.path, 1, 27)), (substr(a.path, 1, 40)), (substr(a.path, 1, 53)), (substr(a.path, 1, 66)), (substr(a.path, 1,
    79)), (substr(a.path, 1, 92)), (substr(a.path, 1, 105))) AS t) AS held FROM accounts a WHERE a.id = :account AND
    a.path >= :principal_path AND a.path < :principal_end;

WITH p AS ( SELECT p.id, p.account_id, p.path, p.code, p.name, p.status, p.current, p.metadata, p.version,
    p.created_at, p.updated_at, v.terms, json_extract(v.terms, '$.virtual_server_id') AS placed_by FROM plans p JOIN
    plan_versions v ON v.plan_id = p.id AND v.number = p.current WHERE (p.code = :plan_code OR p.id = :plan_code) AND
    p.status = 'active' AND p.path IN (substr(:path, 1, 14), substr(:path, 1, 27), substr(:path, 1, 40), substr(:path, 1,
    53), substr(:path, 1, 66), substr(:path, 1, 79), substr(:path, 1, 92), substr(:path, 1, 105))) SELECT p.id,
    p.account_id, p.path, p.code, p.name, p.status, p.current, p.metadata, p.version, p.created_at, p.updated_at, p.terms,
    s.placement, EXISTS ( SELECT 1 FROM (SELECT value ->> 'server_id' AS id FROM json_each(s.placement)) AS l WHERE
    (SELECT m.maintenance FROM servers m WHERE m.id = l.id)) AS in_maintenance FROM p JOIN virtual_servers s ON s.id =
    p.placed_by ORDER BY length(p.path) DESC LIMIT 1;

SELECT q.holder, q.key, q.account_id, q.path, q.mode, q.ceiling, q.used, q.reserved, q.updated_at FROM quotas q WHERE
    q.holder IN (SELECT value FROM json_each(:holders)) AND q.key IN (SELECT value FROM json_each(:quota_keys));

INSERT INTO subscriptions (id, account_id, path, status, plan_id, plan_version, quantity, order_id, external_id,
    metadata, version, created_at, updated_at, billing_period, plan_code, addons) VALUES (:subscription, :account, :path, 'pending',
    :plan, 1, 5, :order, NULL, '{}', 1, :now, :now, '{"unit":"month","count":1}', 'hosted-mail', '[]');

INSERT INTO services (id, account_id, path, subscription_id, type, name, lifecycle, applied_access, server_id,
    settings, observed, version, created_at, updated_at) VALUES (:service, :account, :path, :subscription, 'mail', 'Hosted mail',
    'requested', 'full', :server, '{}', '{}', 1, :now, :now);

INSERT INTO quotas (holder, key, account_id, path, mode, ceiling, updated_at) SELECT :subscription, value ->> 'key',
    :account, :path, value ->> 'mode', value ->> 'ceiling', :now FROM json_each(:grants) WHERE TRUE;

INSERT INTO orders (id, account_id, path, status, items, outcome, retryable, error, placed_by, operation_id,
    external_id, external_id_by, fingerprint, metadata, version, created_at, updated_at) VALUES (:order, :account, :path,
    'queued', :items, NULL, 0, NULL, :principal, :operation, NULL, NULL, :fingerprint, '{}', 1, :now, :now) ON CONFLICT
    (external_id_by, external_id) WHERE external_id IS NOT NULL DO NOTHING RETURNING id;

INSERT INTO operations (id, account_id, path, kind, status, order_id, service_id, resource_id, parent_id, lock,
    exclusive, lane, due_at, fence, attempts, steps, task, reserved, waiting_on, retryable, outcome, error, request_id,
    version, created_at, updated_at) VALUES (:operation, :account, :path, 'order.provision', 'queued', :order, NULL, NULL,
    NULL, :order, 1, 1, :due, 0, 0, :steps, '{"spread":false}', :reserved, NULL, 0, NULL, NULL, :request_id, 1, :now,
    :now) ON CONFLICT (lock) WHERE exclusive AND status IN ('queued', 'running', 'waiting_input', 'needs_attention') DO
    NOTHING RETURNING id;

WITH moved AS ( SELECT value ->> 'account_id' AS a, value ->> 'events' AS e, value ->> 'line' AS l FROM
    json_each(:counts) ) UPDATE account_counters SET events = events + e, audit = audit + CASE WHEN l IS NULL THEN 0 ELSE 1
    END, audit_head = CASE WHEN l IS NULL THEN audit_head ELSE l END FROM moved WHERE account_id = a RETURNING account_id,
    events, audit, audit_head;

INSERT INTO events (id, position, account_id, path, sequence, type, body, occurred_at) SELECT value ->> 'id', (SELECT
    COALESCE(MAX(position), 0) + 1 FROM events), value ->> 'account_id', value ->> 'path', value ->> 'sequence', value ->>
    'type', value -> 'body', :now FROM json_each(:events);

INSERT INTO audit (account_id, sequence, path, principal_id, key_id, action, resource, request_id, address, outcome,
    detail, occurred_at, hash) VALUES (:principal, :sequence, :principal_path, :principal, :key_id, 'orders_place', :order,
    :request_id, '127.0.0.1', 'done', '{"status":202}', :now, :request);

UPDATE replies SET request = :request, status = 202, location = :location, etag = :etag, operation_id = :operation,
    sealed = 0, body = :reply, created_at = :now WHERE principal_id = :principal AND subject_id = :principal AND key =
    :key;

WITH moved AS ( SELECT value ->> 'holder' AS h, value ->> 'key' AS k, value ->> 'used' AS u, value ->> 'reserved' AS r
    FROM json_each(:shifts) ) UPDATE quotas SET used = used + u, reserved = reserved + r, updated_at = :now FROM moved
    WHERE holder = h AND key = k RETURNING holder, key, account_id, path, mode, ceiling, used, reserved, updated_at;

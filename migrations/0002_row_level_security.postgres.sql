-- The second wall: PostgreSQL itself shows and changes only rows whose path lies in the subtree that the
-- transaction or the statement declared in app.subtree. Nothing declared, nothing seen: an unset setting
-- is NULL, or '' once it was set in this session, and neither is above any path.

-- Paths and identifiers compare by bytes, as on SQLite.
DO $$
DECLARE item record;
BEGIN
    FOR item IN
        SELECT c.table_name, c.column_name FROM information_schema.columns c
        JOIN information_schema.tables t ON t.table_schema = c.table_schema AND t.table_name = c.table_name
        WHERE c.table_schema = current_schema() AND t.table_type = 'BASE TABLE' AND c.data_type = 'text'
          AND c.table_name NOT LIKE '\_sqlx%'
    LOOP
        EXECUTE format('ALTER TABLE %I ALTER COLUMN %I TYPE text COLLATE "C"', item.table_name, item.column_name);
    END LOOP;
END $$;

DO $$
DECLARE
    name text;
    declared text := 'NULLIF(current_setting(''app.subtree'', true), '''')';
    below text := format('(path >= %1$s AND path < left(%1$s, -1) || ''0'')', declared);
    above text := format('(left(%1$s, length(path)) = path)', declared);
BEGIN
    FOREACH name IN ARRAY ARRAY['api_keys', 'orders', 'subscriptions', 'services', 'resources',
        'operations', 'events', 'webhook_endpoints', 'deliveries', 'audit', 'replies']
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY subtree ON %I USING %s WITH CHECK %s', name, below, below);
    END LOOP;
    -- What stands above an account concerns it too: whose plans it buys, on whose servers, under whose
    -- ceilings and holds. It can read that, and of it change only rows of ceilings, whose counters rise with it.
    FOREACH name IN ARRAY ARRAY['accounts', 'account_counters', 'servers', 'virtual_servers', 'plans', 'plan_versions', 'holds', 'quotas']
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY subtree ON %I USING %s WITH CHECK %s', name, below, below);
        EXECUTE format('CREATE POLICY above ON %I FOR SELECT USING %s', name, above);
    END LOOP;
    EXECUTE format('CREATE POLICY counted ON quotas FOR UPDATE USING %s WITH CHECK %s', above, above);
END $$;

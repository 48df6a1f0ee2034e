-- The policies so far take what is declared for one beginning of paths. A key that is narrowed to several accounts
-- declares theirs with commas between them, and last its own account's path with a `.` behind it, which nothing but
-- that very path begins with. Whatever is declared in the old way is found by the first half, as before.
DO $$
DECLARE
    item record;
    declared text := 'NULLIF(current_setting(''app.subtree'', true), '''')';
    below text := format('starts_with(path, %1$s) OR (path || ''.'') ^@ ANY (string_to_array(%1$s, '',''))', declared);
    above text := format('starts_with(%1$s, path) OR strpos(%1$s, '','' || path) > 0', declared);
BEGIN
    FOR item IN SELECT tablename, policyname FROM pg_policies WHERE schemaname = current_schema() LOOP
        CASE item.policyname
            WHEN 'subtree' THEN
                EXECUTE format('ALTER POLICY subtree ON %I USING (%s) WITH CHECK (%s)', item.tablename, below, below);
            WHEN 'above' THEN
                EXECUTE format('ALTER POLICY above ON %I USING (%s)', item.tablename, above);
            WHEN 'counted' THEN
                EXECUTE format('ALTER POLICY counted ON %I USING (%s) WITH CHECK (%s)', item.tablename, above, above);
            ELSE NULL;
        END CASE;
    END LOOP;
END $$;

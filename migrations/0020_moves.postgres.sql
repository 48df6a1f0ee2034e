-- A line of the audit keeps the place that its account had at the time, which its chain vouches for. Whoever reaches the
-- account where it stands now may read it, and nobody who only reached it then.
DO $$
DECLARE
    declared text := 'NULLIF(current_setting(''app.subtree'', true), '''')';
    below text := format(
        '%1$s = ''/'' OR EXISTS (SELECT 1 FROM accounts a WHERE a.id = audit.account_id'
        ' AND (starts_with(a.path, %1$s) OR (a.path || ''.'') ^@ ANY (string_to_array(%1$s, '',''))))', declared);
BEGIN
    EXECUTE format('ALTER POLICY subtree ON audit USING (%s)', below);
END $$;

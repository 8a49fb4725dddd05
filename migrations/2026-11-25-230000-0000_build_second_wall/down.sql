-- The role stays: it belongs to the whole server, and other databases may use it.
DO $$
DECLARE
    found record;
BEGIN
    FOR found IN SELECT tablename, policyname FROM pg_policies WHERE schemaname = 'public' LOOP
        EXECUTE format('DROP POLICY %I ON %I', found.policyname, found.tablename);
    END LOOP;
    FOR found IN SELECT oid::regclass AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relrowsecurity LOOP
        EXECUTE format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY', found.name);
        EXECUTE format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', found.name);
    END LOOP;
END
$$;
DROP FUNCTION analyze_units();
DROP FUNCTION wall_writes(text);
DROP FUNCTION wall_reads(text);
DROP FUNCTION wall_booths();
DROP FUNCTION wall_today();
DROP FUNCTION wall_states();
DROP FUNCTION wall_roots();
DROP FUNCTION wall_worker();
ALTER TABLE tally_inbox RESET (autovacuum_vacuum_cost_delay);
ALTER TABLE journal_inbox RESET (autovacuum_vacuum_cost_delay);
ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON TABLES FROM sampark_server;
ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON SEQUENCES FROM sampark_server;
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM sampark_server;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM sampark_server;
REVOKE USAGE ON SCHEMA public FROM sampark_server;

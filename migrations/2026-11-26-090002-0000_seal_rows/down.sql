DO $do$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['units', 'placements', 'grants', 'campaigns', 'campaign_questions', 'households', 'sign_offs'] LOOP
        EXECUTE format('DROP TRIGGER keep_versions_insert ON %I', t);
        EXECUTE format('DROP TRIGGER keep_versions_update ON %I', t);
        EXECUTE format('DROP TRIGGER keep_versions_delete ON %I', t);
        EXECUTE format('DROP FUNCTION keep_%s_versions()', t);
    END LOOP;
END $do$;
DROP FUNCTION row_write();
DROP TABLE row_writes;
DROP TABLE row_versions;

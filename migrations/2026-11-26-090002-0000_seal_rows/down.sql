DO $do$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['units', 'placements', 'grants', 'campaigns', 'campaign_questions', 'households', 'sign_offs', 'draws',
                           'draw_booths', 'draw_items', 'tasks', 'task_versions', 'task_reports', 'task_units', 'task_verdicts',
                           'committee_rules', 'post_confirmations', 'visit_exports'] LOOP
        EXECUTE format('DROP TRIGGER keep_versions_insert ON %I', t);
        EXECUTE format('DROP TRIGGER keep_versions_update ON %I', t);
        EXECUTE format('DROP TRIGGER keep_versions_delete ON %I', t);
        EXECUTE format('DROP FUNCTION keep_%s_versions()', t);
    END LOOP;
END $do$;
DROP POLICY task_reports_verified ON task_reports;
DROP POLICY task_verdicts_verified ON task_verdicts;
DROP FUNCTION row_write();
DROP TABLE row_writes;
DROP TABLE row_versions;

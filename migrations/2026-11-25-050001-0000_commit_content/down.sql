ALTER TABLE visits DROP COLUMN salts;
ALTER TABLE journal DROP COLUMN unit_ids, DROP COLUMN subject_versions, DROP COLUMN form;
ALTER TABLE journal_inbox DROP COLUMN unit_ids, DROP COLUMN subject_versions, DROP COLUMN form;
COMMENT ON COLUMN journal_inbox.unit_id IS 'The unit it happened at; decides who may read it.';
COMMENT ON COLUMN journal.unit_id IS 'The unit it happened at; decides who may read it.';

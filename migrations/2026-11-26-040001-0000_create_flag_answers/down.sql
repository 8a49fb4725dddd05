COMMENT ON FUNCTION note_worker_change() IS 'Notes a worker who became active or inactive.';
DROP TRIGGER workers_language_changed ON workers;
DROP TABLE flag_answers;

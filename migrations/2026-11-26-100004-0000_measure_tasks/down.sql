ALTER TABLE task_tally_inbox RESET (autovacuum_vacuum_cost_delay);
-- Tasks that no report meets cannot be told any more.
DELETE FROM task_tally_inbox WHERE task_id IN (SELECT task_id FROM task_measures);
DELETE FROM task_totals WHERE task_id IN (SELECT task_id FROM task_measures);
DELETE FROM task_units WHERE report_id IS NULL;
ALTER TABLE task_units
    DROP CONSTRAINT task_units_measured_check,
    DROP CONSTRAINT task_units_report_check,
    ALTER COLUMN reported_by SET NOT NULL,
    ALTER COLUMN report_id SET NOT NULL;
COMMENT ON COLUMN task_units.report_id IS 'The report that holds.';
COMMENT ON COLUMN task_units.reported_by IS 'Who made it.';
COMMENT ON COLUMN task_units.counted_at IS 'When that report counts from.';
COMMENT ON COLUMN task_units.judged_by IS 'Who verified or returned it.';
DROP TABLE task_measures;

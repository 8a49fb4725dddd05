-- Tasks that an indicator meets. See src/features/measures/meeter.rs.

ALTER TABLE tasks
    ADD COLUMN indicator text CHECK (length(indicator) BETWEEN 1 AND 60),
    ADD COLUMN measure_value double precision CHECK (measure_value >= 0),
    ADD COLUMN measure_campaign_id integer REFERENCES campaigns (id),
    ADD COLUMN measured_at timestamptz,
    ADD CONSTRAINT tasks_measure_check CHECK (indicator IS NOT NULL
        OR (measure_value IS NULL AND measure_campaign_id IS NULL AND measured_at IS NULL)),
    ADD CONSTRAINT tasks_measure_evidence_check CHECK (indicator IS NULL OR evidence = 'none');
CREATE INDEX tasks_measured_idx ON tasks (id) WHERE indicator IS NOT NULL AND cancelled_at IS NULL;

COMMENT ON COLUMN tasks.indicator IS 'The indicator of the catalogue that meets it; null: units report it.';
COMMENT ON COLUMN tasks.measure_value IS 'What the indicator is to reach, in its unit; null: each unit''s own target.';
COMMENT ON COLUMN tasks.measure_campaign_id IS 'Only by the figures of this campaign; null: of all.';
COMMENT ON COLUMN tasks.measured_at IS 'When all its units were measured last; null: not yet.';

-- What an indicator meets nobody reported.
ALTER TABLE task_units
    ALTER COLUMN report_id DROP NOT NULL,
    ALTER COLUMN reported_by DROP NOT NULL,
    ADD CONSTRAINT task_units_report_check CHECK ((report_id IS NULL) = (reported_by IS NULL)),
    ADD CONSTRAINT task_units_measured_check CHECK (report_id IS NOT NULL OR status = 'verified');
COMMENT ON COLUMN task_units.report_id IS 'The report that holds; null where an indicator met the task: there is a row as long as it does.';
COMMENT ON COLUMN task_units.reported_by IS 'Who made it; null where an indicator met the task.';
COMMENT ON COLUMN task_units.counted_at IS 'When that report counts from; when the indicator was found to meet the task.';
COMMENT ON COLUMN task_units.judged_by IS 'Who verified or returned it; null where an indicator met the task.';

-- It is emptied several times a second, as the other inboxes: vacuum is not to fall behind.
ALTER TABLE task_tally_inbox SET (autovacuum_vacuum_cost_delay = 0);

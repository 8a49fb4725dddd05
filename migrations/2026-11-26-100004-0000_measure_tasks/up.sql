-- Tasks that an indicator meets. See src/features/measures/meeter.rs.

CREATE TABLE task_measures (
    task_id integer PRIMARY KEY REFERENCES tasks (id),
    indicator text NOT NULL CHECK (length(indicator) BETWEEN 1 AND 60),
    value double precision CHECK (value >= 0),
    campaign_id integer REFERENCES campaigns (id),
    measured_at timestamptz
);

COMMENT ON TABLE task_measures IS 'The indicators that meet tasks; of a task without a row units report.';
COMMENT ON COLUMN task_measures.task_id IS 'The task.';
COMMENT ON COLUMN task_measures.indicator IS 'An indicator of the catalogue.';
COMMENT ON COLUMN task_measures.value IS 'What it is to reach, in its unit; null: each unit''s own target.';
COMMENT ON COLUMN task_measures.campaign_id IS 'Only by the figures of this campaign; null: of all.';
COMMENT ON COLUMN task_measures.measured_at IS 'When all units of the task were measured last; null: not yet.';

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

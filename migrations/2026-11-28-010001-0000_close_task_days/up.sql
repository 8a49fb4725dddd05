-- How tasks stood when a day was over, for the trend of reports. See src/features/tasks/closing.rs.

CREATE TABLE task_closings (
    state_id integer NOT NULL REFERENCES units (id),
    day date NOT NULL,
    unit_id integer NOT NULL REFERENCES units (id),
    assigned bigint NOT NULL CHECK (assigned >= 0),
    done bigint NOT NULL,
    overdue bigint NOT NULL,
    closed_at timestamptz NOT NULL,
    PRIMARY KEY (state_id, day, unit_id)
);

COMMENT ON TABLE task_closings IS 'How the units above the booth stood to their tasks when a day was over, as counted in the night after it and never corrected. A state that was closed has a row of its own; a unit under it without one had no tasks.';
COMMENT ON COLUMN task_closings.state_id IS 'The state.';
COMMENT ON COLUMN task_closings.day IS 'The day that was over.';
COMMENT ON COLUMN task_closings.unit_id IS 'The unit: the state itself, or one under it.';
COMMENT ON COLUMN task_closings.assigned IS 'For how many units under it tasks stood, each task counted by itself.';
COMMENT ON COLUMN task_closings.done IS 'Reported done and not sent back.';
COMMENT ON COLUMN task_closings.overdue IS 'Not done after their day.';
COMMENT ON COLUMN task_closings.closed_at IS 'When it was counted.';

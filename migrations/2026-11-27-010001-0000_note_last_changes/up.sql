-- Who rose and who fell since a day is told of each booth and mandal by its own row, without a look at the history of all.
ALTER TABLE strengths
    ADD COLUMN changed_on date,
    ADD COLUMN previous text,
    ADD COLUMN settled_on date;
UPDATE strengths s SET changed_on = l.graded_on, previous = l.previous, settled_on = l.settled_on
FROM (
    SELECT DISTINCT ON (unit_id) unit_id, graded_on, previous,
           lag(graded_on) OVER (PARTITION BY unit_id ORDER BY graded_on) AS settled_on
    FROM grade_changes ORDER BY unit_id, graded_on DESC) l
WHERE l.unit_id = s.unit_id;
CREATE INDEX strengths_changed_idx ON strengths (state_id, changed_on);

COMMENT ON COLUMN strengths.changed_on IS 'The day since which it has this grade: that of its last row in grade_changes.';
COMMENT ON COLUMN strengths.previous IS 'Its grade before that day; null: it had none.';
COMMENT ON COLUMN strengths.settled_on IS 'The day since which it had that one: of the last row but one in grade_changes; null: there is none.';

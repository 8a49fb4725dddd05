-- Who rose and who fell is read of those that had a grade before; the first grades of a state, as many as it has booths, only
-- to rule out who got his first one meanwhile.
CREATE INDEX grade_changes_moved_idx ON grade_changes (state_id, graded_on) WHERE previous IS NOT NULL;
CREATE INDEX grade_changes_first_idx ON grade_changes (state_id, graded_on, unit_id) WHERE previous IS NULL;
DROP INDEX grade_changes_state_idx;

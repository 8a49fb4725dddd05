CREATE INDEX grade_changes_state_idx ON grade_changes (state_id, graded_on);
DROP INDEX grade_changes_moved_idx, grade_changes_first_idx;

CREATE INDEX pravas_seats_unit_idx ON pravas_seats (unit_id, pravas_id);
CREATE INDEX pravas_unit_idx ON pravas (unit_id, id);
CREATE INDEX strengths_mandal_idx ON strengths (mandal_id) WHERE level = 'booth';

DELETE FROM grade_changes WHERE grade IS NULL;
ALTER TABLE grade_changes DROP CONSTRAINT grade_changes_score_check, ALTER COLUMN grade SET NOT NULL, ALTER COLUMN score SET NOT NULL;
COMMENT ON COLUMN grade_changes.grade IS 'Its grade from that day on.';
COMMENT ON COLUMN grade_changes.previous IS 'Its grade the day before; null: it was graded for the first time.';
COMMENT ON COLUMN grade_changes.score IS 'Its score.';

-- What is under way begins again: its grades are not in strengths.
UPDATE grading_runs SET after_id = 0 WHERE finished_at IS NULL;
ALTER TABLE grading_runs DROP COLUMN rule_unit_id, DROP COLUMN rule_version;

DROP TABLE grades_under_way;

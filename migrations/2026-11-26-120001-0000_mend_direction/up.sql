-- A grading is seen as a whole or not at all: its grades wait beside those that are shown until it is done, by the rule
-- with which it began. See src/features/strength/grader.rs.

CREATE TABLE grades_under_way (
    state_id integer NOT NULL,
    unit_id integer NOT NULL,
    level text NOT NULL CHECK (level IN ('booth', 'mandal')),
    district_id integer,
    mandal_id integer,
    pc_id integer,
    ac_id integer,
    grade text NOT NULL CHECK (grade IN ('A', 'B', 'C', 'D')),
    score double precision NOT NULL CHECK (score BETWEEN 0 AND 100),
    PRIMARY KEY (state_id, unit_id)
);

COMMENT ON TABLE grades_under_way IS 'What gradings under way have found so far; becomes strengths and grade_changes when the grading of the state is done.';
COMMENT ON COLUMN grades_under_way.state_id IS 'The state.';
COMMENT ON COLUMN grades_under_way.unit_id IS 'The booth or mandal.';
COMMENT ON COLUMN grades_under_way.level IS 'booth or mandal.';
COMMENT ON COLUMN grades_under_way.district_id IS 'As in strengths.';
COMMENT ON COLUMN grades_under_way.mandal_id IS 'As in strengths.';
COMMENT ON COLUMN grades_under_way.pc_id IS 'As in strengths.';
COMMENT ON COLUMN grades_under_way.ac_id IS 'As in strengths.';
COMMENT ON COLUMN grades_under_way.grade IS 'A to D.';
COMMENT ON COLUMN grades_under_way.score IS '0 to 100.';

ALTER TABLE grading_runs ADD COLUMN rule_unit_id integer, ADD COLUMN rule_version integer;
-- What is under way has no rule of its own yet: it begins again.
UPDATE grading_runs SET after_id = 0 WHERE finished_at IS NULL;

COMMENT ON COLUMN grading_runs.rule_unit_id IS 'Whose rule the grading began with and keeps to its end; null: the one that the program comes with.';
COMMENT ON COLUMN grading_runs.rule_version IS 'Its version; null: none has begun since that is noted.';

ALTER TABLE grade_changes ALTER COLUMN grade DROP NOT NULL, ALTER COLUMN score DROP NOT NULL,
    ADD CONSTRAINT grade_changes_score_check CHECK ((grade IS NULL) = (score IS NULL));

COMMENT ON COLUMN grade_changes.grade IS 'Its grade from that day on; null: it has none any more, as a mandal without booths.';
COMMENT ON COLUMN grade_changes.previous IS 'Its grade the day before; null: it had none.';
COMMENT ON COLUMN grade_changes.score IS 'Its score; null without a grade.';

-- No query asks for grades by mandal.
DROP INDEX strengths_mandal_idx;
-- Tours are found by their number or their leader, seats and stops by their tour.
DROP INDEX pravas_unit_idx;
DROP INDEX pravas_seats_unit_idx;

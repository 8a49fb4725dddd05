-- Strength: booths and mandals graded A to D, every night and when asked. See src/features/strength/mod.rs.

CREATE TABLE strength_rules (
    unit_id integer NOT NULL REFERENCES units (id),
    version integer NOT NULL CHECK (version > 0),
    rule jsonb NOT NULL,
    reason text NOT NULL CHECK (length(reason) BETWEEN 1 AND 500),
    made_by integer REFERENCES workers (id),
    made_at timestamptz NOT NULL,
    PRIMARY KEY (unit_id, version)
);

COMMENT ON TABLE strength_rules IS 'How booths are graded. The newest version counts; a state''s comes before the nation''s; without any, the rule that the program comes with (version 0).';
COMMENT ON COLUMN strength_rules.unit_id IS 'A state, or the nation for the states that have none.';
COMMENT ON COLUMN strength_rules.version IS 'From 1; none is ever changed.';
COMMENT ON COLUMN strength_rules.rule IS '{"days","parts":[{"indicator","weight","full"}],"grades":{"a","b","c"}}.';
COMMENT ON COLUMN strength_rules.reason IS 'Why it was made.';
COMMENT ON COLUMN strength_rules.made_by IS 'Who made it; null for the command line.';
COMMENT ON COLUMN strength_rules.made_at IS 'When.';

CREATE TABLE strengths (
    unit_id integer PRIMARY KEY,
    state_id integer NOT NULL,
    level text NOT NULL CHECK (level IN ('booth', 'mandal')),
    district_id integer,
    mandal_id integer,
    pc_id integer,
    ac_id integer,
    grade text NOT NULL CHECK (grade IN ('A', 'B', 'C', 'D')),
    score double precision NOT NULL CHECK (score BETWEEN 0 AND 100),
    rule_unit_id integer,
    rule_version integer NOT NULL,
    graded_on date NOT NULL
);
CREATE INDEX strengths_mandal_idx ON strengths (mandal_id) WHERE level = 'booth';
CREATE INDEX strengths_state_idx ON strengths (state_id, unit_id);

COMMENT ON TABLE strengths IS 'The grade of every booth and mandal as it was last graded; derived.';
COMMENT ON COLUMN strengths.unit_id IS 'The booth or mandal.';
COMMENT ON COLUMN strengths.state_id IS 'Its state.';
COMMENT ON COLUMN strengths.level IS 'booth or mandal.';
COMMENT ON COLUMN strengths.district_id IS 'The district above it when it was graded.';
COMMENT ON COLUMN strengths.mandal_id IS 'The mandal above it; of a mandal, itself.';
COMMENT ON COLUMN strengths.pc_id IS 'The parliamentary constituency above it; null for mandals, which cut across.';
COMMENT ON COLUMN strengths.ac_id IS 'The assembly constituency above it; null for mandals.';
COMMENT ON COLUMN strengths.grade IS 'A to D.';
COMMENT ON COLUMN strengths.score IS '0 to 100; of a mandal, the mean of its booths.';
COMMENT ON COLUMN strengths.rule_unit_id IS 'Whose rule it was graded by; null: the one that the program comes with.';
COMMENT ON COLUMN strengths.rule_version IS 'Its version.';
COMMENT ON COLUMN strengths.graded_on IS 'The day on which score, grade or rule last changed.';

CREATE TABLE grade_changes (
    state_id integer NOT NULL,
    unit_id integer NOT NULL,
    graded_on date NOT NULL,
    grade text NOT NULL,
    previous text,
    score double precision NOT NULL,
    rule_unit_id integer,
    rule_version integer NOT NULL,
    PRIMARY KEY (unit_id, graded_on)
);
CREATE INDEX grade_changes_state_idx ON grade_changes (state_id, graded_on);

COMMENT ON TABLE grade_changes IS 'Every change of a grade: the history by which rising and falling is told. A second grading on the same day takes the place of the first.';
COMMENT ON COLUMN grade_changes.state_id IS 'The state.';
COMMENT ON COLUMN grade_changes.unit_id IS 'The booth or mandal.';
COMMENT ON COLUMN grade_changes.graded_on IS 'The day.';
COMMENT ON COLUMN grade_changes.grade IS 'Its grade from that day on.';
COMMENT ON COLUMN grade_changes.previous IS 'Its grade the day before; null: it was graded for the first time.';
COMMENT ON COLUMN grade_changes.score IS 'Its score.';
COMMENT ON COLUMN grade_changes.rule_unit_id IS 'Whose rule it was graded by; null: the one that the program comes with.';
COMMENT ON COLUMN grade_changes.rule_version IS 'Its version.';

CREATE TABLE strength_tallies (
    state_id integer NOT NULL,
    level text NOT NULL,
    district_id integer,
    mandal_id integer,
    pc_id integer,
    ac_id integer,
    grade text NOT NULL,
    units integer NOT NULL
);
CREATE INDEX strength_tallies_state_idx ON strength_tallies (state_id);

COMMENT ON TABLE strength_tallies IS 'How many booths and mandals have which grade, by what lies above them: counted when a grading of the state is done.';
COMMENT ON COLUMN strength_tallies.state_id IS 'The state.';
COMMENT ON COLUMN strength_tallies.level IS 'booth or mandal.';
COMMENT ON COLUMN strength_tallies.district_id IS 'As in strengths.';
COMMENT ON COLUMN strength_tallies.mandal_id IS 'As in strengths.';
COMMENT ON COLUMN strength_tallies.pc_id IS 'As in strengths.';
COMMENT ON COLUMN strength_tallies.ac_id IS 'As in strengths.';
COMMENT ON COLUMN strength_tallies.grade IS 'The grade.';
COMMENT ON COLUMN strength_tallies.units IS 'How many have it.';

CREATE TABLE grading_runs (
    state_id integer PRIMARY KEY REFERENCES units (id),
    day date NOT NULL,
    after_id integer NOT NULL,
    finished_at timestamptz,
    finished_day date
);

COMMENT ON TABLE grading_runs IS 'How far the grading of each state has come; interrupted anywhere, it goes on there.';
COMMENT ON COLUMN grading_runs.state_id IS 'The state.';
COMMENT ON COLUMN grading_runs.day IS 'The day of the grading under way, or of the last.';
COMMENT ON COLUMN grading_runs.after_id IS 'Booths up to this one are done.';
COMMENT ON COLUMN grading_runs.finished_at IS 'When it was done; null while it is under way.';
COMMENT ON COLUMN grading_runs.finished_day IS 'The day of the last grading that was done: reports show no later one.';

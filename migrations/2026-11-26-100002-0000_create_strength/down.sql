DROP TABLE grading_runs;
DROP TABLE strength_tallies;
DROP TABLE grade_changes;
DROP TABLE strengths;
DROP TABLE strength_rules;

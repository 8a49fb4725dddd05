DROP TABLE task_totals;
DROP TABLE task_tally_inbox;
DROP TABLE task_verdicts;
DROP TABLE task_units;
DROP TABLE task_reports;
DROP TABLE task_versions;
DROP TABLE tasks;

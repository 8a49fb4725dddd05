DROP INDEX strengths_changed_idx;
ALTER TABLE strengths DROP COLUMN settled_on, DROP COLUMN previous, DROP COLUMN changed_on;

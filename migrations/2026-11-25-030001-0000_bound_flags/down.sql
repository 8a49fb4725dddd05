ALTER TABLE doors DROP COLUMN last_contact_on;
DROP INDEX visits_flagged_idx;
CREATE INDEX visits_worker_idx ON visits (worker_id, visited_on);
DROP INDEX visits_trail_idx;
ALTER TABLE campaigns DROP COLUMN bounds;

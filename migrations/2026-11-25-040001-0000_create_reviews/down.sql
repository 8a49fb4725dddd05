COMMENT ON COLUMN visits.version IS 'From 1; each correction and void adds one.';
COMMENT ON COLUMN visits.review IS 'A coordinator''s verdict.';
DROP INDEX visits_queue_idx, visits_queue_booth_idx;
DROP FUNCTION visit_doubt;
DROP TABLE reviews;

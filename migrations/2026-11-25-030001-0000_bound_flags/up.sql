-- Bounds past which a machine doubts a visit, and what the doubts are found by.

ALTER TABLE campaigns ADD COLUMN bounds jsonb NOT NULL DEFAULT '{}';
COMMENT ON COLUMN campaigns.bounds IS 'Bounds of the flags by code; what is left out has the program''s default, null is off.';

-- A worker's visits of a day in the order of their times: his trail. It serves whatever the old index did.
CREATE INDEX visits_trail_idx ON visits (worker_id, visited_on, visited_at);
DROP INDEX visits_worker_idx;
-- Few visits are flagged, so this is small and most visits do not touch it.
CREATE INDEX visits_flagged_idx ON visits (booth_id, visited_on, id) WHERE flags <> '[]';

ALTER TABLE doors ADD COLUMN last_contact_on date;
UPDATE doors d SET last_contact_on = (
    SELECT max(v.visited_on) FROM visits v JOIN households h ON h.state_id = d.state_id AND h.id = d.household_id
    WHERE v.state_id = d.state_id AND v.booth_id = h.booth_id AND v.campaign_id = d.campaign_id
      AND v.household_id = d.household_id AND v.outcome = 'met' AND v.voided_at IS NULL
      AND v.review <> 'rejected')
WHERE d.contacts > 0;
ALTER TABLE doors ADD CONSTRAINT doors_last_contact CHECK ((contacts = 0) = (last_contact_on IS NULL));
COMMENT ON COLUMN doors.last_contact_on IS 'The day of the latest live contact: with the first, what repeat_door is judged by.';

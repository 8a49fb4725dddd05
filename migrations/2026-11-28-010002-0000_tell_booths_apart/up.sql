-- Visits of a booth come together and lie together, so a sample of pages holds many of few booths, and PostgreSQL takes a nation's
-- million booths for twenty thousand. It then walks all days for a page of a constituency (more than two seconds among ten million
-- visits). Fifty visits a booth: about what a campaign leaves. It counts from the next ANALYZE on, which is not waited for; an
-- empty table is left without statistics, as it was.
ALTER TABLE visits ALTER COLUMN booth_id SET (n_distinct = -0.02);
DO $$ BEGIN
    IF EXISTS (SELECT FROM visits) THEN
        ANALYZE visits;
    END IF;
END $$;

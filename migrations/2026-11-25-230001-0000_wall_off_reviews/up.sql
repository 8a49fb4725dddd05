-- The second wall around tables that came after it (see build_second_wall).

-- Reviews: those of visits that are seen.
ALTER TABLE reviews ENABLE ROW LEVEL SECURITY;
ALTER TABLE reviews FORCE ROW LEVEL SECURITY;
CREATE POLICY reviews_seen ON reviews FOR SELECT USING (
    (SELECT wall_reads('visits'))
    OR state_id = ANY ((SELECT wall_states())::integer[])
    OR EXISTS (SELECT 1 FROM visits v WHERE v.state_id = reviews.state_id AND v.id = reviews.visit_id));
CREATE POLICY reviews_made ON reviews FOR INSERT WITH CHECK (
    EXISTS (SELECT 1 FROM visits v WHERE v.state_id = reviews.state_id AND v.id = reviews.visit_id));
CREATE POLICY reviews_changed ON reviews FOR UPDATE USING ((SELECT wall_writes('visits')));
CREATE POLICY reviews_removed ON reviews FOR DELETE USING ((SELECT wall_writes('visits')));

-- What waits to be sealed: the program's own.
ALTER TABLE unsealed_phones ENABLE ROW LEVEL SECURITY;
ALTER TABLE unsealed_phones FORCE ROW LEVEL SECURITY;
CREATE POLICY unsealed_phones_taken ON unsealed_phones FOR ALL USING ((SELECT wall_writes('roster')));
ALTER TABLE unsealed_notes ENABLE ROW LEVEL SECURITY;
ALTER TABLE unsealed_notes FORCE ROW LEVEL SECURITY;
CREATE POLICY unsealed_notes_taken ON unsealed_notes FOR ALL USING ((SELECT wall_writes('visits')));

-- The second wall around what was reported of stops: one's own reports, and those of stops in scope.

ALTER TABLE pravas_reports ENABLE ROW LEVEL SECURITY;
ALTER TABLE pravas_reports FORCE ROW LEVEL SECURITY;
CREATE POLICY pravas_reports_seen ON pravas_reports FOR SELECT USING (
    worker_id = (SELECT wall_worker())
    OR state_id = ANY ((SELECT wall_states())::integer[])
    OR EXISTS (SELECT 1 FROM pravas_stops t JOIN lineages l ON l.unit_id = t.unit_id
        WHERE t.id = pravas_reports.stop_id AND l.unit_ids && (SELECT wall_roots())
        AND l.valid_from <= (SELECT wall_today()) AND (l.valid_to IS NULL OR l.valid_to > (SELECT wall_today()))));
CREATE POLICY pravas_reports_made ON pravas_reports FOR INSERT WITH CHECK (
    state_id = ANY ((SELECT wall_states())::integer[])
    OR EXISTS (SELECT 1 FROM pravas_stops t JOIN lineages l ON l.unit_id = t.unit_id
        WHERE t.id = pravas_reports.stop_id AND l.unit_ids && (SELECT wall_roots())
        AND l.valid_from <= (SELECT wall_today()) AND (l.valid_to IS NULL OR l.valid_to > (SELECT wall_today()))));

-- The second wall around what came after it: bulk voids, answers to flags, draws and their back-checks, reports on tasks.

-- Orders to void in bulk: those of units in scope; their lists go with them.
ALTER TABLE bulk_voids ENABLE ROW LEVEL SECURITY;
ALTER TABLE bulk_voids FORCE ROW LEVEL SECURITY;
CREATE POLICY bulk_voids_seen ON bulk_voids FOR SELECT USING (
    (SELECT wall_reads('visits'))
    OR state_id = ANY ((SELECT wall_states())::integer[])
    OR EXISTS (SELECT 1 FROM lineages l WHERE l.unit_id = bulk_voids.unit_id AND l.unit_ids && (SELECT wall_roots())
        AND l.valid_from <= (SELECT wall_today()) AND (l.valid_to IS NULL OR l.valid_to > (SELECT wall_today()))));
CREATE POLICY bulk_voids_made ON bulk_voids FOR INSERT WITH CHECK (
    state_id = ANY ((SELECT wall_states())::integer[])
    OR EXISTS (SELECT 1 FROM lineages l WHERE l.unit_id = bulk_voids.unit_id AND l.unit_ids && (SELECT wall_roots())
        AND l.valid_from <= (SELECT wall_today()) AND (l.valid_to IS NULL OR l.valid_to > (SELECT wall_today()))));
CREATE POLICY bulk_voids_changed ON bulk_voids FOR UPDATE USING (true) WITH CHECK (
    (SELECT wall_writes('visits'))
    OR state_id = ANY ((SELECT wall_states())::integer[])
    OR EXISTS (SELECT 1 FROM lineages l WHERE l.unit_id = bulk_voids.unit_id AND l.unit_ids && (SELECT wall_roots())
        AND l.valid_from <= (SELECT wall_today()) AND (l.valid_to IS NULL OR l.valid_to > (SELECT wall_today()))));
ALTER TABLE bulk_void_items ENABLE ROW LEVEL SECURITY;
ALTER TABLE bulk_void_items FORCE ROW LEVEL SECURITY;
CREATE POLICY bulk_void_items_seen ON bulk_void_items FOR SELECT USING (
    (SELECT wall_reads('visits'))
    OR EXISTS (SELECT 1 FROM bulk_voids b WHERE b.id = bulk_void_items.bulk_void_id));
CREATE POLICY bulk_void_items_made ON bulk_void_items FOR INSERT WITH CHECK (
    (SELECT wall_writes('visits'))
    OR EXISTS (SELECT 1 FROM bulk_voids b WHERE b.id = bulk_void_items.bulk_void_id));
CREATE POLICY bulk_void_items_changed ON bulk_void_items FOR UPDATE USING (true) WITH CHECK (
    (SELECT wall_writes('visits'))
    OR EXISTS (SELECT 1 FROM bulk_voids b WHERE b.id = bulk_void_items.bulk_void_id));

-- Authors' answers to flags: those of visits that are seen.
ALTER TABLE flag_answers ENABLE ROW LEVEL SECURITY;
ALTER TABLE flag_answers FORCE ROW LEVEL SECURITY;
CREATE POLICY flag_answers_seen ON flag_answers FOR SELECT USING (
    (SELECT wall_reads('visits'))
    OR EXISTS (SELECT 1 FROM visits v WHERE v.state_id = flag_answers.state_id AND v.id = flag_answers.visit_id));
CREATE POLICY flag_answers_made ON flag_answers FOR INSERT WITH CHECK (
    EXISTS (SELECT 1 FROM visits v WHERE v.state_id = flag_answers.state_id AND v.id = flag_answers.visit_id));
CREATE POLICY flag_answers_changed ON flag_answers FOR UPDATE USING (
    (SELECT wall_writes('visits')));
CREATE POLICY flag_answers_removed ON flag_answers FOR DELETE USING (
    (SELECT wall_writes('visits')));

-- What may be drawn: visits of booths in scope, as they lay on the day of the visit or lie today. What is drawn: also for whom it was given to.
ALTER TABLE draw_frames ENABLE ROW LEVEL SECURITY;
ALTER TABLE draw_frames FORCE ROW LEVEL SECURITY;
CREATE POLICY draw_frames_seen ON draw_frames FOR SELECT USING (
    (SELECT wall_reads('visits'))
    OR EXISTS (SELECT 1 FROM draws d WHERE d.id = draw_frames.draw_id AND d.state_id = ANY ((SELECT wall_states())::integer[]))
    OR EXISTS (SELECT 1 FROM lineages l WHERE l.unit_id = draw_frames.booth_id AND l.unit_ids && (SELECT wall_roots())
        AND ((l.valid_from <= draw_frames.visited_on AND (l.valid_to IS NULL OR l.valid_to > draw_frames.visited_on))
          OR (l.valid_from <= (SELECT wall_today()) AND (l.valid_to IS NULL OR l.valid_to > (SELECT wall_today())))))
    OR EXISTS (SELECT 1 FROM draw_items i WHERE i.draw_id = draw_frames.draw_id AND i.place = draw_frames.place));
CREATE POLICY draw_frames_made ON draw_frames FOR INSERT WITH CHECK (
    EXISTS (SELECT 1 FROM draws d WHERE d.id = draw_frames.draw_id AND d.state_id = ANY ((SELECT wall_states())::integer[]))
    OR EXISTS (SELECT 1 FROM lineages l WHERE l.unit_id = draw_frames.booth_id AND l.unit_ids && (SELECT wall_roots())
        AND ((l.valid_from <= draw_frames.visited_on AND (l.valid_to IS NULL OR l.valid_to > draw_frames.visited_on))
          OR (l.valid_from <= (SELECT wall_today()) AND (l.valid_to IS NULL OR l.valid_to > (SELECT wall_today()))))));
ALTER TABLE draw_items ENABLE ROW LEVEL SECURITY;
ALTER TABLE draw_items FORCE ROW LEVEL SECURITY;
CREATE POLICY draw_items_seen ON draw_items FOR SELECT USING (
    (SELECT wall_reads('visits'))
    OR (SELECT wall_worker()) = ANY (verifier_ids)
    OR unit_ids && (SELECT wall_roots())
    OR EXISTS (SELECT 1 FROM draws d WHERE d.id = draw_items.draw_id AND d.state_id = ANY ((SELECT wall_states())::integer[])));
CREATE POLICY draw_items_made ON draw_items FOR INSERT WITH CHECK (
    unit_ids && (SELECT wall_roots())
    OR EXISTS (SELECT 1 FROM draws d WHERE d.id = draw_items.draw_id AND d.state_id = ANY ((SELECT wall_states())::integer[])));
CREATE POLICY draw_items_changed ON draw_items FOR UPDATE USING (true) WITH CHECK (
    unit_ids && (SELECT wall_roots())
    OR EXISTS (SELECT 1 FROM draws d WHERE d.id = draw_items.draw_id AND d.state_id = ANY ((SELECT wall_states())::integer[])));
ALTER TABLE back_checks ENABLE ROW LEVEL SECURITY;
ALTER TABLE back_checks FORCE ROW LEVEL SECURITY;
CREATE POLICY back_checks_seen ON back_checks FOR SELECT USING (
    (SELECT wall_reads('visits'))
    OR verifier_id = (SELECT wall_worker())
    OR EXISTS (SELECT 1 FROM draw_items i WHERE i.draw_id = back_checks.draw_id AND i.number = back_checks.number));
CREATE POLICY back_checks_made ON back_checks FOR INSERT WITH CHECK (
    EXISTS (SELECT 1 FROM draw_items i WHERE i.draw_id = back_checks.draw_id AND i.number = back_checks.number));
CREATE POLICY back_checks_changed ON back_checks FOR UPDATE USING (
    (SELECT wall_writes('visits')));

-- Reports on tasks and what was said to them: one's own, and those of units in scope or for which leave was given.
ALTER TABLE task_reports ENABLE ROW LEVEL SECURITY;
ALTER TABLE task_reports FORCE ROW LEVEL SECURITY;
CREATE POLICY task_reports_seen ON task_reports FOR SELECT USING (
    worker_id = (SELECT wall_worker())
    OR state_id = ANY ((SELECT wall_states())::integer[])
    OR unit_id = ANY ((SELECT wall_booths())::integer[])
    OR EXISTS (SELECT 1 FROM lineages l WHERE l.unit_id = task_reports.unit_id AND l.unit_ids && (SELECT wall_roots())
        AND l.valid_from <= (SELECT wall_today()) AND (l.valid_to IS NULL OR l.valid_to > (SELECT wall_today()))));
CREATE POLICY task_reports_made ON task_reports FOR INSERT WITH CHECK (
    state_id = ANY ((SELECT wall_states())::integer[])
    OR unit_id = ANY ((SELECT wall_booths())::integer[])
    OR EXISTS (SELECT 1 FROM lineages l WHERE l.unit_id = task_reports.unit_id AND l.unit_ids && (SELECT wall_roots())
        AND l.valid_from <= (SELECT wall_today()) AND (l.valid_to IS NULL OR l.valid_to > (SELECT wall_today()))));
ALTER TABLE task_verdicts ENABLE ROW LEVEL SECURITY;
ALTER TABLE task_verdicts FORCE ROW LEVEL SECURITY;
CREATE POLICY task_verdicts_seen ON task_verdicts FOR SELECT USING (
    judged_by = (SELECT wall_worker())
    OR EXISTS (SELECT 1 FROM task_reports r WHERE r.state_id = task_verdicts.state_id AND r.id = task_verdicts.report_id)
    OR state_id = ANY ((SELECT wall_states())::integer[])
    OR EXISTS (SELECT 1 FROM lineages l WHERE l.unit_id = task_verdicts.unit_id AND l.unit_ids && (SELECT wall_roots())
        AND l.valid_from <= (SELECT wall_today()) AND (l.valid_to IS NULL OR l.valid_to > (SELECT wall_today()))));
CREATE POLICY task_verdicts_made ON task_verdicts FOR INSERT WITH CHECK (
    state_id = ANY ((SELECT wall_states())::integer[])
    OR EXISTS (SELECT 1 FROM lineages l WHERE l.unit_id = task_verdicts.unit_id AND l.unit_ids && (SELECT wall_roots())
        AND l.valid_from <= (SELECT wall_today()) AND (l.valid_to IS NULL OR l.valid_to > (SELECT wall_today()))));

-- What the journal seals of rows beside visits (units, grants, campaigns, households, sign-offs, draws, tasks, committees,
-- exports): the hash of every version that a row had.
-- A trigger keeps it, so that no write can forget to; the entry of the write has the digest over them (docs/seals.md).
-- The lists of columns stand in src/features/seals/queries/rows.rs too, which computes the hashes anew.

SET LOCAL timezone = 'UTC';
SET LOCAL bytea_output = 'hex';

CREATE TABLE row_versions (
    kind text NOT NULL,
    id text NOT NULL,
    version integer NOT NULL CHECK (version >= 0),
    hash bytea CHECK (length(hash) = 32),
    write_id uuid NOT NULL,
    PRIMARY KEY (kind, id, version)
);
CREATE INDEX row_versions_write_idx ON row_versions (write_id);

COMMENT ON TABLE row_versions IS 'Hashes of every version of the rows that the journal seals. Never changed.';
COMMENT ON COLUMN row_versions.kind IS 'What the row is: unit, household, draw, task_report …';
COMMENT ON COLUMN row_versions.id IS 'The row''s key, its parts joined by a slash.';
COMMENT ON COLUMN row_versions.version IS 'From 1, without a hole; 0: what was there before versions were kept.';
COMMENT ON COLUMN row_versions.hash IS 'SHA-256 of the row''s columns as a JSON array; null: the row was deleted.';
COMMENT ON COLUMN row_versions.write_id IS 'The write that made it; all zeros for version 0.';

CREATE TABLE row_writes (
    write_id uuid PRIMARY KEY,
    leaf bytea NOT NULL CHECK (length(leaf) = 32)
);
CREATE INDEX row_writes_leaf_idx ON row_writes (leaf);

COMMENT ON TABLE row_writes IS 'Which entry of the journal tells of a write to the rows that it seals.';
COMMENT ON COLUMN row_writes.write_id IS 'The write: a transaction.';
COMMENT ON COLUMN row_writes.leaf IS 'The leaf hash of its entry, whose digest is over the versions that the write made.';

-- The name of the write that is this transaction.
CREATE FUNCTION row_write() RETURNS uuid LANGUAGE sql VOLATILE AS $$
    SELECT coalesce(nullif(current_setting('sampark.row_write', true), ''),
                    set_config('sampark.row_write', gen_random_uuid()::text, true))::uuid
$$;
COMMENT ON FUNCTION row_write() IS 'The name of the write that is this transaction: row_versions.write_id.';

-- The program's verification reads what it holds against the journal.
CREATE POLICY task_reports_verified ON task_reports FOR SELECT USING ((SELECT wall_reads('visits')));
CREATE POLICY task_verdicts_verified ON task_verdicts FOR SELECT USING ((SELECT wall_reads('visits')));

DO $do$
DECLARE
    t record;
BEGIN
    FOR t IN SELECT * FROM (VALUES
        ('unit', 'units', $$c.id::text$$,
         'c.id, c.code, c.level, c.name, c.name_local, c.state_id, c.electors, c.doors, c.lat, c.lon, c.version, c.created_at, c.updated_at'),
        ('placement', 'placements', $$c.unit_id || '/' || c.tree || '/' || c.valid_from$$,
         'c.unit_id, c.tree, c.parent_id, c.valid_from, c.valid_to'),
        ('grant', 'grants', $$c.id::text$$,
         'c.id, c.worker_id, c.role, c.unit_id, c.valid_from, c.valid_to, c.given_by, c.created_at, c.ended_at, c.ended_by, c.post'),
        ('campaign', 'campaigns', $$c.id::text$$,
         'c.id, c.unit_id, c.name, c.starts_on, c.ends_on, c.collect_support, c.issues, c.targets, c.question_version, c.version, c.created_by, c.created_at, c.updated_at, c.retention_days, c.bounds'),
        ('questions', 'campaign_questions', $$c.campaign_id || '/' || c.version$$,
         'c.campaign_id, c.version, c.questions, c.created_at'),
        ('household', 'households', $$c.state_id || '/' || c.id$$,
         'c.id, c.state_id, c.booth_id, c.label, c.electors, c.lat, c.lon, c.version, c.created_by, c.created_at, c.updated_at'),
        ('sign_off', 'sign_offs', $$c.id::text$$,
         'c.id, c.state_id, c.mandal_id, c.week_start, c.signed_by, c.signed_at, c.reopened_by, c.reopened_at, c.reopen_reason'),
        ('draw', 'draws', $$c.id::text$$,
         'c.id, c.state_id, c.unit_id, c.campaign_id, c.from_on, c.to_on, c.outcomes, c.strata, c.acceptable, c.unacceptable, c.producer_risk, c.consumer_risk, c.planned_size, c.planned_decision, c.size, c.decision_number, c.unconfirmed, c.compare, c.frame_size, c.frame_digest, c.requested_by, c.requested_at, c.entry_number, c.head_size, c.seed, c.drawn_at, c.closed_by, c.closed_at, c.close_reason, c.verdict, c.final_decision, c.final_matched, c.final_mismatched, c.final_unconfirmed, c.final_unfinished'),
        ('draw_booth', 'draw_booths', $$c.draw_id || '/' || c.booth_id || '/' || c.lineage_from$$,
         'c.draw_id, c.booth_id, c.lineage_from, c.unit_ids, c.visits'),
        ('draw_item', 'draw_items', $$c.draw_id || '/' || c.number$$,
         'c.draw_id, c.number, c.place, c.unit_ids, c.verifier_id, c.verifier_ids, c.assigned_by, c.assigned_at'),
        ('task', 'tasks', $$c.id::text$$,
         'c.id, c.state_id, c.unit_id, c.level, c.target_set_id, c.seats, c.title, c.instructions, c.evidence, c.set_on, c.due_on, c.part_of, c.owner_id, c.version, c.created_by, c.created_at, c.changed_by, c.changed_at, c.change_reason, c.cancelled_at'),
        ('task_version', 'task_versions', $$c.task_id || '/' || c.version$$,
         'c.task_id, c.version, c.title, c.instructions, c.due_on, c.changed_by, c.changed_at, c.change_reason'),
        ('task_report', 'task_reports', $$c.state_id || '/' || c.id$$,
         'c.state_id, c.id, c.task_id, c.unit_id, c.worker_id, c.reported_at, c.received_at, c.counted_at, c.status, c.progress, c.count, c.note, c.photo, c.sent_digest'),
        ('task_unit', 'task_units', $$c.state_id || '/' || c.unit_id || '/' || c.task_id$$,
         'c.state_id, c.unit_id, c.task_id, c.status, c.report_id, c.reported_by, c.counted_at, c.progress, c.reason, c.judged_by, c.judged_at'),
        ('task_verdict', 'task_verdicts', $$c.id::text$$,
         'c.id, c.state_id, c.task_id, c.unit_id, c.report_id, c.verdict, c.reason, c.judged_by, c.judged_at'),
        ('committee_rule', 'committee_rules', $$c.unit_id || '/' || c.campaign_id || '/' || c.version$$,
         'c.unit_id, c.campaign_id, c.version, c.posts, c.reason, c.made_by, c.made_at'),
        ('post_confirmation', 'post_confirmations', $$c.grant_id::text$$,
         'c.grant_id, c.confirmed_at'),
        ('visit_export', 'visit_exports', $$c.id::text$$,
         'c.id, c.state_id, c.unit_ids, c.filter, c.exported_by, c.started_at, c.ended_at, c.visits')
    ) AS t (kind, name, key, columns) LOOP
        EXECUTE format($f$
            CREATE FUNCTION keep_%1$s_versions() RETURNS trigger LANGUAGE plpgsql
                SET timezone = 'UTC' SET datestyle = 'ISO' SET bytea_output = 'hex' AS $body$
            BEGIN
                INSERT INTO row_versions (kind, id, version, hash, write_id)
                SELECT %2$L, n.id,
                       coalesce((SELECT max(v.version) FROM row_versions v WHERE v.kind = %2$L AND v.id = n.id), 0) + 1,
                       n.hash, row_write()
                FROM (SELECT %3$s AS id, CASE WHEN TG_OP <> 'DELETE'
                                              THEN sha256(convert_to(jsonb_build_array(%4$s)::text, 'UTF8')) END AS hash
                      FROM changed c) AS n;
                RETURN NULL;
            END $body$
        $f$, t.name, t.kind, t.key, t.columns);
        EXECUTE format('COMMENT ON FUNCTION keep_%s_versions() IS %L', t.name,
                       'Keeps the hash of each version of ' || t.name || ' in row_versions.');
        EXECUTE format('CREATE TRIGGER keep_versions_insert AFTER INSERT ON %I REFERENCING NEW TABLE AS changed
                        FOR EACH STATEMENT EXECUTE FUNCTION keep_%s_versions()', t.name, t.name);
        EXECUTE format('CREATE TRIGGER keep_versions_update AFTER UPDATE ON %I REFERENCING NEW TABLE AS changed
                        FOR EACH STATEMENT EXECUTE FUNCTION keep_%s_versions()', t.name, t.name);
        EXECUTE format('CREATE TRIGGER keep_versions_delete AFTER DELETE ON %I REFERENCING OLD TABLE AS changed
                        FOR EACH STATEMENT EXECUTE FUNCTION keep_%s_versions()', t.name, t.name);
        EXECUTE format($f$
            INSERT INTO row_versions (kind, id, version, hash, write_id)
            SELECT %L, %s, 0, sha256(convert_to(jsonb_build_array(%s)::text, 'UTF8')), '00000000-0000-0000-0000-000000000000'
            FROM %I c
        $f$, t.kind, t.key, t.columns, t.name);
    END LOOP;
END $do$;

-- What the journal seals of units, grants, campaigns, households and sign-offs: the hash of every version that a row had.
-- A trigger keeps it, so that no write can forget to; the entry of the write has the digest over them (docs/seals.md).
-- The lists of columns stand in src/features/seals/queries/rows.rs too, which computes the hashes anew.

SET LOCAL timezone = 'UTC';

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
COMMENT ON COLUMN row_versions.kind IS 'unit, placement, grant, campaign, questions, household or sign_off.';
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
         'c.id, c.state_id, c.mandal_id, c.week_start, c.signed_by, c.signed_at, c.reopened_by, c.reopened_at, c.reopen_reason')
    ) AS t (kind, name, key, columns) LOOP
        EXECUTE format($f$
            CREATE FUNCTION keep_%1$s_versions() RETURNS trigger LANGUAGE plpgsql SET timezone = 'UTC' SET datestyle = 'ISO' AS $body$
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

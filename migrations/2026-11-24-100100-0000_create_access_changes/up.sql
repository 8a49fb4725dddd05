-- What was taken away or given, for every process that remembers sessions: one small poll instead of a look at each
-- session on each request. Triggers write it, so that no way of changing the tables can forget to.

CREATE TABLE access_changes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    worker_id integer,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX access_changes_xid_idx ON access_changes (xid);

COMMENT ON TABLE access_changes IS 'Whose sessions or grants changed; what processes remember of him is then read again. Kept for an hour.';
COMMENT ON COLUMN access_changes.id IS 'Number of the row.';
COMMENT ON COLUMN access_changes.worker_id IS 'Whose; null: many at once, everyone is read again.';
COMMENT ON COLUMN access_changes.xid IS 'The transaction: a reader asks for what its last snapshot did not show, so that no order of commits hides a row.';
COMMENT ON COLUMN access_changes.at IS 'When.';

CREATE FUNCTION note_access_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO access_changes (worker_id)
        SELECT CASE WHEN count(*) OVER () <= 100 THEN worker_id END
        FROM (SELECT DISTINCT worker_id FROM changed) AS c LIMIT 100;
    ELSE
        INSERT INTO access_changes (worker_id)
        SELECT CASE WHEN count(*) OVER () <= 100 THEN worker_id END
        FROM (SELECT DISTINCT worker_id FROM gone) AS c LIMIT 100;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION note_access_changes() IS 'Notes whose grants or sessions a statement changed; more than a hundred at once are everyone.';

CREATE TRIGGER grants_given AFTER INSERT ON grants
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_access_changes();
CREATE TRIGGER grants_changed AFTER UPDATE ON grants
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION note_access_changes();
CREATE TRIGGER grants_gone AFTER DELETE ON grants
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION note_access_changes();
CREATE TRIGGER sessions_changed AFTER UPDATE ON sessions
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION note_access_changes();
CREATE TRIGGER sessions_gone AFTER DELETE ON sessions
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION note_access_changes();

CREATE FUNCTION note_worker_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO access_changes (worker_id) VALUES (OLD.id);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION note_worker_change() IS 'Notes a worker who became active or inactive.';

CREATE TRIGGER workers_activity_changed AFTER UPDATE OF active ON workers
    FOR EACH ROW WHEN (OLD.active IS DISTINCT FROM NEW.active) EXECUTE FUNCTION note_worker_change();

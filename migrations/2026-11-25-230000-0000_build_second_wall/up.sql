-- The second wall: what the program's server may touch, and which rows of people's data a transaction may see. The first
-- wall are the questions that every handler asks (src/access/policy.rs); this one holds when a WHERE is forgotten.
-- See src/platform/wall.rs for who sets the scope, docs/operating.md for the roles.

-- The role that serves. It may log in only where an operator (or the private PostgreSQL) says so. Roles belong to the
-- whole server, so another database may have made it before.
DO $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'sampark_server') THEN
        CREATE ROLE sampark_server NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS NOINHERIT;
    END IF;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;
    WHEN insufficient_privilege THEN
        RAISE EXCEPTION 'the role sampark_server is missing and % may not make it', current_user
            USING HINT = 'As a superuser: CREATE ROLE sampark_server LOGIN PASSWORD ''…''; see docs/operating.md.';
END
$$;

-- Who migrates may take on the role, so that one DATABASE_URL is enough to try things out; a superuser may anyway.
DO $$
BEGIN
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
       AND NOT pg_has_role(current_user, 'sampark_server', 'MEMBER') THEN
        EXECUTE format('GRANT sampark_server TO %I', current_user);
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN NULL;
END
$$;

GRANT USAGE ON SCHEMA public TO sampark_server;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO sampark_server;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO sampark_server;
DO $$
BEGIN
    IF to_regclass('__diesel_schema_migrations') IS NOT NULL THEN
        REVOKE INSERT, UPDATE, DELETE ON __diesel_schema_migrations FROM sampark_server;
    END IF;
END
$$;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO sampark_server;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO sampark_server;

-- Only an owner may VACUUM: the inboxes, emptied several times a second, are left to autovacuum, which does not dawdle.
ALTER TABLE journal_inbox SET (autovacuum_vacuum_cost_delay = 0);
ALTER TABLE tally_inbox SET (autovacuum_vacuum_cost_delay = 0);

-- Only an owner may ANALYZE too: an import, after which the planner would not know the trees any more, does it through this.
CREATE FUNCTION analyze_units() RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    ANALYZE public.units, public.placements, public.lineages;
END
$$;
REVOKE EXECUTE ON FUNCTION analyze_units() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION analyze_units() TO sampark_server;
COMMENT ON FUNCTION analyze_units() IS 'Tells the planner anew how large units, placements and lineages are.';

-- The scope of a transaction. Each is asked once a statement (as a sub-select), never once a row; unset is null, and null
-- lets nothing through.
CREATE FUNCTION wall_worker() RETURNS integer LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('sampark.worker', true), '')::integer;
CREATE FUNCTION wall_roots() RETURNS integer[] LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('sampark.roots', true), '')::integer[];
CREATE FUNCTION wall_states() RETURNS integer[] LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('sampark.states', true), '')::integer[];
CREATE FUNCTION wall_today() RETURNS date LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('sampark.today', true), '')::date;
CREATE FUNCTION wall_booths() RETURNS integer[] LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('sampark.booths', true), '')::integer[];
CREATE FUNCTION wall_reads(area text) RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE
    RETURN coalesce(ARRAY[area, '*'] && nullif(current_setting('sampark.reads', true), '')::text[], false);
CREATE FUNCTION wall_writes(area text) RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE
    RETURN coalesce(ARRAY[area, '*'] && nullif(current_setting('sampark.writes', true), '')::text[], false);

COMMENT ON FUNCTION wall_worker() IS 'The worker for whom the transaction is: his own rows are his.';
COMMENT ON FUNCTION wall_roots() IS 'The units at which he holds a grant today: rows under them are in scope.';
COMMENT ON FUNCTION wall_states() IS 'The states that lie wholly in scope: their rows are known by state_id, without a look at their lineage.';
COMMENT ON FUNCTION wall_today() IS 'The day of the request in the operating time zone.';
COMMENT ON FUNCTION wall_booths() IS 'Booths for which access/policy.rs gave leave in this transaction by a grant that held on an earlier day.';
COMMENT ON FUNCTION wall_reads(text) IS 'Whether a task of the program itself reads this area (src/platform/wall.rs); * stands for all.';
COMMENT ON FUNCTION wall_writes(text) IS 'Whether a task of the program itself writes this area.';

-- Visits: one's own; those of booths in scope, as they lie today or lay on the day of the visit. A visit is written only in
-- a booth in scope, or one for which leave was given.
ALTER TABLE visits ENABLE ROW LEVEL SECURITY;
ALTER TABLE visits FORCE ROW LEVEL SECURITY;
CREATE POLICY visits_seen ON visits FOR SELECT USING (
    (SELECT wall_reads('visits'))
    OR worker_id = (SELECT wall_worker())
    OR state_id = ANY ((SELECT wall_states())::integer[])
    OR booth_id = ANY ((SELECT wall_booths())::integer[])
    OR EXISTS (SELECT 1 FROM lineages l WHERE l.unit_id = visits.booth_id AND l.unit_ids && (SELECT wall_roots())
        AND ((l.valid_from <= visits.visited_on AND (l.valid_to IS NULL OR l.valid_to > visits.visited_on))
          OR (l.valid_from <= (SELECT wall_today()) AND (l.valid_to IS NULL OR l.valid_to > (SELECT wall_today()))))));
CREATE POLICY visits_made ON visits FOR INSERT WITH CHECK (
    (SELECT wall_writes('visits'))
    OR booth_id = ANY ((SELECT wall_booths())::integer[]));
CREATE POLICY visits_changed ON visits FOR UPDATE USING (true) WITH CHECK (
    (SELECT wall_writes('visits'))
    OR state_id = ANY ((SELECT wall_states())::integer[])
    OR booth_id = ANY ((SELECT wall_booths())::integer[])
    OR EXISTS (SELECT 1 FROM lineages l WHERE l.unit_id = visits.booth_id AND l.unit_ids && (SELECT wall_roots())
        AND ((l.valid_from <= visits.visited_on AND (l.valid_to IS NULL OR l.valid_to > visits.visited_on))
          OR (l.valid_from <= (SELECT wall_today()) AND (l.valid_to IS NULL OR l.valid_to > (SELECT wall_today()))))));
CREATE POLICY visits_removed ON visits FOR DELETE USING ((SELECT wall_writes('visits')));

ALTER TABLE visit_versions ENABLE ROW LEVEL SECURITY;
ALTER TABLE visit_versions FORCE ROW LEVEL SECURITY;
CREATE POLICY visit_versions_seen ON visit_versions FOR SELECT USING (
    (SELECT wall_reads('visits'))
    OR state_id = ANY ((SELECT wall_states())::integer[])
    OR EXISTS (SELECT 1 FROM visits v WHERE v.state_id = visit_versions.state_id AND v.id = visit_versions.visit_id));
CREATE POLICY visit_versions_kept ON visit_versions FOR INSERT WITH CHECK (
    EXISTS (SELECT 1 FROM visits v WHERE v.state_id = visit_versions.state_id AND v.id = visit_versions.visit_id));
CREATE POLICY visit_versions_changed ON visit_versions FOR UPDATE USING ((SELECT wall_writes('visits')));
CREATE POLICY visit_versions_removed ON visit_versions FOR DELETE USING ((SELECT wall_writes('visits')));

-- Households: those of booths in scope today, or for which leave was given.
ALTER TABLE households ENABLE ROW LEVEL SECURITY;
ALTER TABLE households FORCE ROW LEVEL SECURITY;
CREATE POLICY households_seen ON households FOR SELECT USING (
    (SELECT wall_reads('visits'))
    OR state_id = ANY ((SELECT wall_states())::integer[])
    OR booth_id = ANY ((SELECT wall_booths())::integer[])
    OR EXISTS (SELECT 1 FROM lineages l WHERE l.unit_id = households.booth_id AND l.unit_ids && (SELECT wall_roots())
        AND l.valid_from <= (SELECT wall_today()) AND (l.valid_to IS NULL OR l.valid_to > (SELECT wall_today()))));
CREATE POLICY households_made ON households FOR INSERT WITH CHECK (
    (SELECT wall_writes('visits'))
    OR state_id = ANY ((SELECT wall_states())::integer[])
    OR EXISTS (SELECT 1 FROM lineages l WHERE l.unit_id = households.booth_id AND l.unit_ids && (SELECT wall_roots())
        AND l.valid_from <= (SELECT wall_today()) AND (l.valid_to IS NULL OR l.valid_to > (SELECT wall_today()))));
CREATE POLICY households_changed ON households FOR UPDATE USING (true) WITH CHECK (
    (SELECT wall_writes('visits'))
    OR state_id = ANY ((SELECT wall_states())::integer[])
    OR EXISTS (SELECT 1 FROM lineages l WHERE l.unit_id = households.booth_id AND l.unit_ids && (SELECT wall_roots())
        AND l.valid_from <= (SELECT wall_today()) AND (l.valid_to IS NULL OR l.valid_to > (SELECT wall_today()))));
CREATE POLICY households_removed ON households FOR DELETE USING ((SELECT wall_writes('visits')));

-- Doors: those of households in scope.
ALTER TABLE doors ENABLE ROW LEVEL SECURITY;
ALTER TABLE doors FORCE ROW LEVEL SECURITY;
CREATE POLICY doors_seen ON doors FOR SELECT USING (
    (SELECT wall_reads('visits'))
    OR EXISTS (SELECT 1 FROM households h WHERE h.state_id = doors.state_id AND h.id = doors.household_id));
CREATE POLICY doors_made ON doors FOR INSERT WITH CHECK (
    (SELECT wall_writes('doors'))
    OR EXISTS (SELECT 1 FROM households h WHERE h.state_id = doors.state_id AND h.id = doors.household_id));
CREATE POLICY doors_changed ON doors FOR UPDATE USING (true) WITH CHECK (
    (SELECT wall_writes('doors'))
    OR EXISTS (SELECT 1 FROM households h WHERE h.state_id = doors.state_id AND h.id = doors.household_id));
CREATE POLICY doors_removed ON doors FOR DELETE USING ((SELECT wall_writes('doors')));

-- Workers: oneself; who has his home in scope; who holds a grant there that has not ended. Grants stand open: a decision made
-- without one that was hidden would be a wrong one.
ALTER TABLE workers ENABLE ROW LEVEL SECURITY;
ALTER TABLE workers FORCE ROW LEVEL SECURITY;
CREATE POLICY workers_seen ON workers FOR SELECT USING (
    (SELECT wall_reads('roster'))
    OR id = (SELECT wall_worker())
    OR EXISTS (SELECT 1 FROM lineages l WHERE l.unit_id = workers.unit_id AND l.unit_ids && (SELECT wall_roots())
        AND l.valid_from <= (SELECT wall_today()) AND (l.valid_to IS NULL OR l.valid_to > (SELECT wall_today())))
    OR EXISTS (SELECT 1 FROM grants g JOIN lineages l ON l.unit_id = g.unit_id
        WHERE g.worker_id = workers.id AND g.ended_at IS NULL AND l.unit_ids && (SELECT wall_roots())
        AND l.valid_from <= (SELECT wall_today()) AND (l.valid_to IS NULL OR l.valid_to > (SELECT wall_today()))));
CREATE POLICY workers_made ON workers FOR INSERT WITH CHECK (
    (SELECT wall_writes('roster'))
    OR EXISTS (SELECT 1 FROM lineages l WHERE l.unit_id = workers.unit_id AND l.unit_ids && (SELECT wall_roots())
        AND l.valid_from <= (SELECT wall_today()) AND (l.valid_to IS NULL OR l.valid_to > (SELECT wall_today()))));
CREATE POLICY workers_changed ON workers FOR UPDATE USING (true) WITH CHECK (
    (SELECT wall_writes('roster'))
    OR id = (SELECT wall_worker())
    OR EXISTS (SELECT 1 FROM lineages l WHERE l.unit_id = workers.unit_id AND l.unit_ids && (SELECT wall_roots())
        AND l.valid_from <= (SELECT wall_today()) AND (l.valid_to IS NULL OR l.valid_to > (SELECT wall_today())))
    OR EXISTS (SELECT 1 FROM grants g JOIN lineages l ON l.unit_id = g.unit_id
        WHERE g.worker_id = workers.id AND g.ended_at IS NULL AND l.unit_ids && (SELECT wall_roots())
        AND l.valid_from <= (SELECT wall_today()) AND (l.valid_to IS NULL OR l.valid_to > (SELECT wall_today()))));
CREATE POLICY workers_removed ON workers FOR DELETE USING ((SELECT wall_writes('roster')));

-- What signs a worker in, and what his phones are told of it: his own, and of workers in scope, whom whoever manages them helps.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['otp_challenges', 'devices', 'sessions', 'sign_in_guards', 'second_factors', 'notices'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY %I ON %I FOR SELECT USING ((SELECT wall_reads(''sign_in''))
            OR worker_id = (SELECT wall_worker())
            OR EXISTS (SELECT 1 FROM workers w WHERE w.id = worker_id))', name || '_seen', name);
        EXECUTE format('CREATE POLICY %I ON %I FOR INSERT WITH CHECK ((SELECT wall_writes(''sign_in''))
            OR worker_id = (SELECT wall_worker())
            OR EXISTS (SELECT 1 FROM workers w WHERE w.id = worker_id))', name || '_made', name);
        EXECUTE format('CREATE POLICY %I ON %I FOR UPDATE USING (true) WITH CHECK ((SELECT wall_writes(''sign_in''))
            OR worker_id = (SELECT wall_worker())
            OR EXISTS (SELECT 1 FROM workers w WHERE w.id = worker_id))', name || '_changed', name);
        EXECUTE format('CREATE POLICY %I ON %I FOR DELETE USING ((SELECT wall_writes(''sign_in''))
            OR worker_id = (SELECT wall_worker())
            OR EXISTS (SELECT 1 FROM workers w WHERE w.id = worker_id))', name || '_removed', name);
    END LOOP;
END
$$;

-- Refresh tokens and codes on their way: nobody's but the program's own, when it signs people in.
ALTER TABLE refresh_tokens ENABLE ROW LEVEL SECURITY;
ALTER TABLE refresh_tokens FORCE ROW LEVEL SECURITY;
CREATE POLICY refresh_tokens_seen ON refresh_tokens FOR SELECT USING ((SELECT wall_reads('sign_in')));
CREATE POLICY refresh_tokens_written ON refresh_tokens FOR ALL USING ((SELECT wall_writes('sign_in')));
ALTER TABLE otp_outbox ENABLE ROW LEVEL SECURITY;
ALTER TABLE otp_outbox FORCE ROW LEVEL SECURITY;
CREATE POLICY otp_outbox_seen ON otp_outbox FOR SELECT USING ((SELECT wall_reads('sign_in')));
CREATE POLICY otp_outbox_written ON otp_outbox FOR ALL USING ((SELECT wall_writes('sign_in')));

-- Answers kept for Idempotency-Key: one's own.
ALTER TABLE idempotency_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE idempotency_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY idempotency_keys_own ON idempotency_keys FOR ALL USING (
    (SELECT wall_writes('answers')) OR actor_id = (SELECT wall_worker()));

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

-- Citizens' contacts: those that one recorded, and those of booths in scope today.
ALTER TABLE contacts ENABLE ROW LEVEL SECURITY;
ALTER TABLE contacts FORCE ROW LEVEL SECURITY;
CREATE POLICY contacts_seen ON contacts FOR SELECT USING (
    (SELECT wall_reads('contacts'))
    OR recorded_by = (SELECT wall_worker())
    OR state_id = ANY ((SELECT wall_states())::integer[])
    OR EXISTS (SELECT 1 FROM lineages l WHERE l.unit_id = contacts.booth_id AND l.unit_ids && (SELECT wall_roots())
        AND l.valid_from <= (SELECT wall_today()) AND (l.valid_to IS NULL OR l.valid_to > (SELECT wall_today()))));
CREATE POLICY contacts_made ON contacts FOR INSERT WITH CHECK (
    (SELECT wall_writes('contacts'))
    OR state_id = ANY ((SELECT wall_states())::integer[])
    OR EXISTS (SELECT 1 FROM lineages l WHERE l.unit_id = contacts.booth_id AND l.unit_ids && (SELECT wall_roots())
        AND l.valid_from <= (SELECT wall_today()) AND (l.valid_to IS NULL OR l.valid_to > (SELECT wall_today()))));
CREATE POLICY contacts_changed ON contacts FOR UPDATE USING (true) WITH CHECK (
    (SELECT wall_writes('contacts'))
    OR state_id = ANY ((SELECT wall_states())::integer[])
    OR EXISTS (SELECT 1 FROM lineages l WHERE l.unit_id = contacts.booth_id AND l.unit_ids && (SELECT wall_roots())
        AND l.valid_from <= (SELECT wall_today()) AND (l.valid_to IS NULL OR l.valid_to > (SELECT wall_today()))));
CREATE POLICY contacts_removed ON contacts FOR DELETE USING ((SELECT wall_writes('contacts')));

-- Webhooks: those of units in scope today; their secrets and what waits for them go with them.
ALTER TABLE webhooks ENABLE ROW LEVEL SECURITY;
ALTER TABLE webhooks FORCE ROW LEVEL SECURITY;
CREATE POLICY webhooks_seen ON webhooks FOR SELECT USING (
    (SELECT wall_reads('webhooks'))
    OR EXISTS (SELECT 1 FROM lineages l WHERE l.unit_id = webhooks.unit_id AND l.unit_ids && (SELECT wall_roots())
        AND l.valid_from <= (SELECT wall_today()) AND (l.valid_to IS NULL OR l.valid_to > (SELECT wall_today()))));
CREATE POLICY webhooks_made ON webhooks FOR INSERT WITH CHECK (
    EXISTS (SELECT 1 FROM lineages l WHERE l.unit_id = webhooks.unit_id AND l.unit_ids && (SELECT wall_roots())
        AND l.valid_from <= (SELECT wall_today()) AND (l.valid_to IS NULL OR l.valid_to > (SELECT wall_today()))));
CREATE POLICY webhooks_changed ON webhooks FOR UPDATE USING (true) WITH CHECK (
    (SELECT wall_writes('webhooks'))
    OR EXISTS (SELECT 1 FROM lineages l WHERE l.unit_id = webhooks.unit_id AND l.unit_ids && (SELECT wall_roots())
        AND l.valid_from <= (SELECT wall_today()) AND (l.valid_to IS NULL OR l.valid_to > (SELECT wall_today()))));
CREATE POLICY webhooks_removed ON webhooks FOR DELETE USING (
    EXISTS (SELECT 1 FROM lineages l WHERE l.unit_id = webhooks.unit_id AND l.unit_ids && (SELECT wall_roots())
        AND l.valid_from <= (SELECT wall_today()) AND (l.valid_to IS NULL OR l.valid_to > (SELECT wall_today()))));
ALTER TABLE webhook_secrets ENABLE ROW LEVEL SECURITY;
ALTER TABLE webhook_secrets FORCE ROW LEVEL SECURITY;
CREATE POLICY webhook_secrets_held ON webhook_secrets FOR ALL USING (
    (SELECT wall_writes('webhooks'))
    OR EXISTS (SELECT 1 FROM webhooks w WHERE w.id = webhook_secrets.webhook_id));
ALTER TABLE webhook_batches ENABLE ROW LEVEL SECURITY;
ALTER TABLE webhook_batches FORCE ROW LEVEL SECURITY;
CREATE POLICY webhook_batches_held ON webhook_batches FOR ALL USING (
    (SELECT wall_writes('webhooks'))
    OR EXISTS (SELECT 1 FROM webhooks w WHERE w.id = webhook_batches.webhook_id));

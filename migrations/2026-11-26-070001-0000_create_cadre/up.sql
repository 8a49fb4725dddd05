-- Cadre: posts named, confirmed by their holders; what a booth's committee must have; and how many of it there are. See
-- src/features/cadre/mod.rs.

ALTER TABLE grants ADD COLUMN post text CHECK (post ~ '^[a-z][a-z0-9_]{0,39}$');
COMMENT ON COLUMN grants.post IS 'The office that goes with the role (president, secretary); null: the role itself is the post.';

CREATE TABLE post_confirmations (
    grant_id integer PRIMARY KEY REFERENCES grants (id) ON DELETE CASCADE,
    confirmed_at timestamptz NOT NULL
);

COMMENT ON TABLE post_confirmations IS 'Posts that their holders confirmed from their own phones, in sessions begun by a code sent to them. From which phone, the journal tells.';
COMMENT ON COLUMN post_confirmations.grant_id IS 'The post.';
COMMENT ON COLUMN post_confirmations.confirmed_at IS 'When; the first time.';

CREATE TABLE committee_rules (
    unit_id integer NOT NULL REFERENCES units (id),
    campaign_id integer NOT NULL,
    version integer NOT NULL CHECK (version > 0),
    posts jsonb NOT NULL,
    reason text NOT NULL CHECK (length(reason) BETWEEN 1 AND 500),
    made_by integer REFERENCES workers (id),
    made_at timestamptz NOT NULL,
    PRIMARY KEY (unit_id, campaign_id, version)
);
CREATE INDEX committee_rules_campaign_idx ON committee_rules (campaign_id, unit_id, version);

COMMENT ON TABLE committee_rules IS 'Which posts a booth''s committee must have. The newest version counts; a state''s comes before the nation''s.';
COMMENT ON COLUMN committee_rules.unit_id IS 'A state, or the nation for the states that have none.';
COMMENT ON COLUMN committee_rules.campaign_id IS 'The campaign that wants it so; 0: the rule that stands.';
COMMENT ON COLUMN committee_rules.version IS 'From 1; none is ever changed.';
COMMENT ON COLUMN committee_rules.posts IS '[{"post","count"}]; empty: no committee is wanted.';
COMMENT ON COLUMN committee_rules.reason IS 'Why it was made.';
COMMENT ON COLUMN committee_rules.made_by IS 'Who made it; null for the command line.';
COMMENT ON COLUMN committee_rules.made_at IS 'When.';

-- The counts: of each unit as last counted, their sums by place, and which units changed since. Whoever reads adds what
-- changed since, so that figures are exact at once and no write waits for another.
CREATE TABLE cadre_units (
    unit_id integer NOT NULL,
    campaign_id integer NOT NULL,
    state_id integer NOT NULL,
    place_id integer NOT NULL,
    seat_id integer NOT NULL,
    booths integer NOT NULL,
    doors integer NOT NULL,
    workers integer NOT NULL,
    posts integer NOT NULL,
    held integer NOT NULL,
    confirmed integer NOT NULL,
    committees integer NOT NULL,
    named integer NOT NULL,
    complete integer NOT NULL,
    next_change_on date,
    PRIMARY KEY (unit_id, campaign_id)
);
CREATE INDEX cadre_units_next_idx ON cadre_units (state_id, next_change_on) WHERE next_change_on IS NOT NULL;
CREATE INDEX cadre_units_wanting_idx ON cadre_units (campaign_id, unit_id) WHERE confirmed < posts;

COMMENT ON TABLE cadre_units IS 'What was last counted at each unit itself, not below it; derived, and counted anew whenever something changes.';
COMMENT ON COLUMN cadre_units.unit_id IS 'The unit.';
COMMENT ON COLUMN cadre_units.campaign_id IS 'Whose committee rule; 0: the rule that stands. Booths, doors and workers are counted under 0 alone.';
COMMENT ON COLUMN cadre_units.state_id IS 'Its state.';
COMMENT ON COLUMN cadre_units.place_id IS 'Of a booth, what it lay under in the organisation; of any other unit, itself.';
COMMENT ON COLUMN cadre_units.seat_id IS 'Of a booth, what it lay under in the electorate; 0: nothing, or no booth.';
COMMENT ON COLUMN cadre_units.booths IS '1 for a booth.';
COMMENT ON COLUMN cadre_units.doors IS 'Doors of a booth, 0 where unknown.';
COMMENT ON COLUMN cadre_units.workers IS 'Active workers on the unit''s own roster.';
COMMENT ON COLUMN cadre_units.posts IS 'Posts that the rule wants.';
COMMENT ON COLUMN cadre_units.held IS 'How many of them somebody holds.';
COMMENT ON COLUMN cadre_units.confirmed IS 'How many of them are held by somebody who confirmed it.';
COMMENT ON COLUMN cadre_units.committees IS '1 where the rule wants a committee.';
COMMENT ON COLUMN cadre_units.named IS '1 if all posts are held, confirmed or not.';
COMMENT ON COLUMN cadre_units.complete IS '1 if all posts are held and confirmed.';
COMMENT ON COLUMN cadre_units.next_change_on IS 'The day on which it changes though nobody writes: a post begins or ends, the booth moves.';

CREATE TABLE cadre_tallies (
    state_id integer NOT NULL,
    campaign_id integer NOT NULL,
    place_id integer NOT NULL,
    seat_id integer NOT NULL,
    day date NOT NULL,
    booths integer NOT NULL,
    doors integer NOT NULL,
    workers integer NOT NULL,
    posts integer NOT NULL,
    held integer NOT NULL,
    confirmed integer NOT NULL,
    committees integer NOT NULL,
    named integer NOT NULL,
    complete integer NOT NULL
);
CREATE INDEX cadre_tallies_state_idx ON cadre_tallies (state_id);

COMMENT ON TABLE cadre_tallies IS 'Changes of the counts by place and seat, by the day on which they were counted: their sum is what there is. Appended, and now and then summed up.';
COMMENT ON COLUMN cadre_tallies.state_id IS 'The state.';
COMMENT ON COLUMN cadre_tallies.campaign_id IS 'As in cadre_units.';
COMMENT ON COLUMN cadre_tallies.place_id IS 'As in cadre_units.';
COMMENT ON COLUMN cadre_tallies.seat_id IS 'As in cadre_units.';
COMMENT ON COLUMN cadre_tallies.day IS 'The day on which the change was counted; of old changes, the last day of which no more is told apart.';
COMMENT ON COLUMN cadre_tallies.booths IS 'Booths that came, less those that went.';
COMMENT ON COLUMN cadre_tallies.doors IS 'The same of doors.';
COMMENT ON COLUMN cadre_tallies.workers IS 'The same of active workers.';
COMMENT ON COLUMN cadre_tallies.posts IS 'The same of posts wanted.';
COMMENT ON COLUMN cadre_tallies.held IS 'The same of posts held.';
COMMENT ON COLUMN cadre_tallies.confirmed IS 'The same of posts confirmed.';
COMMENT ON COLUMN cadre_tallies.committees IS 'The same of committees wanted.';
COMMENT ON COLUMN cadre_tallies.named IS 'The same of committees all of whose posts are held.';
COMMENT ON COLUMN cadre_tallies.complete IS 'The same of committees all of whose posts are confirmed.';

CREATE TABLE cadre_changes (
    state_id integer NOT NULL,
    unit_id integer NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

COMMENT ON TABLE cadre_changes IS 'Units at which something changed since they were last counted. Triggers write it, so that no way of changing the tables can forget to. Without an index, since it is empty most of the time.';
COMMENT ON COLUMN cadre_changes.state_id IS 'The state.';
COMMENT ON COLUMN cadre_changes.unit_id IS 'The unit.';

-- Of entrants there are few: they are counted as they are asked for.
CREATE INDEX workers_entrants_idx ON workers (unit_id) WHERE origin_party IS NOT NULL;

CREATE FUNCTION note_cadre_grants() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO cadre_changes (state_id, unit_id)
    SELECT DISTINCT u.state_id, u.id FROM changed c JOIN units u ON u.id = c.unit_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION note_cadre_grants() IS 'Notes the units of rows that were written or removed.';
CREATE TRIGGER grants_given_count AFTER INSERT ON grants
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_cadre_grants();
CREATE TRIGGER grants_changed_count AFTER UPDATE ON grants
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_cadre_grants();
CREATE TRIGGER grants_gone_count AFTER DELETE ON grants
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_cadre_grants();
CREATE TRIGGER placements_made_count AFTER INSERT ON placements
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_cadre_grants();
CREATE TRIGGER placements_changed_count AFTER UPDATE ON placements
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_cadre_grants();
CREATE TRIGGER placements_gone_count AFTER DELETE ON placements
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_cadre_grants();
CREATE TRIGGER workers_made_count AFTER INSERT ON workers
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_cadre_grants();
CREATE TRIGGER workers_gone_count AFTER DELETE ON workers
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_cadre_grants();

CREATE FUNCTION note_cadre_worker() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO cadre_changes (state_id, unit_id)
    SELECT u.state_id, u.id FROM units u
    WHERE u.id IN (OLD.unit_id, NEW.unit_id) OR u.id IN (SELECT g.unit_id FROM grants g WHERE g.worker_id = NEW.id);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION note_cadre_worker() IS 'Notes the units of a worker who moved, or became active or inactive.';
CREATE TRIGGER workers_changed_count AFTER UPDATE OF active, unit_id ON workers FOR EACH ROW
    WHEN (OLD.active IS DISTINCT FROM NEW.active OR OLD.unit_id IS DISTINCT FROM NEW.unit_id)
    EXECUTE FUNCTION note_cadre_worker();

CREATE FUNCTION note_cadre_units() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO cadre_changes (state_id, unit_id) SELECT state_id, id FROM changed;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION note_cadre_units() IS 'Notes new units.';
CREATE TRIGGER units_made_count AFTER INSERT ON units
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_cadre_units();

CREATE FUNCTION note_cadre_doors() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO cadre_changes (state_id, unit_id)
    SELECT n.state_id, n.id FROM changed n JOIN gone o USING (id) WHERE n.doors IS DISTINCT FROM o.doors;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION note_cadre_doors() IS 'Notes units whose doors were counted anew.';
CREATE TRIGGER units_changed_count AFTER UPDATE ON units
    REFERENCING OLD TABLE AS gone NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_cadre_doors();

CREATE FUNCTION note_cadre_confirmations() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO cadre_changes (state_id, unit_id)
    SELECT u.state_id, u.id FROM grants g JOIN units u ON u.id = g.unit_id WHERE g.id = NEW.grant_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION note_cadre_confirmations() IS 'Notes the unit of a post that was confirmed.';
CREATE TRIGGER post_confirmations_count AFTER INSERT ON post_confirmations
    FOR EACH ROW EXECUTE FUNCTION note_cadre_confirmations();

CREATE FUNCTION note_cadre_rules() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO cadre_changes (state_id, unit_id)
    SELECT b.state_id, b.id FROM units r JOIN units b ON b.level = 'booth' AND (r.level = 'nation' OR b.state_id = r.id)
    WHERE r.id = NEW.unit_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION note_cadre_rules() IS 'Notes every booth for which a rule was made.';
CREATE TRIGGER committee_rules_count AFTER INSERT ON committee_rules
    FOR EACH ROW EXECUTE FUNCTION note_cadre_rules();

INSERT INTO cadre_changes (state_id, unit_id) SELECT state_id, id FROM units;

-- The journal (what happened, in one order a state) and the ledgers it is posted to. See src/journal/mod.rs.

CREATE TABLE journal_inbox (
    id bigint GENERATED ALWAYS AS IDENTITY,
    state_id integer NOT NULL,
    unit_id integer NOT NULL,
    actor_id integer,
    device_id uuid,
    action text NOT NULL,
    subject text NOT NULL,
    subject_ids integer[] NOT NULL,
    subject_uuids uuid[] NOT NULL,
    digest bytea NOT NULL CHECK (length(digest) = 32),
    at timestamptz NOT NULL,
    leaf_hash bytea NOT NULL CHECK (length(leaf_hash) = 32)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

COMMENT ON TABLE journal_inbox IS 'Entries that writes appended and the poster has not yet numbered. No index: it is emptied several times a second.';
COMMENT ON COLUMN journal_inbox.id IS 'Order of arrival; orders the entries that one posting takes.';
COMMENT ON COLUMN journal_inbox.state_id IS 'The state whose journal it belongs to; the nation''s id for what belongs to no state.';
COMMENT ON COLUMN journal_inbox.unit_id IS 'The unit it happened at; decides who may read it.';
COMMENT ON COLUMN journal_inbox.actor_id IS 'The worker who did it; null for the program itself.';
COMMENT ON COLUMN journal_inbox.device_id IS 'The device it was done from.';
COMMENT ON COLUMN journal_inbox.action IS 'What was done, as named in access/actions.rs or by a command (visit.record, unit.import).';
COMMENT ON COLUMN journal_inbox.subject IS 'What kind of thing it was done to (visit, unit, worker).';
COMMENT ON COLUMN journal_inbox.subject_ids IS 'Which, for what we number.';
COMMENT ON COLUMN journal_inbox.subject_uuids IS 'Which, for what the phone names.';
COMMENT ON COLUMN journal_inbox.digest IS 'SHA-256 over what was written.';
COMMENT ON COLUMN journal_inbox.at IS 'When, by the server''s clock.';
COMMENT ON COLUMN journal_inbox.leaf_hash IS 'RFC 6962 leaf hash of the entry''s canonical form; the number is the leaf''s place in the tree.';

CREATE TABLE journal (
    state_id integer NOT NULL,
    number bigint NOT NULL CHECK (number > 0),
    unit_id integer NOT NULL,
    actor_id integer,
    device_id uuid,
    action text NOT NULL,
    subject text NOT NULL,
    subject_ids integer[] NOT NULL,
    subject_uuids uuid[] NOT NULL,
    digest bytea NOT NULL,
    at timestamptz NOT NULL,
    leaf_hash bytea NOT NULL,
    PRIMARY KEY (state_id, number)
);

COMMENT ON TABLE journal IS 'Every write, numbered 1, 2, 3 … within its state in the order in which commits became visible. A number once seen is final.';
COMMENT ON COLUMN journal.state_id IS 'The state whose journal it is; the nation''s id for what belongs to no state.';
COMMENT ON COLUMN journal.number IS 'Place in the state''s journal, from 1, without a hole.';
COMMENT ON COLUMN journal.unit_id IS 'The unit it happened at; decides who may read it.';
COMMENT ON COLUMN journal.actor_id IS 'The worker who did it; null for the program itself.';
COMMENT ON COLUMN journal.device_id IS 'The device it was done from.';
COMMENT ON COLUMN journal.action IS 'What was done.';
COMMENT ON COLUMN journal.subject IS 'What kind of thing it was done to.';
COMMENT ON COLUMN journal.subject_ids IS 'Which, for what we number.';
COMMENT ON COLUMN journal.subject_uuids IS 'Which, for what the phone names.';
COMMENT ON COLUMN journal.digest IS 'SHA-256 over what was written.';
COMMENT ON COLUMN journal.at IS 'When, by the server''s clock.';
COMMENT ON COLUMN journal.leaf_hash IS 'RFC 6962 leaf hash of the entry''s canonical form.';

CREATE TABLE journal_heads (
    state_id integer PRIMARY KEY,
    size bigint NOT NULL CHECK (size >= 0)
);

COMMENT ON TABLE journal_heads IS 'How long each state''s journal is. Changed by the poster alone, under its lock.';
COMMENT ON COLUMN journal_heads.state_id IS 'The state (or the nation).';
COMMENT ON COLUMN journal_heads.size IS 'Entries numbered so far.';

CREATE TABLE tally_inbox (
    state_id integer NOT NULL,
    booth_id integer NOT NULL,
    campaign_id integer NOT NULL,
    day date NOT NULL,
    unit_ids integer[] NOT NULL,
    visits integer NOT NULL DEFAULT 0,
    met integer NOT NULL DEFAULT 0,
    not_home integer NOT NULL DEFAULT 0,
    refused integer NOT NULL DEFAULT 0,
    moved integer NOT NULL DEFAULT 0,
    locked integer NOT NULL DEFAULT 0,
    inaccessible integer NOT NULL DEFAULT 0,
    people_met integer NOT NULL DEFAULT 0,
    doors_reached integer NOT NULL DEFAULT 0,
    support_1 integer NOT NULL DEFAULT 0,
    support_2 integer NOT NULL DEFAULT 0,
    support_3 integer NOT NULL DEFAULT 0,
    support_4 integer NOT NULL DEFAULT 0,
    support_5 integer NOT NULL DEFAULT 0,
    flagged integer NOT NULL DEFAULT 0,
    verified integer NOT NULL DEFAULT 0,
    rejected integer NOT NULL DEFAULT 0,
    voided integer NOT NULL DEFAULT 0
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

COMMENT ON TABLE tally_inbox IS 'Changes to the counts that are not yet in totals, one row per booth, campaign and day of a write; corrections append negative figures. Readers of totals add them. No index: it is emptied several times a second.';
COMMENT ON COLUMN tally_inbox.state_id IS 'The state.';
COMMENT ON COLUMN tally_inbox.booth_id IS 'The booth whose visits changed.';
COMMENT ON COLUMN tally_inbox.campaign_id IS 'The campaign.';
COMMENT ON COLUMN tally_inbox.day IS 'The day of the visits.';
COMMENT ON COLUMN tally_inbox.unit_ids IS 'The units to be charged: the booth''s lineage on that day without the nation (which is the sum over its states), or, when a unit is moved, those it joins or leaves.';
COMMENT ON COLUMN tally_inbox.visits IS 'Live visits.';
COMMENT ON COLUMN tally_inbox.met IS 'Contacts: visits whose outcome is met.';
COMMENT ON COLUMN tally_inbox.not_home IS 'Visits whose outcome is not_home.';
COMMENT ON COLUMN tally_inbox.refused IS 'Visits whose outcome is refused.';
COMMENT ON COLUMN tally_inbox.moved IS 'Visits whose outcome is moved.';
COMMENT ON COLUMN tally_inbox.locked IS 'Visits whose outcome is locked.';
COMMENT ON COLUMN tally_inbox.inaccessible IS 'Visits whose outcome is inaccessible.';
COMMENT ON COLUMN tally_inbox.people_met IS 'People met, summed over live visits.';
COMMENT ON COLUMN tally_inbox.doors_reached IS 'Doors with a contact, each counted once, on the day of its earliest live contact.';
COMMENT ON COLUMN tally_inbox.support_1 IS 'Visits that recorded support 1.';
COMMENT ON COLUMN tally_inbox.support_2 IS 'Visits that recorded support 2.';
COMMENT ON COLUMN tally_inbox.support_3 IS 'Visits that recorded support 3.';
COMMENT ON COLUMN tally_inbox.support_4 IS 'Visits that recorded support 4.';
COMMENT ON COLUMN tally_inbox.support_5 IS 'Visits that recorded support 5.';
COMMENT ON COLUMN tally_inbox.flagged IS 'Live visits with a flag.';
COMMENT ON COLUMN tally_inbox.verified IS 'Live visits that a coordinator verified.';
COMMENT ON COLUMN tally_inbox.rejected IS 'Visits that a coordinator rejected.';
COMMENT ON COLUMN tally_inbox.voided IS 'Visits taken back; they are out of every other figure.';

CREATE TABLE totals (
    state_id integer NOT NULL,
    unit_id integer NOT NULL,
    campaign_id integer NOT NULL,
    day date NOT NULL,
    visits integer NOT NULL DEFAULT 0,
    met integer NOT NULL DEFAULT 0,
    not_home integer NOT NULL DEFAULT 0,
    refused integer NOT NULL DEFAULT 0,
    moved integer NOT NULL DEFAULT 0,
    locked integer NOT NULL DEFAULT 0,
    inaccessible integer NOT NULL DEFAULT 0,
    people_met integer NOT NULL DEFAULT 0,
    doors_reached integer NOT NULL DEFAULT 0,
    support_1 integer NOT NULL DEFAULT 0,
    support_2 integer NOT NULL DEFAULT 0,
    support_3 integer NOT NULL DEFAULT 0,
    support_4 integer NOT NULL DEFAULT 0,
    support_5 integer NOT NULL DEFAULT 0,
    flagged integer NOT NULL DEFAULT 0,
    verified integer NOT NULL DEFAULT 0,
    rejected integer NOT NULL DEFAULT 0,
    voided integer NOT NULL DEFAULT 0,
    PRIMARY KEY (state_id, unit_id, campaign_id, day)
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02);

COMMENT ON TABLE totals IS 'The ledger: posted counts of every unit below the nation, by campaign and day. What a unit really has is this plus what lies in tally_inbox.';
COMMENT ON COLUMN totals.state_id IS 'The state.';
COMMENT ON COLUMN totals.unit_id IS 'The unit.';
COMMENT ON COLUMN totals.campaign_id IS 'The campaign.';
COMMENT ON COLUMN totals.day IS 'The day of the visits.';
COMMENT ON COLUMN totals.visits IS 'Live visits.';
COMMENT ON COLUMN totals.met IS 'Contacts: visits whose outcome is met.';
COMMENT ON COLUMN totals.not_home IS 'Visits whose outcome is not_home.';
COMMENT ON COLUMN totals.refused IS 'Visits whose outcome is refused.';
COMMENT ON COLUMN totals.moved IS 'Visits whose outcome is moved.';
COMMENT ON COLUMN totals.locked IS 'Visits whose outcome is locked.';
COMMENT ON COLUMN totals.inaccessible IS 'Visits whose outcome is inaccessible.';
COMMENT ON COLUMN totals.people_met IS 'People met, summed over live visits.';
COMMENT ON COLUMN totals.doors_reached IS 'Doors with a contact, each counted once, on the day of its earliest live contact.';
COMMENT ON COLUMN totals.support_1 IS 'Visits that recorded support 1.';
COMMENT ON COLUMN totals.support_2 IS 'Visits that recorded support 2.';
COMMENT ON COLUMN totals.support_3 IS 'Visits that recorded support 3.';
COMMENT ON COLUMN totals.support_4 IS 'Visits that recorded support 4.';
COMMENT ON COLUMN totals.support_5 IS 'Visits that recorded support 5.';
COMMENT ON COLUMN totals.flagged IS 'Live visits with a flag.';
COMMENT ON COLUMN totals.verified IS 'Live visits that a coordinator verified.';
COMMENT ON COLUMN totals.rejected IS 'Visits that a coordinator rejected.';
COMMENT ON COLUMN totals.voided IS 'Visits taken back; they are out of every other figure.';

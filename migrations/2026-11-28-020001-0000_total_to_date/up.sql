-- The sum of totals over all days, for reports: what a unit has so far is one row, however long the campaign.

-- Nothing is posted between the sum and the end of this.
LOCK TABLE totals IN SHARE ROW EXCLUSIVE MODE;

CREATE TABLE totals_to_date (
    state_id integer NOT NULL,
    unit_id integer NOT NULL,
    campaign_id integer NOT NULL,
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
    PRIMARY KEY (state_id, unit_id, campaign_id)
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02);

INSERT INTO totals_to_date (state_id, unit_id, campaign_id, visits, met, not_home, refused, moved, locked, inaccessible, people_met, doors_reached,
    support_1, support_2, support_3, support_4, support_5, flagged, verified, rejected, voided)
SELECT state_id, unit_id, campaign_id, sum(visits), sum(met), sum(not_home), sum(refused), sum(moved), sum(locked), sum(inaccessible), sum(people_met), sum(doors_reached), sum(support_1), sum(support_2), sum(support_3), sum(support_4), sum(support_5), sum(flagged), sum(verified), sum(rejected), sum(voided)
FROM totals GROUP BY state_id, unit_id, campaign_id;

ANALYZE totals_to_date;

COMMENT ON TABLE totals_to_date IS 'The ledger without its days: for every unit below the nation and campaign the sum of its rows of totals, carried in the same statement. What a unit really has is this plus what lies in tally_inbox.';
COMMENT ON COLUMN totals_to_date.state_id IS 'The state.';
COMMENT ON COLUMN totals_to_date.unit_id IS 'The unit.';
COMMENT ON COLUMN totals_to_date.campaign_id IS 'The campaign.';
COMMENT ON COLUMN totals_to_date.visits IS 'Live visits.';
COMMENT ON COLUMN totals_to_date.met IS 'Contacts: visits whose outcome is met.';
COMMENT ON COLUMN totals_to_date.not_home IS 'Visits whose outcome is not_home.';
COMMENT ON COLUMN totals_to_date.refused IS 'Visits whose outcome is refused.';
COMMENT ON COLUMN totals_to_date.moved IS 'Visits whose outcome is moved.';
COMMENT ON COLUMN totals_to_date.locked IS 'Visits whose outcome is locked.';
COMMENT ON COLUMN totals_to_date.inaccessible IS 'Visits whose outcome is inaccessible.';
COMMENT ON COLUMN totals_to_date.people_met IS 'People met, summed over live visits.';
COMMENT ON COLUMN totals_to_date.doors_reached IS 'Doors with a contact, each counted once, on the day of its earliest live contact.';
COMMENT ON COLUMN totals_to_date.support_1 IS 'Visits that recorded support 1.';
COMMENT ON COLUMN totals_to_date.support_2 IS 'Visits that recorded support 2.';
COMMENT ON COLUMN totals_to_date.support_3 IS 'Visits that recorded support 3.';
COMMENT ON COLUMN totals_to_date.support_4 IS 'Visits that recorded support 4.';
COMMENT ON COLUMN totals_to_date.support_5 IS 'Visits that recorded support 5.';
COMMENT ON COLUMN totals_to_date.flagged IS 'Live visits with a flag.';
COMMENT ON COLUMN totals_to_date.verified IS 'Live visits that a coordinator verified.';
COMMENT ON COLUMN totals_to_date.rejected IS 'Visits that a coordinator rejected.';
COMMENT ON COLUMN totals_to_date.voided IS 'Visits taken back; they are out of every other figure.';

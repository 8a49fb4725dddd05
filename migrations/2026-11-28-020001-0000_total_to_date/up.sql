-- The sum of totals over all days, for reports: what a unit has so far is one row, however long the campaign.

-- Nothing is posted between the sum and the end of this.
LOCK TABLE totals IN SHARE ROW EXCLUSIVE MODE;

CREATE TABLE totals_to_date (LIKE totals INCLUDING DEFAULTS INCLUDING COMMENTS)
    WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE totals_to_date DROP COLUMN day;
ALTER TABLE totals_to_date ADD PRIMARY KEY (state_id, unit_id, campaign_id);

INSERT INTO totals_to_date (state_id, unit_id, campaign_id, visits, met, not_home, refused, moved, locked, inaccessible, people_met, doors_reached,
    support_1, support_2, support_3, support_4, support_5, flagged, verified, rejected, voided)
SELECT state_id, unit_id, campaign_id, sum(visits), sum(met), sum(not_home), sum(refused), sum(moved), sum(locked), sum(inaccessible), sum(people_met), sum(doors_reached), sum(support_1), sum(support_2), sum(support_3), sum(support_4), sum(support_5), sum(flagged), sum(verified), sum(rejected), sum(voided)
FROM totals GROUP BY state_id, unit_id, campaign_id;

ANALYZE totals_to_date;

COMMENT ON TABLE totals_to_date IS 'The ledger without its days: for every unit below the nation and campaign the sum of its rows of totals, carried in the same statement. What a unit really has is this plus what lies in tally_inbox.';

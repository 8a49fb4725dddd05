-- Lists of a whole state by what few visits have, newest first: read in their order, whatever the table holds. Neither costs
-- a recording anything: a new visit is unreviewed, and most are without a flag.
CREATE INDEX visits_reviewed_idx ON visits (visited_on, id) WHERE review <> 'unreviewed';
CREATE INDEX visits_flagged_day_idx ON visits (visited_on, id) WHERE flags <> '[]';

DROP INDEX visits_reviewed_idx, visits_flagged_day_idx;

DROP INDEX journal_households_idx;

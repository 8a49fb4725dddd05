ALTER TABLE workers DROP COLUMN erased_at, DROP COLUMN erasure_requested_at;
DROP INDEX visits_received_idx;
DROP TABLE retention_progress, support_ledger;

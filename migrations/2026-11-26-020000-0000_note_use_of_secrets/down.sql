ALTER TABLE service_secrets DROP COLUMN last_used_at;

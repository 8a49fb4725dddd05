ALTER TABLE campaigns DROP COLUMN retention_days;
DROP INDEX journal_contact_reads_idx;
DROP TABLE contacts;

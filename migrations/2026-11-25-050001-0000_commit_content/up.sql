-- Entries name every unit that they touch and the version that they made; visits keep the salts of their commitment.
-- See src/journal/commitment.rs.

ALTER TABLE journal_inbox
    ADD COLUMN unit_ids integer[] NOT NULL DEFAULT '{}',
    ADD COLUMN subject_versions integer[] NOT NULL DEFAULT '{}',
    ADD COLUMN form smallint NOT NULL DEFAULT 1;
ALTER TABLE journal
    ADD COLUMN unit_ids integer[] NOT NULL DEFAULT '{}',
    ADD COLUMN subject_versions integer[] NOT NULL DEFAULT '{}',
    ADD COLUMN form smallint NOT NULL DEFAULT 1;
-- What was written before names its one unit; its form stays 1, since its leaf was hashed so.
UPDATE journal_inbox SET unit_ids = ARRAY[unit_id];
UPDATE journal SET unit_ids = ARRAY[unit_id];
ALTER TABLE journal_inbox ALTER COLUMN form SET DEFAULT 2;
ALTER TABLE journal ALTER COLUMN form SET DEFAULT 2;

COMMENT ON COLUMN journal_inbox.unit_id IS 'The unit it happened at: the one, or the state if there are several.';
COMMENT ON COLUMN journal_inbox.unit_ids IS 'Every unit it happened at (the booths of a batch); their lineages decide who may read it.';
COMMENT ON COLUMN journal_inbox.subject_versions IS 'The version that was made of each of subject_uuids; empty: the first of each, or they have none.';
COMMENT ON COLUMN journal_inbox.form IS 'The canonical form that leaf_hash was taken of (src/journal/leaf.rs).';
COMMENT ON COLUMN journal.unit_id IS 'The unit it happened at: the one, or the state if there are several.';
COMMENT ON COLUMN journal.unit_ids IS 'Every unit it happened at (the booths of a batch); their lineages decide who may read it.';
COMMENT ON COLUMN journal.subject_versions IS 'The version that was made of each of subject_uuids; empty: the first of each, or they have none.';
COMMENT ON COLUMN journal.form IS 'The canonical form that leaf_hash was taken of (src/journal/leaf.rs).';

ALTER TABLE visits ADD COLUMN salts bytea;
COMMENT ON COLUMN visits.salts IS 'What the commitment to this version is salted with: 16 bytes from which each part''s salt follows, or, once a part was erased, each part''s salt or hash. Null: stored before there were commitments.';

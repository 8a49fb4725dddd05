-- Phones and notes are kept sealed, under keys that the database never sees. So this migration only takes the plain ones
-- out of the way: the program seals what waits in the two unsealed tables when it next starts (docs/privacy.md).

CREATE TABLE unsealed_phones (
    worker_id integer PRIMARY KEY REFERENCES workers (id) ON DELETE CASCADE,
    phone text NOT NULL
);
COMMENT ON TABLE unsealed_phones IS 'Phones of workers who were on the roster before phones were sealed. The program empties it when it starts.';
COMMENT ON COLUMN unsealed_phones.worker_id IS 'Whose.';
COMMENT ON COLUMN unsealed_phones.phone IS 'E.164 number, to be sealed.';

CREATE TABLE unsealed_notes (
    state_id integer NOT NULL,
    visit_id uuid NOT NULL,
    version integer NOT NULL CHECK (version >= 0),
    note text NOT NULL,
    PRIMARY KEY (state_id, visit_id, version)
);
COMMENT ON TABLE unsealed_notes IS 'Notes of visits that were recorded before notes were sealed. The program empties it when it starts.';
COMMENT ON COLUMN unsealed_notes.state_id IS 'The state of the visit.';
COMMENT ON COLUMN unsealed_notes.visit_id IS 'The visit.';
COMMENT ON COLUMN unsealed_notes.version IS 'Which row of visit_versions; 0: the row of visits.';
COMMENT ON COLUMN unsealed_notes.note IS 'The text, to be sealed.';

INSERT INTO unsealed_phones (worker_id, phone) SELECT id, phone FROM workers;
ALTER TABLE workers
    ADD COLUMN phone_sealed bytea,
    ADD COLUMN phone_index bytea CHECK (length(phone_index) = 32),
    DROP COLUMN phone;
ALTER TABLE workers ADD CONSTRAINT workers_phone_key UNIQUE (phone_index);
COMMENT ON COLUMN workers.phone_sealed IS 'E.164 number with which he signs in, AES-256-GCM under a data key, bound to this row. Null: waits in unsealed_phones, or was erased.';
COMMENT ON COLUMN workers.phone_index IS 'HMAC-SHA256 of the number under the index key, by which he is found.';

INSERT INTO unsealed_notes (state_id, visit_id, version, note)
SELECT state_id, id, 0, note FROM visits WHERE note IS NOT NULL
UNION ALL
SELECT state_id, visit_id, version, content ->> 'note' FROM visit_versions WHERE content ->> 'note' IS NOT NULL;
UPDATE visit_versions SET content = content - 'note' WHERE content ? 'note';
ALTER TABLE visits ADD COLUMN note_sealed bytea, DROP COLUMN note;
COMMENT ON COLUMN visits.note_sealed IS 'Free text of at most 500 characters, AES-256-GCM under a data key, bound to this visit. Null: none, or erased.';

COMMENT ON COLUMN idempotency_keys.request_digest IS 'Keyed digest of method, path and body: the same key with another request is refused.';
COMMENT ON COLUMN idempotency_keys.body IS 'Its body, AES-256-GCM under a data key, bound to this row; those of before phones were sealed are plain until the program starts.';
COMMENT ON COLUMN visits.sent_digest IS 'Keyed digest of the content as first sent, by which a resend is known; nobody without the key can try contents against it.';

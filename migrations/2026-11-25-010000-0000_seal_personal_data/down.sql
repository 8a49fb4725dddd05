-- Only what has not been sealed yet comes back in the plain: the database has no key to open the rest with.
ALTER TABLE workers ADD COLUMN phone text CONSTRAINT workers_plain_phone_key UNIQUE CHECK (phone ~ '^\+[1-9][0-9]{7,14}$');
UPDATE workers w SET phone = u.phone FROM unsealed_phones u WHERE u.worker_id = w.id;
-- Whose phone is sealed keeps a number that nobody has, so that he stays on the roster.
UPDATE workers SET phone = '+999' || lpad(id::text, 10, '0') WHERE phone IS NULL;
ALTER TABLE workers DROP COLUMN phone_index, DROP COLUMN phone_sealed;
ALTER TABLE workers ALTER COLUMN phone SET NOT NULL;
ALTER TABLE workers RENAME CONSTRAINT workers_plain_phone_key TO workers_phone_key;
COMMENT ON COLUMN workers.phone IS 'E.164 number; he signs in with it.';

ALTER TABLE visits ADD COLUMN note text, DROP COLUMN note_sealed;
UPDATE visits v SET note = u.note FROM unsealed_notes u
WHERE u.state_id = v.state_id AND u.visit_id = v.id AND u.version = 0;
UPDATE visit_versions v SET content = v.content || jsonb_build_object('note', u.note) FROM unsealed_notes u
WHERE u.state_id = v.state_id AND u.visit_id = v.visit_id AND u.version = v.version;
COMMENT ON COLUMN visits.note IS 'Free text of at most 500 characters.';
DELETE FROM idempotency_keys;
COMMENT ON COLUMN idempotency_keys.request_digest IS 'SHA-256 of method, path and body: the same key with another request is refused.';
COMMENT ON COLUMN idempotency_keys.body IS 'Its body.';
COMMENT ON COLUMN visits.sent_digest IS 'SHA-256 of the content as first sent, by which a resend is known.';

DROP TABLE unsealed_notes, unsealed_phones;

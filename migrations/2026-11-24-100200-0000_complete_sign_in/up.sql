-- Sign-in completed: codes bound to a device, an outbox from which they leave, guards against guessing, a second factor.

ALTER TABLE otp_challenges
    ADD COLUMN device_id uuid,
    ADD COLUMN kind text NOT NULL DEFAULT 'sent' CHECK (kind IN ('sent', 'read_out')),
    ADD COLUMN given_by integer REFERENCES workers (id) ON DELETE SET NULL;
CREATE INDEX otp_challenges_created_idx ON otp_challenges (created_at) WHERE kind = 'sent';

COMMENT ON COLUMN otp_challenges.device_id IS 'The device that asked for the code, where it said so: no other can use it.';
COMMENT ON COLUMN otp_challenges.kind IS 'sent: six digits by message; read_out: eight digits that whoever manages him reads out.';
COMMENT ON COLUMN otp_challenges.given_by IS 'Who read it out; null: it was sent, or the command line printed it.';

CREATE TABLE otp_outbox (
    challenge_id uuid PRIMARY KEY REFERENCES otp_challenges (id) ON DELETE CASCADE,
    sealed bytea NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    next_at timestamptz NOT NULL,
    attempts smallint NOT NULL DEFAULT 0
);
CREATE INDEX otp_outbox_next_idx ON otp_outbox (next_at);

COMMENT ON TABLE otp_outbox IS 'Codes on their way: written with the code, so that no request waits for a gateway; gone once sent or too old.';
COMMENT ON COLUMN otp_outbox.challenge_id IS 'Which code; the gateway knows a repeated message by it.';
COMMENT ON COLUMN otp_outbox.sealed IS 'Number, code and language, AES-256-GCM under the key of codes, bound to the challenge.';
COMMENT ON COLUMN otp_outbox.created_at IS 'When it was asked for.';
COMMENT ON COLUMN otp_outbox.expires_at IS 'After that it is dropped, since the code no longer works.';
COMMENT ON COLUMN otp_outbox.next_at IS 'When it may be tried next; while one process sends it, when another may.';
COMMENT ON COLUMN otp_outbox.attempts IS 'How often it was tried.';

CREATE TABLE sign_in_guards (
    worker_id integer PRIMARY KEY REFERENCES workers (id) ON DELETE CASCADE,
    failures integer NOT NULL DEFAULT 0 CHECK (failures >= 0),
    locked_until timestamptz
);

COMMENT ON TABLE sign_in_guards IS 'Failed sign-ins in a row, of every kind together.';
COMMENT ON COLUMN sign_in_guards.worker_id IS 'Whose.';
COMMENT ON COLUMN sign_in_guards.failures IS 'Tries since the last success, counted before each is judged.';
COMMENT ON COLUMN sign_in_guards.locked_until IS 'Until then no try is judged, unless who manages him unlocks it.';

CREATE TABLE sign_in_days (
    day date PRIMARY KEY,
    wrong integer NOT NULL CHECK (wrong >= 0)
);

COMMENT ON TABLE sign_in_days IS 'Wrong codes a day over everyone: 10,000 stop sign-in by message for the day.';
COMMENT ON COLUMN sign_in_days.day IS 'The day in the operating time zone.';
COMMENT ON COLUMN sign_in_days.wrong IS 'How many.';

CREATE TABLE second_factors (
    worker_id integer PRIMARY KEY REFERENCES workers (id) ON DELETE CASCADE,
    sealed bytea,
    pending bytea,
    last_step bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    confirmed_at timestamptz,
    CHECK ((sealed IS NULL) = (confirmed_at IS NULL))
);

COMMENT ON TABLE second_factors IS 'Secrets of the one-time password apps (RFC 6238) of those who coordinate.';
COMMENT ON COLUMN second_factors.worker_id IS 'Whose.';
COMMENT ON COLUMN second_factors.sealed IS 'The secret, AES-256-GCM under the key of codes, bound to the worker.';
COMMENT ON COLUMN second_factors.pending IS 'One that was made and not confirmed yet.';
COMMENT ON COLUMN second_factors.last_step IS 'The last time step whose password was used: each works once.';
COMMENT ON COLUMN second_factors.created_at IS 'When the newest was made.';
COMMENT ON COLUMN second_factors.confirmed_at IS 'When it was first used.';

ALTER TABLE sessions ADD COLUMN strength text NOT NULL DEFAULT 'code'
    CHECK (strength IN ('code', 'read_out', 'totp', 'program'));
COMMENT ON COLUMN sessions.strength IS 'How its worker proved himself: a code by message; one read out to him; a second factor; the command line. Roles that coordinate hold in the last two alone.';
COMMENT ON COLUMN sessions.revoked_why IS 'logout, logout_everywhere, device_revoked, ended_by_coordinator, second_factor_reset, token_reuse, signed_in_again.';

-- Signing in: one-time codes, devices, refresh tokens; and the answers kept for Idempotency-Key.

CREATE TABLE otp_challenges (
    id uuid PRIMARY KEY,
    worker_id integer NOT NULL REFERENCES workers (id) ON DELETE CASCADE,
    code_hash bytea NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    tries smallint NOT NULL DEFAULT 0 CHECK (tries >= 0),
    used_at timestamptz
);
CREATE INDEX otp_challenges_worker_idx ON otp_challenges (worker_id, created_at);

COMMENT ON TABLE otp_challenges IS 'One-time codes sent. The code itself is nowhere: only its HMAC under a server key.';
COMMENT ON COLUMN otp_challenges.id IS 'The challenge; bound into the hash.';
COMMENT ON COLUMN otp_challenges.worker_id IS 'Whom the code was sent to.';
COMMENT ON COLUMN otp_challenges.code_hash IS 'HMAC-SHA-256 of challenge and code.';
COMMENT ON COLUMN otp_challenges.created_at IS 'When it was made; limits how often codes are sent.';
COMMENT ON COLUMN otp_challenges.expires_at IS 'When it stops working.';
COMMENT ON COLUMN otp_challenges.tries IS 'Tries begun; committed before the comparison, at most 5.';
COMMENT ON COLUMN otp_challenges.used_at IS 'When it was used, or ended by a newer one.';

CREATE TABLE devices (
    id uuid NOT NULL,
    worker_id integer NOT NULL REFERENCES workers (id) ON DELETE CASCADE,
    name text CHECK (length(name) <= 200),
    platform text CHECK (length(platform) <= 50),
    app_version text CHECK (length(app_version) <= 50),
    created_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    PRIMARY KEY (worker_id, id)
);

COMMENT ON TABLE devices IS 'Phones on which a worker has signed in. A phone that two workers share is two rows.';
COMMENT ON COLUMN devices.id IS 'The phone''s own id for itself.';
COMMENT ON COLUMN devices.worker_id IS 'Whose.';
COMMENT ON COLUMN devices.name IS 'Name that the phone gave.';
COMMENT ON COLUMN devices.platform IS 'android, ios, …';
COMMENT ON COLUMN devices.app_version IS 'Version of the app at the last sign-in.';
COMMENT ON COLUMN devices.created_at IS 'First sign-in.';
COMMENT ON COLUMN devices.last_seen_at IS 'Last sign-in or refresh.';

CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    worker_id integer NOT NULL REFERENCES workers (id) ON DELETE CASCADE,
    device_id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    revoked_why text
);
CREATE INDEX sessions_worker_idx ON sessions (worker_id);

COMMENT ON TABLE sessions IS 'One sign-in on one device, and the family of refresh tokens that grew from it.';
COMMENT ON COLUMN sessions.id IS 'The sid claim of its access tokens.';
COMMENT ON COLUMN sessions.worker_id IS 'Who signed in.';
COMMENT ON COLUMN sessions.device_id IS 'On which device.';
COMMENT ON COLUMN sessions.created_at IS 'When.';
COMMENT ON COLUMN sessions.expires_at IS 'When it ends at the latest, however often it is refreshed.';
COMMENT ON COLUMN sessions.revoked_at IS 'When it was ended: logout, device revoked, theft of a token.';
COMMENT ON COLUMN sessions.revoked_why IS 'logout, device_revoked, token_reuse, signed_in_again.';

CREATE TABLE refresh_tokens (
    hash bytea PRIMARY KEY CHECK (length(hash) = 32),
    session_id uuid NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    parent_hash bytea,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);
CREATE INDEX refresh_tokens_session_idx ON refresh_tokens (session_id);
CREATE INDEX refresh_tokens_parent_idx ON refresh_tokens (parent_hash);

COMMENT ON TABLE refresh_tokens IS 'Opaque refresh tokens, by their SHA-256. Each is used once, then replaced.';
COMMENT ON COLUMN refresh_tokens.hash IS 'SHA-256 of the token.';
COMMENT ON COLUMN refresh_tokens.session_id IS 'The family.';
COMMENT ON COLUMN refresh_tokens.parent_hash IS 'The token it replaced; null for the first.';
COMMENT ON COLUMN refresh_tokens.created_at IS 'When it was made.';
COMMENT ON COLUMN refresh_tokens.expires_at IS 'When it stops working if it is not used.';
COMMENT ON COLUMN refresh_tokens.used_at IS 'When it was replaced. Taken once more while its successor is unused, since replies get lost.';

CREATE TABLE idempotency_keys (
    actor_id integer NOT NULL,
    key text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    request_digest bytea NOT NULL,
    status smallint NOT NULL,
    location text,
    etag text,
    body bytea NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (actor_id, key)
);
CREATE INDEX idempotency_keys_created_idx ON idempotency_keys (created_at);

COMMENT ON TABLE idempotency_keys IS 'The first answer to a POST that carried an Idempotency-Key, written in the transaction of its effect.';
COMMENT ON COLUMN idempotency_keys.actor_id IS 'Whose key: another''s key is another key.';
COMMENT ON COLUMN idempotency_keys.key IS 'The key as sent.';
COMMENT ON COLUMN idempotency_keys.request_digest IS 'SHA-256 of method, path and body: the same key with another request is refused.';
COMMENT ON COLUMN idempotency_keys.status IS 'HTTP status of the first answer.';
COMMENT ON COLUMN idempotency_keys.location IS 'Its Location header.';
COMMENT ON COLUMN idempotency_keys.etag IS 'Its ETag header.';
COMMENT ON COLUMN idempotency_keys.body IS 'Its body.';
COMMENT ON COLUMN idempotency_keys.created_at IS 'When; kept for a week.';

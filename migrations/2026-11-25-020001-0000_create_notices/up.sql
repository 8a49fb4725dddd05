-- What a worker's phones are told about his account: that another phone was signed in, that his number was changed.

CREATE TABLE notices (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    worker_id integer NOT NULL REFERENCES workers (id) ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('new_device', 'phone_changed')),
    device_id uuid,
    created_at timestamptz NOT NULL
);
CREATE INDEX notices_worker_idx ON notices (worker_id, id);

COMMENT ON TABLE notices IS 'What happened to the account of a worker and is told to the phones that were signed in before. Kept for 30 days.';
COMMENT ON COLUMN notices.id IS 'Number of the row.';
COMMENT ON COLUMN notices.worker_id IS 'Whose account.';
COMMENT ON COLUMN notices.kind IS 'new_device: a phone on which he had never signed in was signed in; phone_changed: his number was changed.';
COMMENT ON COLUMN notices.device_id IS 'The phone that it came from; it is not told about itself. Null: it came from another worker''s.';
COMMENT ON COLUMN notices.created_at IS 'When.';

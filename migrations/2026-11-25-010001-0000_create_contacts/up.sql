-- Citizens' phones, each with the consent that it is kept by; and how long a campaign's visits keep what they tell.

CREATE TABLE contacts (
    state_id integer NOT NULL,
    id uuid NOT NULL,
    booth_id integer NOT NULL REFERENCES units (id),
    household_id uuid NOT NULL,
    campaign_id integer NOT NULL REFERENCES campaigns (id),
    phone_sealed bytea,
    phone_index bytea CHECK (length(phone_index) = 32),
    purpose text NOT NULL CHECK (purpose IN ('follow_up', 'news', 'events', 'volunteering')),
    notice text NOT NULL CHECK (length(notice) BETWEEN 1 AND 64),
    language text NOT NULL CHECK (length(language) BETWEEN 2 AND 35),
    given_at timestamptz NOT NULL,
    recorded_by integer NOT NULL REFERENCES workers (id),
    keep_until date NOT NULL,
    ended_at timestamptz,
    ended_why text CHECK (ended_why IN ('withdrawn', 'erasure_requested', 'deadline')),
    destroy_on date,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (state_id, id),
    CHECK ((ended_at IS NULL) = (ended_why IS NULL) AND (ended_at IS NULL) = (destroy_on IS NULL)),
    CHECK ((phone_sealed IS NULL) = (phone_index IS NULL))
);
CREATE INDEX contacts_booth_idx ON contacts (booth_id, id);
CREATE INDEX contacts_recorded_by_idx ON contacts (recorded_by, id);
CREATE INDEX contacts_phone_idx ON contacts (phone_index) WHERE phone_index IS NOT NULL;
CREATE INDEX contacts_deadline_idx ON contacts (keep_until) WHERE ended_at IS NULL;
CREATE INDEX contacts_destroy_idx ON contacts (destroy_on) WHERE phone_sealed IS NOT NULL AND destroy_on IS NOT NULL;

COMMENT ON TABLE contacts IS 'A citizen''s phone at a household: only with consent, sealed, until a deadline. No name.';
COMMENT ON COLUMN contacts.state_id IS 'The state of the booth.';
COMMENT ON COLUMN contacts.id IS 'The phone''s id for it, unique within the state; stays when the number is destroyed, so that a late resend does not bring it back.';
COMMENT ON COLUMN contacts.booth_id IS 'The booth of the household.';
COMMENT ON COLUMN contacts.household_id IS 'The household.';
COMMENT ON COLUMN contacts.campaign_id IS 'The campaign in which it was given; bounds how long it is kept.';
COMMENT ON COLUMN contacts.phone_sealed IS 'E.164 number, AES-256-GCM under a data key, bound to this row. Null: destroyed.';
COMMENT ON COLUMN contacts.phone_index IS 'HMAC-SHA256 of the number under the index key, by which a citizen''s request finds it.';
COMMENT ON COLUMN contacts.purpose IS 'What the consent is for.';
COMMENT ON COLUMN contacts.notice IS 'Which notice was read out or shown, by its code and version.';
COMMENT ON COLUMN contacts.language IS 'In which language (BCP 47).';
COMMENT ON COLUMN contacts.given_at IS 'When it was given, by the phone''s clock.';
COMMENT ON COLUMN contacts.recorded_by IS 'Who asked for it and recorded it.';
COMMENT ON COLUMN contacts.keep_until IS 'Last day on which it may be used.';
COMMENT ON COLUMN contacts.ended_at IS 'Since when the number is shown to nobody.';
COMMENT ON COLUMN contacts.ended_why IS 'The consent was withdrawn, erasure was asked for, or the deadline passed.';
COMMENT ON COLUMN contacts.destroy_on IS 'The day on which the number is destroyed.';
COMMENT ON COLUMN contacts.version IS 'Counts the changes; the ETag.';
COMMENT ON COLUMN contacts.created_at IS 'When it was recorded.';
COMMENT ON COLUMN contacts.updated_at IS 'When it was last changed.';

-- "Who read whom between t1 and t2" walks this, whatever else the journal holds.
CREATE INDEX journal_contact_reads_idx ON journal (at, state_id, number) WHERE action = 'contact.read';

ALTER TABLE campaigns ADD COLUMN retention_days integer NOT NULL DEFAULT 1095 CHECK (retention_days BETWEEN 365 AND 3650);
COMMENT ON COLUMN campaigns.retention_days IS 'After so many days a visit loses its note, its answers and issues and its coordinates, and a contact its number. A year at least (Rules of 2025, 8(3)).';

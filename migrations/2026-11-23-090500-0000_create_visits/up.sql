-- Visits and their versions.

CREATE TABLE visits (
    state_id integer NOT NULL,
    id uuid NOT NULL,
    booth_id integer NOT NULL,
    campaign_id integer NOT NULL,
    worker_id integer NOT NULL,
    device_id uuid,
    household_id uuid,
    visited_at timestamptz NOT NULL,
    visited_on date NOT NULL,
    received_at timestamptz NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('met', 'not_home', 'refused', 'moved', 'locked', 'inaccessible')),
    channel text NOT NULL CHECK (channel IN ('door', 'phone', 'street', 'meeting')),
    people_met integer NOT NULL CHECK (people_met BETWEEN 0 AND 1000),
    support smallint CHECK (support BETWEEN 1 AND 5),
    issues jsonb NOT NULL,
    answers jsonb NOT NULL,
    question_version integer NOT NULL,
    note text,
    lat double precision,
    lon double precision,
    accuracy_m real,
    mock boolean,
    duration_s integer,
    flags jsonb NOT NULL,
    review text NOT NULL DEFAULT 'unreviewed' CHECK (review IN ('unreviewed', 'verified', 'rejected', 'correction_wanted')),
    version integer NOT NULL DEFAULT 1,
    sent_digest bytea NOT NULL,
    changed_by integer NOT NULL,
    changed_at timestamptz NOT NULL,
    voided_at timestamptz,
    void_reason text,
    PRIMARY KEY (state_id, id)
) WITH (autovacuum_vacuum_insert_scale_factor = 0.1);
CREATE INDEX visits_booth_idx ON visits (booth_id, campaign_id, visited_on);
CREATE INDEX visits_worker_idx ON visits (worker_id, visited_on);
CREATE INDEX visits_day_idx ON visits (visited_on, id);

COMMENT ON TABLE visits IS 'One attempt at one door: the version that counts now. Earlier versions are in visit_versions.';
COMMENT ON COLUMN visits.state_id IS 'The state of the booth.';
COMMENT ON COLUMN visits.id IS 'The phone''s id, unique within the state.';
COMMENT ON COLUMN visits.booth_id IS 'The booth visited.';
COMMENT ON COLUMN visits.campaign_id IS 'The campaign it counts for.';
COMMENT ON COLUMN visits.worker_id IS 'Who made it.';
COMMENT ON COLUMN visits.device_id IS 'From which device it was uploaded.';
COMMENT ON COLUMN visits.household_id IS 'The door, if it is a known one.';
COMMENT ON COLUMN visits.visited_at IS 'When, by the phone''s clock, as sent.';
COMMENT ON COLUMN visits.visited_on IS 'The day it counts on: that instant''s day in the operating time zone, bounded by campaign and receipt.';
COMMENT ON COLUMN visits.received_at IS 'When the server stored it.';
COMMENT ON COLUMN visits.outcome IS 'met is a contact; the others are not.';
COMMENT ON COLUMN visits.channel IS 'door, phone, street or meeting.';
COMMENT ON COLUMN visits.people_met IS 'How many people were spoken to.';
COMMENT ON COLUMN visits.support IS '1 to 5, only where the campaign collects it.';
COMMENT ON COLUMN visits.issues IS 'Issue codes of the campaign, as a JSON array.';
COMMENT ON COLUMN visits.answers IS 'Answers by question key.';
COMMENT ON COLUMN visits.question_version IS 'The version of the questions that was asked.';
COMMENT ON COLUMN visits.note IS 'Free text of at most 500 characters.';
COMMENT ON COLUMN visits.lat IS 'Latitude in degrees (WGS 84).';
COMMENT ON COLUMN visits.lon IS 'Longitude in degrees (WGS 84).';
COMMENT ON COLUMN visits.accuracy_m IS 'Accuracy of the position in metres.';
COMMENT ON COLUMN visits.mock IS 'Whether the phone says that the position was made up.';
COMMENT ON COLUMN visits.duration_s IS 'How long the visit took, in seconds.';
COMMENT ON COLUMN visits.flags IS 'A machine''s doubts: [{"code","measured","bound"}].';
COMMENT ON COLUMN visits.review IS 'A coordinator''s verdict.';
COMMENT ON COLUMN visits.version IS 'From 1; each correction and void adds one.';
COMMENT ON COLUMN visits.sent_digest IS 'SHA-256 of the content as first sent, by which a resend is known.';
COMMENT ON COLUMN visits.changed_by IS 'Who wrote this version.';
COMMENT ON COLUMN visits.changed_at IS 'When this version was written.';
COMMENT ON COLUMN visits.voided_at IS 'When it was taken back; it is then out of every figure.';
COMMENT ON COLUMN visits.void_reason IS 'Why it was taken back.';

CREATE TABLE visit_versions (
    state_id integer NOT NULL,
    visit_id uuid NOT NULL,
    version integer NOT NULL CHECK (version > 0),
    content jsonb NOT NULL,
    changed_by integer NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (state_id, visit_id, version)
);

COMMENT ON TABLE visit_versions IS 'Versions of visits that a later one replaced, whole. Nothing is ever overwritten.';
COMMENT ON COLUMN visit_versions.state_id IS 'The state.';
COMMENT ON COLUMN visit_versions.visit_id IS 'The visit.';
COMMENT ON COLUMN visit_versions.version IS 'Which version this was.';
COMMENT ON COLUMN visit_versions.content IS 'The visits row as it stood.';
COMMENT ON COLUMN visit_versions.changed_by IS 'Who had written it.';
COMMENT ON COLUMN visit_versions.changed_at IS 'When it was written.';

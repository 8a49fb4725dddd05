-- What leaves the rows when its time is over, what stays of it in the counts, and how far the work has come.

CREATE TABLE support_ledger (
    state_id integer NOT NULL,
    booth_id integer NOT NULL,
    campaign_id integer NOT NULL,
    day date NOT NULL,
    support smallint NOT NULL CHECK (support BETWEEN 1 AND 5),
    visits integer NOT NULL CHECK (visits > 0),
    PRIMARY KEY (state_id, booth_id, campaign_id, day, support)
);
COMMENT ON TABLE support_ledger IS 'Support that has left the rows of visits: how many visits of a booth and day had which. A recount of the totals adds it to what the rows still tell.';
COMMENT ON COLUMN support_ledger.state_id IS 'The state.';
COMMENT ON COLUMN support_ledger.booth_id IS 'The booth.';
COMMENT ON COLUMN support_ledger.campaign_id IS 'The campaign.';
COMMENT ON COLUMN support_ledger.day IS 'The day of the visits.';
COMMENT ON COLUMN support_ledger.support IS '1 to 5.';
COMMENT ON COLUMN support_ledger.visits IS 'Visits, live when it left them, that had it.';

CREATE TABLE retention_progress (
    task text NOT NULL CHECK (task IN ('support', 'coordinates', 'content')),
    campaign_id integer NOT NULL REFERENCES campaigns (id),
    through_at timestamptz NOT NULL,
    through_id uuid NOT NULL,
    PRIMARY KEY (task, campaign_id)
);
COMMENT ON TABLE retention_progress IS 'How far each task of retention has come in each campaign, so that it goes on where it stopped.';
COMMENT ON COLUMN retention_progress.task IS 'support, coordinates or content.';
COMMENT ON COLUMN retention_progress.campaign_id IS 'The campaign.';
COMMENT ON COLUMN retention_progress.through_at IS 'Visits received up to this instant are done, …';
COMMENT ON COLUMN retention_progress.through_id IS '… of that instant itself those up to this id.';

-- Rows come in the order of this index, so that storing one adds at its right edge.
CREATE INDEX visits_received_idx ON visits (campaign_id, received_at, id);

ALTER TABLE workers
    ADD COLUMN erasure_requested_at timestamptz,
    ADD COLUMN erased_at timestamptz,
    ADD CHECK (erased_at IS NULL OR erasure_requested_at IS NOT NULL);
CREATE INDEX workers_erasure_idx ON workers (erasure_requested_at) WHERE erasure_requested_at IS NOT NULL AND erased_at IS NULL;
COMMENT ON COLUMN workers.erasure_requested_at IS 'When he asked for erasure: he is inactive since, and his number and name are shown to nobody.';
COMMENT ON COLUMN workers.erased_at IS 'When his number, name and origin were destroyed, a year after.';

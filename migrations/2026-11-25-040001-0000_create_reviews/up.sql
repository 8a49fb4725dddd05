-- Verdicts on visits, and the queue of those that wait for one. See src/features/reviews/mod.rs.

CREATE TABLE reviews (
    state_id integer NOT NULL,
    visit_id uuid NOT NULL,
    number integer NOT NULL CHECK (number > 0),
    visit_version integer NOT NULL CHECK (visit_version > 0),
    verdict text NOT NULL CHECK (verdict IN ('verified', 'rejected', 'correction_wanted', 'unreviewed')),
    reason text,
    reviewer_id integer NOT NULL REFERENCES workers (id),
    reviewed_at timestamptz NOT NULL,
    salts bytea NOT NULL,
    PRIMARY KEY (state_id, visit_id, number)
);

COMMENT ON TABLE reviews IS 'Verdicts on visits, appended: nothing is changed or taken away. What counts now is visits.review.';
COMMENT ON COLUMN reviews.state_id IS 'The state.';
COMMENT ON COLUMN reviews.visit_id IS 'The visit.';
COMMENT ON COLUMN reviews.number IS 'Place among the verdicts on the visit, from 1.';
COMMENT ON COLUMN reviews.visit_version IS 'The version of the visit that was judged.';
COMMENT ON COLUMN reviews.verdict IS 'verified, rejected or correction_wanted; unreviewed takes the one before back.';
COMMENT ON COLUMN reviews.reason IS 'Why, as told to the author.';
COMMENT ON COLUMN reviews.reviewer_id IS 'Who judged.';
COMMENT ON COLUMN reviews.reviewed_at IS 'When.';
COMMENT ON COLUMN reviews.salts IS 'What the commitment to it is salted with (src/journal/commitment.rs); its parts are the facts and the reason.';

-- How doubtful a visit is: what shows intent weighs 3, what is hard to explain 2, what happens to the honest 1.
CREATE FUNCTION visit_doubt(flags jsonb) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (SELECT coalesce(sum(CASE
            WHEN flag ->> 'code' IN ('mock_location', 'impossible_travel') THEN 3
            WHEN flag ->> 'code' IN ('far_from_booth', 'too_fast', 'same_spot', 'repeat_door', 'no_grant_on_day') THEN 2
            ELSE 1 END), 0)::integer
        FROM jsonb_array_elements(flags) AS flag);

COMMENT ON FUNCTION visit_doubt IS 'The sum of the weights of a visit''s flags: the order of the review queue.';

-- Most visits carry no flag and touch neither index. The first serves a mandal's queue, the second a state's.
CREATE INDEX visits_queue_booth_idx ON visits (booth_id, (-visit_doubt(flags)), visited_on, id)
    WHERE flags <> '[]' AND review = 'unreviewed' AND voided_at IS NULL;
CREATE INDEX visits_queue_idx ON visits ((-visit_doubt(flags)), visited_on, id)
    WHERE flags <> '[]' AND review = 'unreviewed' AND voided_at IS NULL;

COMMENT ON COLUMN visits.review IS 'A coordinator''s verdict; the history is in reviews. It makes no version.';
COMMENT ON COLUMN visits.version IS 'From 1; each correction, void and taking back of a void adds one.';

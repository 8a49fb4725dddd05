-- What workers say to the flags of their visits, and the language in which flags are explained to them.

CREATE TABLE flag_answers (
    state_id integer NOT NULL,
    visit_id uuid NOT NULL,
    number integer NOT NULL CHECK (number > 0),
    code text NOT NULL,
    text_sealed bytea,
    answered_by integer NOT NULL REFERENCES workers (id),
    answered_at timestamptz NOT NULL,
    salts bytea NOT NULL,
    PRIMARY KEY (state_id, visit_id, number),
    FOREIGN KEY (state_id, visit_id) REFERENCES visits (state_id, id)
);

COMMENT ON TABLE flag_answers IS 'What the author of a visit says to its flags, appended: the latest of a code is the one that is shown.';
COMMENT ON COLUMN flag_answers.state_id IS 'The state of the visit.';
COMMENT ON COLUMN flag_answers.visit_id IS 'The visit.';
COMMENT ON COLUMN flag_answers.number IS 'From 1, over all answers to the flags of the visit.';
COMMENT ON COLUMN flag_answers.code IS 'The flag that is answered.';
COMMENT ON COLUMN flag_answers.text_sealed IS 'Free text of at most 500 characters, AES-256-GCM under a data key, bound to this row. Null: erased when the notes of the campaign were.';
COMMENT ON COLUMN flag_answers.answered_by IS 'The author of the visit.';
COMMENT ON COLUMN flag_answers.answered_at IS 'When.';
COMMENT ON COLUMN flag_answers.salts IS 'What the commitment to it is salted with (src/journal/commitment.rs); its parts are the facts and the text.';

-- A session remembers the language of its worker.
CREATE TRIGGER workers_language_changed AFTER UPDATE OF language ON workers
    FOR EACH ROW WHEN (OLD.language IS DISTINCT FROM NEW.language) EXECUTE FUNCTION note_worker_change();
COMMENT ON FUNCTION note_worker_change() IS 'Notes a worker who became active or inactive, or has another language.';

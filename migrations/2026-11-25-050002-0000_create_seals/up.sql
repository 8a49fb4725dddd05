-- The tree over each state's journal, its signed heads, and a way to an entry from who wrote it and when.
-- See src/journal/tree.rs and src/journal/seal.rs.

ALTER TABLE journal_heads
    ADD COLUMN tree_size bigint NOT NULL DEFAULT 0 CHECK (tree_size >= 0),
    ADD COLUMN frontier bytea NOT NULL DEFAULT '';
COMMENT ON COLUMN journal_heads.tree_size IS 'Entries that the tree covers; the same as size but within a posting, and while the tree of an older database is made.';
COMMENT ON COLUMN journal_heads.frontier IS 'Hashes of the largest full subtrees from left to right, 32 bytes each; the root follows from them, and so does every larger tree.';

CREATE TABLE tree_nodes (
    state_id integer NOT NULL,
    level smallint NOT NULL CHECK (level > 0),
    place bigint NOT NULL CHECK (place >= 0),
    hash bytea NOT NULL,
    PRIMARY KEY (state_id, level, place)
);
COMMENT ON TABLE tree_nodes IS 'Full subtrees of the Merkle tree over a state''s journal, one row for every 16, 256, 4096 … entries, so that a proof needs no more than 16 rows a level.';
COMMENT ON COLUMN tree_nodes.state_id IS 'The state (or the nation).';
COMMENT ON COLUMN tree_nodes.level IS 'Height above the leaves: 4, 8, 12 …';
COMMENT ON COLUMN tree_nodes.place IS 'Which of its level, from 0: it covers the entries place * 2^level + 1 to (place + 1) * 2^level.';
COMMENT ON COLUMN tree_nodes.hash IS 'RFC 6962 hash of the subtree.';

CREATE TABLE signed_heads (
    state_id integer NOT NULL,
    size bigint NOT NULL CHECK (size > 0),
    root bytea NOT NULL,
    signed_at timestamptz NOT NULL,
    kid text NOT NULL,
    signature bytea NOT NULL,
    PRIMARY KEY (state_id, size)
);
COMMENT ON TABLE signed_heads IS 'Seals: what the tree of a state was at a size, signed. Never changed.';
COMMENT ON COLUMN signed_heads.state_id IS 'The state (or the nation).';
COMMENT ON COLUMN signed_heads.size IS 'Entries that it covers.';
COMMENT ON COLUMN signed_heads.root IS 'RFC 6962 hash of the tree over them.';
COMMENT ON COLUMN signed_heads.signed_at IS 'When it was signed, by the server''s clock.';
COMMENT ON COLUMN signed_heads.kid IS 'The key that signed it, by its RFC 7638 thumbprint.';
COMMENT ON COLUMN signed_heads.signature IS 'Ed25519 over the head''s text (docs/seals.md).';

CREATE INDEX journal_actor_idx ON journal (state_id, actor_id, at);

DROP INDEX journal_actor_idx;
DROP TABLE signed_heads;
DROP TABLE tree_nodes;
ALTER TABLE journal_heads DROP COLUMN tree_size, DROP COLUMN frontier;

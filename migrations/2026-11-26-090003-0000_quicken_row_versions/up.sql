-- Keys of versions are compared byte by byte, and a statement asks once for the name of its write: an import of units keeps
-- two or three versions for each of its rows.

ALTER TABLE row_versions ALTER COLUMN kind TYPE text COLLATE "C", ALTER COLUMN id TYPE text COLLATE "C";

DO $do$
DECLARE
    f record;
BEGIN
    FOR f IN SELECT proname, replace(replace(prosrc, 'n.hash, row_write()', 'n.hash, write'),
                                     'BEGIN', 'DECLARE write uuid := row_write(); BEGIN') AS body
             FROM pg_proc WHERE proname ~ '^keep_.*_versions$' AND pronamespace = 'public'::regnamespace LOOP
        EXECUTE format($f$
            CREATE OR REPLACE FUNCTION %I() RETURNS trigger LANGUAGE plpgsql
                SET timezone = 'UTC' SET datestyle = 'ISO' SET bytea_output = 'hex' AS %L
        $f$, f.proname, f.body);
    END LOOP;
END $do$;

DO $do$
DECLARE
    f record;
BEGIN
    FOR f IN SELECT proname, replace(replace(prosrc, 'n.hash, write', 'n.hash, row_write()'),
                                     'DECLARE write uuid := row_write(); BEGIN', 'BEGIN') AS body
             FROM pg_proc WHERE proname ~ '^keep_.*_versions$' AND pronamespace = 'public'::regnamespace LOOP
        EXECUTE format($f$
            CREATE OR REPLACE FUNCTION %I() RETURNS trigger LANGUAGE plpgsql
                SET timezone = 'UTC' SET datestyle = 'ISO' SET bytea_output = 'hex' AS %L
        $f$, f.proname, f.body);
    END LOOP;
END $do$;

ALTER TABLE row_versions ALTER COLUMN kind TYPE text COLLATE "default", ALTER COLUMN id TYPE text COLLATE "default";

-- How many units of each level lie under every unit, on any day: the denominator of whatever each of them should do.
-- Derived from the lineages by the database itself, so that no way of writing them can forget it.

CREATE TABLE level_counts (
    unit_id integer NOT NULL,
    level text NOT NULL,
    day date NOT NULL,
    change integer NOT NULL,
    PRIMARY KEY (unit_id, level, day)
);

COMMENT ON TABLE level_counts IS 'By how many units of a level a unit has more (or fewer) under it, itself included, from a day on; the sum up to a day is how many it has on that day. Written by triggers on lineages. The nation has no rows: it is the sum over its states.';
COMMENT ON COLUMN level_counts.unit_id IS 'The unit above, or the unit itself.';
COMMENT ON COLUMN level_counts.level IS 'The level that is counted.';
COMMENT ON COLUMN level_counts.day IS 'From which day on; 0001-01-01 means since ever.';
COMMENT ON COLUMN level_counts.change IS 'How many came, less how many went.';

CREATE FUNCTION count_levels() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP IN ('DELETE', 'UPDATE') THEN
        INSERT INTO level_counts AS c (unit_id, level, day, change)
        SELECT a.id, u.level, d.day, -sum(d.sign)
        FROM rows_before l JOIN units u ON u.id = l.unit_id CROSS JOIN LATERAL unnest(l.unit_ids) AS a (id)
        CROSS JOIN LATERAL (VALUES (l.valid_from, 1), (l.valid_to, -1)) AS d (day, sign)
        WHERE d.day IS NOT NULL AND NOT EXISTS (SELECT 1 FROM units n WHERE n.id = a.id AND n.level = 'nation')
        GROUP BY a.id, u.level, d.day HAVING sum(d.sign) <> 0
        ORDER BY a.id, u.level, d.day
        ON CONFLICT (unit_id, level, day) DO UPDATE SET change = c.change + excluded.change;
    END IF;
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        INSERT INTO level_counts AS c (unit_id, level, day, change)
        SELECT a.id, u.level, d.day, sum(d.sign)
        FROM rows_after l JOIN units u ON u.id = l.unit_id CROSS JOIN LATERAL unnest(l.unit_ids) AS a (id)
        CROSS JOIN LATERAL (VALUES (l.valid_from, 1), (l.valid_to, -1)) AS d (day, sign)
        WHERE d.day IS NOT NULL AND NOT EXISTS (SELECT 1 FROM units n WHERE n.id = a.id AND n.level = 'nation')
        GROUP BY a.id, u.level, d.day HAVING sum(d.sign) <> 0
        ORDER BY a.id, u.level, d.day
        ON CONFLICT (unit_id, level, day) DO UPDATE SET change = c.change + excluded.change;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER lineages_counted_in AFTER INSERT ON lineages REFERENCING NEW TABLE AS rows_after
    FOR EACH STATEMENT EXECUTE FUNCTION count_levels();
CREATE TRIGGER lineages_counted_out AFTER DELETE ON lineages REFERENCING OLD TABLE AS rows_before
    FOR EACH STATEMENT EXECUTE FUNCTION count_levels();
CREATE TRIGGER lineages_counted_anew AFTER UPDATE ON lineages REFERENCING OLD TABLE AS rows_before NEW TABLE AS rows_after
    FOR EACH STATEMENT EXECUTE FUNCTION count_levels();

INSERT INTO level_counts (unit_id, level, day, change)
SELECT a.id, u.level, d.day, sum(d.sign)
FROM lineages l JOIN units u ON u.id = l.unit_id CROSS JOIN LATERAL unnest(l.unit_ids) AS a (id)
CROSS JOIN LATERAL (VALUES (l.valid_from, 1), (l.valid_to, -1)) AS d (day, sign)
WHERE d.day IS NOT NULL AND NOT EXISTS (SELECT 1 FROM units n WHERE n.id = a.id AND n.level = 'nation')
GROUP BY a.id, u.level, d.day HAVING sum(d.sign) <> 0;

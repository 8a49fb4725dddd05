//! Placements and the lineages derived from them; totals kept exact when either changes.

use chrono::NaiveDate;
use diesel::QueryResult;
use diesel::sql_types::{Array, Date, Integer, Text};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};

use super::super::rules::{Level, Tree};
use crate::counter_columns;
use crate::platform::db::Tx;
use crate::platform::ids::UnitId;
use crate::platform::statement::statement;

/// Class of the advisory locks, one a state, that keep lineages still while visits are counted along them: whoever
/// counts holds the state's shared, whoever moves a unit holds it alone.
pub const LINEAGE_LOCK: i32 = 0x5341_0002;

/// How a state's lineages are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// They shall not change: to count along them, to hang a new unit under them.
    Shared,
    /// To change them.
    Alone,
}

/// Holds the lineages of these states until the transaction ends, in the order of their ids, so that no two wait for
/// each other.
pub async fn hold_lineages(tx: &mut Tx, states: &[UnitId], hold: Hold) -> QueryResult<()> {
    let text = match hold {
        Hold::Shared => {
            "SELECT count(pg_advisory_xact_lock_shared($1, s))
             FROM (SELECT DISTINCT s FROM unnest($2::int[]) AS s ORDER BY s) AS states"
        }
        Hold::Alone => {
            "SELECT count(pg_advisory_xact_lock($1, s))
             FROM (SELECT DISTINCT s FROM unnest($2::int[]) AS s ORDER BY s) AS states"
        }
    };
    statement(text)
        .bind::<Integer, _>(LINEAGE_LOCK)
        .bind::<Array<Integer>, _>(states)
        .execute(tx)
        .await
        .map(|_| ())
}

/// From a day on, a unit stands under a parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    pub unit_id: UnitId,
    pub tree: Tree,
    pub parent_id: UnitId,
    pub from: NaiveDate,
}

#[derive(Clone, Copy, Debug, diesel::QueryableByName)]
pub struct PlacementRow {
    #[diesel(sql_type = Integer)]
    pub parent_id: UnitId,
    #[diesel(sql_type = Date)]
    pub valid_from: NaiveDate,
}

/// Where the unit stands in a tree from a day on, if nothing later is planned.
pub async fn settled_placement(
    tx: &mut Tx,
    unit_id: UnitId,
    tree: Tree,
    from: NaiveDate,
) -> QueryResult<Option<PlacementRow>> {
    let rows = statement(
        "SELECT parent_id, valid_from FROM placements
         WHERE unit_id = $1 AND tree = $2 AND valid_from <= $3 AND valid_to IS NULL",
    )
    .bind::<Integer, _>(unit_id)
    .bind::<Text, _>(tree.as_str())
    .bind::<Date, _>(from)
    .load(tx)
    .await?;
    Ok(rows.into_iter().next())
}

/// Derives the lineages of units that have none, under parents that have theirs. The states must be held.
pub async fn derive_lineages(tx: &mut Tx, units: &[(UnitId, Level)]) -> QueryResult<()> {
    tx.batch_execute("CREATE TEMP TABLE lineages_fresh (LIKE lineages) ON COMMIT DROP")
        .await?;
    for level in Level::ALL {
        let ids: Vec<UnitId> = units
            .iter()
            .filter(|(_, of)| of == level)
            .map(|(id, _)| *id)
            .collect();
        if !ids.is_empty() {
            derive_level(tx, &ids).await?;
        }
    }
    tx.batch_execute("DROP TABLE lineages_fresh").await
}

// A unit's lineage changes on the days on which its own placements or its parents' lineages do. How many units there are
// decides on the plan; but what is planned anew each time must not include the checks of foreign keys, one for each row,
// so it goes by way of a table that has none.
async fn derive_level(tx: &mut Tx, ids: &[UnitId]) -> QueryResult<()> {
    tx.batch_execute("SET LOCAL plan_cache_mode = force_custom_plan")
        .await?;
    statement(
        "WITH touched AS (
             SELECT unnest($1::int[]) AS unit_id
         ), pieces AS (
             SELECT t.unit_id, greatest(p.valid_from, l.valid_from) AS valid_from,
                    least(p.valid_to, l.valid_to) AS valid_to, l.unit_ids
             FROM touched t JOIN placements p ON p.unit_id = t.unit_id
             JOIN lineages l ON l.unit_id = p.parent_id AND (p.valid_to IS NULL OR l.valid_from < p.valid_to)
                            AND (l.valid_to IS NULL OR l.valid_to > p.valid_from)
         ), days AS (
             SELECT unit_id, date '0001-01-01' AS day FROM touched
             UNION SELECT unit_id, valid_from FROM pieces
         ), sets AS (
             SELECT d.unit_id, d.day, array_agg(DISTINCT a.id ORDER BY a.id) AS unit_ids
             FROM days d
             LEFT JOIN pieces p ON p.unit_id = d.unit_id AND p.valid_from <= d.day
                               AND (p.valid_to IS NULL OR p.valid_to > d.day)
             CROSS JOIN LATERAL unnest(coalesce(p.unit_ids, '{}') || d.unit_id) AS a (id)
             GROUP BY d.unit_id, d.day
         ), compared AS (
             SELECT *, lag(unit_ids) OVER (PARTITION BY unit_id ORDER BY day) AS before FROM sets
         )
         INSERT INTO lineages_fresh (unit_id, valid_from, valid_to, state_id, unit_ids)
         SELECT c.unit_id, c.day, lead(c.day) OVER (PARTITION BY c.unit_id ORDER BY c.day), u.state_id, c.unit_ids
         FROM compared c JOIN units u ON u.id = c.unit_id
         WHERE c.before IS DISTINCT FROM c.unit_ids",
    )
    .bind::<Array<Integer>, _>(ids)
    .execute(tx)
    .await?;
    tx.batch_execute(
        "SET LOCAL plan_cache_mode = auto;
         INSERT INTO lineages SELECT * FROM lineages_fresh ORDER BY unit_id;
         TRUNCATE lineages_fresh",
    )
    .await
}

/// Moves units, derives the lineages of all that ever lay under them anew, and charges what was counted along the old
/// lineages to the new ones. The states must be held alone.
pub async fn move_units(tx: &mut Tx, moves: &[Move]) -> QueryResult<()> {
    if moves.is_empty() {
        return Ok(());
    }
    tx.batch_execute("CREATE TEMP TABLE lineages_before (LIKE lineages) ON COMMIT DROP")
        .await?;
    let touched = set_lineages_aside(tx, moves).await?;
    replace_placements(tx, moves).await?;
    derive_lineages(tx, &touched).await?;
    charge_anew(tx).await
}

#[derive(diesel::QueryableByName)]
struct TouchedRow {
    #[diesel(sql_type = Integer)]
    unit_id: UnitId,
    #[diesel(sql_type = Text)]
    level: String,
}

async fn set_lineages_aside(tx: &mut Tx, moves: &[Move]) -> QueryResult<Vec<(UnitId, Level)>> {
    let mut ids: Vec<UnitId> = moves.iter().map(|moved| moved.unit_id).collect();
    ids.sort_unstable();
    ids.dedup();
    statement(
        "WITH gone AS (
             DELETE FROM lineages l
             USING (SELECT DISTINCT b.unit_id FROM unnest($1::int[]) AS m JOIN lineages b ON b.unit_ids @> ARRAY[m]) AS t
             WHERE l.unit_id = t.unit_id RETURNING l.*
         )
         INSERT INTO lineages_before SELECT * FROM gone",
    )
    .bind::<Array<Integer>, _>(ids)
    .execute(tx)
    .await?;
    tx.batch_execute("ANALYZE lineages_before").await?;
    let rows: Vec<TouchedRow> = statement(
        "SELECT u.id AS unit_id, u.level FROM units u WHERE u.id IN (SELECT unit_id FROM lineages_before) ORDER BY u.id",
    )
    .load(tx)
    .await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| Some((row.unit_id, Level::find(&row.level)?)))
        .collect())
}

// What was to hold from the day or later gives way; what held before ends on it, or goes on if it is the same parent.
const GIVE_WAY: &str = "
    DELETE FROM placements p USING unnest($1::int[], $2::text[], $3::int[], $4::date[]) AS m (unit_id, tree, parent_id, day)
    WHERE p.unit_id = m.unit_id AND p.tree = m.tree AND p.valid_from >= m.day";
const END: &str = "
    UPDATE placements p SET valid_to = CASE WHEN p.parent_id = m.parent_id THEN NULL ELSE m.day END
    FROM unnest($1::int[], $2::text[], $3::int[], $4::date[]) AS m (unit_id, tree, parent_id, day)
    WHERE p.unit_id = m.unit_id AND p.tree = m.tree AND (p.valid_to IS NULL OR p.valid_to >= m.day)";
const BEGIN: &str = "
    INSERT INTO placements (unit_id, tree, parent_id, valid_from)
    SELECT m.unit_id, m.tree, m.parent_id, m.day
    FROM unnest($1::int[], $2::text[], $3::int[], $4::date[]) AS m (unit_id, tree, parent_id, day)
    WHERE NOT EXISTS (SELECT 1 FROM placements p WHERE p.unit_id = m.unit_id AND p.tree = m.tree AND p.valid_to IS NULL)
    ORDER BY m.unit_id";

async fn replace_placements(tx: &mut Tx, moves: &[Move]) -> QueryResult<()> {
    for text in [GIVE_WAY, END, BEGIN] {
        statement(text)
            .bind::<Array<Integer>, _>(moves.iter().map(|m| m.unit_id).collect::<Vec<_>>())
            .bind::<Array<Text>, _>(moves.iter().map(|m| m.tree.as_str()).collect::<Vec<_>>())
            .bind::<Array<Integer>, _>(moves.iter().map(|m| m.parent_id).collect::<Vec<_>>())
            .bind::<Array<Date>, _>(moves.iter().map(|m| m.from).collect::<Vec<_>>())
            .execute(tx)
            .await?;
    }
    Ok(())
}

// A booth's own figures do not depend on the trees: what it has on the days on which its lineage changed goes to the
// units that it joined and is taken from those that it left. One statement, so one snapshot of ledger and inbox.
const CHARGE: &str = concat!(
    "
    WITH changed AS MATERIALIZED (
        SELECT o.state_id, o.unit_id, greatest(o.valid_from, n.valid_from) AS valid_from,
               least(o.valid_to, n.valid_to) AS valid_to,
               ARRAY(SELECT unnest(n.unit_ids) EXCEPT SELECT unnest(o.unit_ids) ORDER BY 1) AS joined,
               ARRAY(SELECT unnest(o.unit_ids) EXCEPT SELECT unnest(n.unit_ids) ORDER BY 1) AS parted
        FROM lineages_before o JOIN units u ON u.id = o.unit_id AND u.level = 'booth'
        JOIN lineages n ON n.unit_id = o.unit_id AND (o.valid_to IS NULL OR n.valid_from < o.valid_to)
                       AND (n.valid_to IS NULL OR o.valid_from < n.valid_to)
        WHERE n.unit_ids <> o.unit_ids
    ), figures AS (
        SELECT c.state_id, c.unit_id AS booth_id, c.joined, c.parted, t.campaign_id, t.day, ",
    counter_columns!(),
    "
        FROM changed c JOIN totals t ON t.state_id = c.state_id AND t.unit_id = c.unit_id AND t.day >= c.valid_from
                                    AND (c.valid_to IS NULL OR t.day < c.valid_to)
        UNION ALL
        SELECT c.state_id, c.unit_id, c.joined, c.parted, t.campaign_id, t.day, ",
    counter_columns!(),
    "
        FROM changed c JOIN tally_inbox t ON t.state_id = c.state_id AND t.booth_id = c.unit_id AND t.day >= c.valid_from
                                         AND (c.valid_to IS NULL OR t.day < c.valid_to)
        WHERE t.booth_id = ANY (t.unit_ids)
    )
    INSERT INTO tally_inbox (state_id, booth_id, campaign_id, day, unit_ids, ",
    counter_columns!(),
    ")
    SELECT f.state_id, f.booth_id, f.campaign_id, f.day, s.unit_ids,
           s.sign * sum(visits), s.sign * sum(met), s.sign * sum(not_home), s.sign * sum(refused),
           s.sign * sum(moved), s.sign * sum(locked), s.sign * sum(inaccessible), s.sign * sum(people_met),
           s.sign * sum(doors_reached), s.sign * sum(support_1), s.sign * sum(support_2), s.sign * sum(support_3),
           s.sign * sum(support_4), s.sign * sum(support_5), s.sign * sum(flagged), s.sign * sum(verified),
           s.sign * sum(rejected), s.sign * sum(voided)
    FROM figures f CROSS JOIN LATERAL (VALUES (f.joined, 1), (f.parted, -1)) AS s (unit_ids, sign)
    WHERE s.unit_ids <> '{}'
    GROUP BY f.state_id, f.booth_id, f.campaign_id, f.day, s.unit_ids, s.sign"
);

// The same for tasks, whose counts go by the lineages of the day on which the task was set: how each unit that moved stands
// goes from the units that were charged with it to those that are to be.
const CHARGE_WORK: &str = "
    WITH changed AS MATERIALIZED (
        SELECT o.state_id, o.unit_id, greatest(o.valid_from, n.valid_from) AS valid_from,
               least(o.valid_to, n.valid_to) AS valid_to, o.unit_ids AS before, n.unit_ids AS after
        FROM lineages_before o
        JOIN lineages n ON n.unit_id = o.unit_id AND (o.valid_to IS NULL OR n.valid_from < o.valid_to)
                       AND (n.valid_to IS NULL OR o.valid_from < n.valid_to)
        WHERE n.unit_ids <> o.unit_ids
    ), standings AS (
        SELECT c.state_id, c.unit_id, k.id AS task_id, s.status,
               CASE WHEN k.unit_id = ANY (c.before) AND (k.seats IS NULL OR c.before && k.seats) THEN c.before
                    ELSE '{}' END AS before,
               CASE WHEN k.unit_id = ANY (c.after) AND (k.seats IS NULL OR c.after && k.seats) THEN c.after
                    ELSE '{}' END AS after
        FROM changed c JOIN task_units s ON s.state_id = c.state_id AND s.unit_id = c.unit_id
        JOIN tasks k ON k.id = s.task_id AND k.set_on >= c.valid_from AND (c.valid_to IS NULL OR k.set_on < c.valid_to)
    ), charges AS (
        SELECT s.*, m.sign, ARRAY(SELECT i FROM unnest(m.units) AS i JOIN units u ON u.id = i AND u.level <> 'nation'
                                  WHERE i <> ALL (m.others) ORDER BY i) AS unit_ids
        FROM standings s CROSS JOIN LATERAL (VALUES (s.after, s.before, 1), (s.before, s.after, -1))
             AS m (units, others, sign)
    )
    INSERT INTO task_tally_inbox (state_id, task_id, unit_id, unit_ids, accepted, done, verified, returned)
    SELECT state_id, task_id, unit_id, unit_ids, sign * (status IN ('accepted', 'in_progress'))::int,
           sign * (status IN ('done', 'verified'))::int, sign * (status = 'verified')::int,
           sign * (status = 'returned')::int
    FROM charges WHERE unit_ids <> '{}'";

async fn charge_anew(tx: &mut Tx) -> QueryResult<()> {
    for text in [CHARGE, CHARGE_WORK] {
        statement(text).execute(tx).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::CHARGE;
    use crate::journal::Counters;

    #[test]
    fn every_counter_is_charged_in_the_order_of_the_columns() {
        let sums: Vec<String> = Counters::default()
            .named()
            .iter()
            .map(|(name, _)| format!("s.sign * sum({name})"))
            .collect();
        let flat = CHARGE.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(&sums.join(", ")));
    }
}

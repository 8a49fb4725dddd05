//! A nation as large as the real one, and as many visits in it as are asked for, copied straight into the tables (COPY):
//! 36 states, 648 districts, 540 parliamentary and 4,140 assembly constituencies, 6,480 mandals, 1,048,202 booths.
//!
//! Visits lie as workers make them: twenty at one booth on one day. They have their entries in the journal, whose trees
//! the program itself extends over them, and the totals are rebuilt from them.

use std::fmt::Write;
use std::io::Cursor;
use std::path::Path;
use std::pin::pin;
use std::time::Instant;

use futures_util::SinkExt;
use tokio_postgres::NoTls;

use crate::world::{World, count, execute, people};

pub const BOOTHS: i64 = 1_048_202;
const STATES: i64 = 36;
/// In each state; the last has ten booths fewer.
const BOOTHS_EACH: i64 = 29_117;
const DISTRICTS: i64 = 18;
const PARLIAMENTARY: i64 = 15;
const ASSEMBLY: i64 = 115;
const MANDALS: i64 = 180;
/// Visits at one booth on one day.
const ROUND: i64 = 20;
const DAYS: u64 = 30;
/// How much text travels at once.
const PIECE: usize = 1 << 20;

/// Numbers of units, level by level.
fn state(s: i64) -> i64 {
    2 + s
}
fn district(s: i64, d: i64) -> i64 {
    100 + s * DISTRICTS + d
}
fn parliamentary(s: i64, p: i64) -> i64 {
    1_000 + s * PARLIAMENTARY + p
}
pub fn assembly(s: i64, a: i64) -> i64 {
    2_000 + s * ASSEMBLY + a
}
pub fn mandal(s: i64, m: i64) -> i64 {
    10_000 + s * MANDALS + m
}
pub fn booth(n: i64) -> i64 {
    100_000 + n
}

/// A unit with its lineage, the nation first; its parents are those before it, one in each tree.
struct Place {
    id: i64,
    level: &'static str,
    state: i64,
    lineage: Vec<i64>,
    parents: Vec<(&'static str, i64)>,
}

fn place(level: &'static str, id: i64, s: i64, above: &[i64], parents: Vec<(&'static str, i64)>) -> Place {
    let mut lineage = vec![1, state(s)];
    lineage.extend_from_slice(above);
    lineage.push(id);
    Place {
        id,
        level,
        state: state(s),
        lineage,
        parents,
    }
}

fn places() -> impl Iterator<Item = Place> {
    let nation = Place {
        id: 1,
        level: "nation",
        state: 1,
        lineage: vec![1],
        parents: Vec::new(),
    };
    let above = (0..STATES).flat_map(|s| {
        let own = Place {
            id: state(s),
            level: "state",
            state: state(s),
            lineage: vec![1, state(s)],
            parents: vec![("organisation", 1), ("electorate", 1)],
        };
        let districts = (0..DISTRICTS).map(move |d| {
            place(
                "district",
                district(s, d),
                s,
                &[],
                vec![("organisation", state(s))],
            )
        });
        let parliamentary_ones = (0..PARLIAMENTARY).map(move |p| {
            let id = parliamentary(s, p);
            place(
                "parliamentary_constituency",
                id,
                s,
                &[],
                vec![("electorate", state(s))],
            )
        });
        let seats = (0..ASSEMBLY).map(move |a| {
            let over = parliamentary(s, a * PARLIAMENTARY / ASSEMBLY);
            place(
                "assembly_constituency",
                assembly(s, a),
                s,
                &[over],
                vec![("electorate", over)],
            )
        });
        let mandals = (0..MANDALS).map(move |m| {
            let over = district(s, m * DISTRICTS / MANDALS);
            place("mandal", mandal(s, m), s, &[over], vec![("organisation", over)])
        });
        std::iter::once(own)
            .chain(districts)
            .chain(parliamentary_ones)
            .chain(seats)
            .chain(mandals)
    });
    let booths = (0..BOOTHS).map(|n| {
        let (s, k) = (n / BOOTHS_EACH, n % BOOTHS_EACH);
        let (a, m) = (k * ASSEMBLY / BOOTHS_EACH, k * MANDALS / BOOTHS_EACH);
        let above = [
            district(s, m * DISTRICTS / MANDALS),
            parliamentary(s, a * PARLIAMENTARY / ASSEMBLY),
            assembly(s, a),
            mandal(s, m),
        ];
        let parents = vec![("organisation", mandal(s, m)), ("electorate", assembly(s, a))];
        place("booth", booth(n), s, &above, parents)
    });
    std::iter::once(nation).chain(above).chain(booths)
}

/// Copies lines into a table.
async fn copy(url: &str, into: &str, lines: impl Iterator<Item = String>) {
    let began = Instant::now();
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let sink = client.copy_in(&format!("COPY {into} FROM STDIN")).await.unwrap();
    let mut sink = pin!(sink);
    let mut piece = String::with_capacity(PIECE + 1024);
    for line in lines {
        piece.push_str(&line);
        piece.push('\n');
        if piece.len() >= PIECE {
            let full = std::mem::replace(&mut piece, String::with_capacity(PIECE + 1024));
            sink.send(Cursor::new(full.into_bytes())).await.unwrap();
        }
    }
    sink.send(Cursor::new(piece.into_bytes())).await.unwrap();
    sink.finish().await.unwrap();
    drop(client);
    connection.await.unwrap().unwrap();
    let table = into.split(' ').next().unwrap_or_default();
    eprintln!("{table} copied in {:.0} s", began.elapsed().as_secs_f64());
}

fn array(ids: &[i64]) -> String {
    let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
    format!("{{{}}}", ids.join(","))
}

/// The units, a campaign of the whole nation, and those who collect.
pub async fn build(url: &str, dir: &Path) -> World {
    let units = places().map(|unit| {
        format!(
            "{0}\tU{0}\t{1}\tUnit {0}\t{2}\t250\t2026-10-01\t2026-10-01",
            unit.id, unit.level, unit.state
        )
    });
    copy(
        url,
        "units (id, code, level, name, state_id, doors, created_at, updated_at)",
        units,
    )
    .await;
    let placements = places().flat_map(|unit| {
        let lines = unit
            .parents
            .iter()
            .map(|(tree, parent)| format!("{}\t{tree}\t{parent}\t0001-01-01", unit.id));
        lines.collect::<Vec<_>>()
    });
    copy(
        url,
        "placements (unit_id, tree, parent_id, valid_from)",
        placements,
    )
    .await;
    let lineages = places().map(|unit| {
        format!(
            "{}\t0001-01-01\t{}\t{}",
            unit.id,
            unit.state,
            array(&unit.lineage)
        )
    });
    copy(
        url,
        "lineages (unit_id, valid_from, state_id, unit_ids)",
        lineages,
    )
    .await;
    execute(
        url,
        "INSERT INTO campaigns (id, unit_id, name, starts_on, bounds, created_at, updated_at)
         VALUES (1, 1, 'Growth', '2026-10-01', '{\"backdated\": {\"days\": 90}}', now(), now());
         INSERT INTO campaign_questions (campaign_id, version, questions, created_at) VALUES (1, 1, '[
             {\"key\": \"heard\", \"type\": \"bool\", \"labels\": {}},
             {\"key\": \"need\", \"type\": \"choice\", \"options\": [\"road\", \"water\"], \"labels\": {}}]', now());
         ANALYZE",
    )
    .await;
    // Counting the cadre of a nation and grading it for the first time would take a core for half an hour of what is measured.
    execute(
        url,
        "TRUNCATE cadre_changes;
         INSERT INTO grading_runs (state_id, day, after_id, finished_at, finished_day)
         SELECT id, current_date, 0, now(), current_date FROM units WHERE level = 'state'
         ON CONFLICT (state_id) DO UPDATE SET finished_at = excluded.finished_at, finished_day = excluded.finished_day",
    )
    .await;
    let tokens = people(url, dir, "national_admin", 1).await;
    // Phones upload from booths all over the nation.
    let step = BOOTHS / 20_000;
    World {
        state_id: i32::try_from(state(0)).unwrap(),
        booths: (0..20_000)
            .map(|n| i32::try_from(booth(n * step)).unwrap())
            .collect(),
        campaign_id: 1,
        tokens,
    }
}

/// A number that looks like chance and is the same in every run.
fn mixed(n: u64) -> u64 {
    let mut z = n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Where and when the n-th visit was, and its id.
struct Visited {
    state: i64,
    booth: i64,
    worker: u64,
    at: String,
    day: u64,
    id: String,
    chance: u64,
}

impl Visited {
    fn nth(n: i64) -> Self {
        let round = mixed((n / ROUND).unsigned_abs());
        let chance = mixed(n.unsigned_abs() ^ 0x5A5A_0000_0000);
        let booths = BOOTHS.unsigned_abs();
        let number = i64::try_from(round % booths).unwrap();
        let day = 1 + round / booths % DAYS;
        let (high, low) = (mixed(chance), mixed(chance ^ 1));
        Self {
            state: state(number / BOOTHS_EACH),
            booth: booth(number),
            worker: 1 + mixed(round) % u64::from(crate::world::WORKERS.unsigned_abs()),
            at: format!(
                "2026-10-{day:02}T{:02}:{:02}:00+05:30",
                9 + n % ROUND / 4,
                n % ROUND % 4 * 15
            ),
            day,
            id: format!("{:016x}{:016x}", high, low),
            chance,
        }
    }

    fn row(&self) -> String {
        let outcome = ["met", "met", "met", "not_home", "locked", "refused"][(self.chance % 6) as usize];
        let (people, support) = if outcome == "met" {
            (1 + self.chance / 6 % 4, (1 + self.chance / 24 % 5).to_string())
        } else {
            (0, "\\N".to_owned())
        };
        let mut row = String::with_capacity(400);
        let _ = write!(
            row,
            "{}\t{}\t{}\t1\t{}\t{at}\t2026-10-{:02}\t{at}\t{outcome}\tdoor\t{people}\t{support}\t[\"road\"]\t\
             {{\"heard\": true, \"need\": \"road\"}}\t1\t[]\t\\\\x{id}{id}\t{}\t{at}",
            self.state,
            self.id,
            self.booth,
            self.worker,
            self.day,
            self.worker,
            at = self.at,
            id = self.id,
        );
        row
    }

    fn entry(&self, number: i64) -> String {
        format!(
            "{}\t{number}\t{booth}\t{{{booth}}}\t{}\tvisit.record\tvisit\t{{}}\t{{{id}}}\t{{1}}\t\\\\x{id}{id}\t{}\t\\\\x{id}{id}",
            self.state,
            self.worker,
            self.at,
            booth = self.booth,
            id = self.id,
        )
    }
}

const REBUILD: &str = "
    TRUNCATE totals, totals_to_date;
    INSERT INTO totals (state_id, unit_id, campaign_id, day, visits, met, not_home, refused, moved, locked, inaccessible,
                        people_met, support_1, support_2, support_3, support_4, support_5, flagged)
    SELECT v.state_id, u.id, v.campaign_id, v.visited_on, sum(visits), sum(met), sum(not_home), sum(refused), sum(moved),
           sum(locked), sum(inaccessible), sum(people_met), sum(support_1), sum(support_2), sum(support_3), sum(support_4),
           sum(support_5), sum(flagged)
    FROM (SELECT state_id, booth_id, campaign_id, visited_on, count(*) AS visits,
                 count(*) FILTER (WHERE outcome = 'met') AS met, count(*) FILTER (WHERE outcome = 'not_home') AS not_home,
                 count(*) FILTER (WHERE outcome = 'refused') AS refused, count(*) FILTER (WHERE outcome = 'moved') AS moved,
                 count(*) FILTER (WHERE outcome = 'locked') AS locked,
                 count(*) FILTER (WHERE outcome = 'inaccessible') AS inaccessible, sum(people_met) AS people_met,
                 count(*) FILTER (WHERE support = 1) AS support_1, count(*) FILTER (WHERE support = 2) AS support_2,
                 count(*) FILTER (WHERE support = 3) AS support_3, count(*) FILTER (WHERE support = 4) AS support_4,
                 count(*) FILTER (WHERE support = 5) AS support_5, count(*) FILTER (WHERE flags <> '[]') AS flagged
          FROM visits GROUP BY state_id, booth_id, campaign_id, visited_on) v
    JOIN lineages l ON l.unit_id = v.booth_id, unnest(l.unit_ids) AS u (id)
    WHERE u.id <> 1
    GROUP BY v.state_id, u.id, v.campaign_id, v.visited_on;
    INSERT INTO totals_to_date (state_id, unit_id, campaign_id, visits, met, not_home, refused, moved, locked, inaccessible,
                                people_met, support_1, support_2, support_3, support_4, support_5, flagged)
    SELECT state_id, unit_id, campaign_id, sum(visits), sum(met), sum(not_home), sum(refused), sum(moved), sum(locked),
           sum(inaccessible), sum(people_met), sum(support_1), sum(support_2), sum(support_3), sum(support_4),
           sum(support_5), sum(flagged)
    FROM totals GROUP BY state_id, unit_id, campaign_id";

/// Copies the visits from one number to another in, with their entries, and rebuilds the totals. Nothing else may be
/// written meanwhile; what was recorded is posted already.
pub async fn fill(url: &str, from: i64, to: i64) {
    let columns = "visits (state_id, id, booth_id, campaign_id, worker_id, visited_at, visited_on, received_at, outcome, channel,
        people_met, support, issues, answers, question_version, flags, sent_digest, changed_by, changed_at)";
    copy(url, columns, (from..to).map(|n| Visited::nth(n).row())).await;
    let mut numbers = Vec::new();
    for s in 0..STATES {
        let size = format!(
            "SELECT coalesce((SELECT size FROM journal_heads WHERE state_id = {}), 0)",
            state(s)
        );
        numbers.push(count(url, &size).await);
    }
    let columns =
        "journal (state_id, number, unit_id, unit_ids, actor_id, action, subject, subject_ids, subject_uuids,
        subject_versions, digest, at, leaf_hash)";
    let entries = (from..to).map(|n| {
        let visit = Visited::nth(n);
        let number = &mut numbers[usize::try_from(visit.state - state(0)).unwrap()];
        *number += 1;
        visit.entry(*number)
    });
    copy(url, columns, entries).await;
    execute(
        url,
        "INSERT INTO journal_heads (state_id, size) SELECT state_id, max(number) FROM journal GROUP BY state_id
         ON CONFLICT (state_id) DO UPDATE SET size = excluded.size",
    )
    .await;
    execute(url, REBUILD).await;
    for table in ["visits", "totals", "totals_to_date", "journal"] {
        execute(url, &format!("VACUUM (ANALYZE) {table}")).await;
    }
}

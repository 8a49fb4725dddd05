//! The same figures by another way: loops over the rows, with none of the program's own code.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Scene, day};
use crate::support::World;

/// What indicators are made of.
#[derive(Clone, Debug)]
pub struct Row {
    pub booth: i32,
    pub worker: i32,
    pub met: bool,
    /// Day of November, and minute of that day in India.
    pub at: (u32, u16),
    pub duration_s: Option<i32>,
    pub at_door: bool,
    /// `None`: no position; else whether it was made up.
    pub mock: Option<Option<bool>>,
    pub flagged: bool,
    /// 0: none.
    pub answers: u8,
    pub question_version: i32,
    pub voided: bool,
    pub review: &'static str,
}

impl Row {
    /// A visit at a door at noon that took four minutes.
    pub const fn plain() -> Self {
        Self {
            booth: 0,
            worker: 0,
            met: true,
            at: (10, 720),
            duration_s: Some(240),
            at_door: true,
            mock: Some(Some(false)),
            flagged: false,
            answers: 0,
            question_version: 1,
            voided: false,
            review: "unreviewed",
        }
    }

    fn instant(&self) -> DateTime<Utc> {
        let midnight = day(self.at.0).and_hms_opt(0, 0, 0).unwrap().and_utc() - TimeDelta::minutes(330);
        midnight + TimeDelta::minutes(i64::from(self.at.1))
    }

    fn answers(&self) -> Value {
        match self.answers {
            0 => json!({}),
            n => json!({"heard": n % 2 == 0, "need": format!("n{n}")}),
        }
    }
}

/// Stores visits as they would lie there.
pub async fn insert(world: &World, campaign: i32, rows: &[Row]) {
    let sql = "INSERT INTO visits (state_id, id, booth_id, campaign_id, worker_id, visited_at, visited_on, received_at, outcome,
                   channel, people_met, issues, answers, question_version, lat, lon, mock, duration_s, flags, review,
                   sent_digest, changed_by, changed_at, voided_at)
               SELECT u.state_id, r.id, r.booth, $2, r.worker, r.at, r.day, r.at, r.outcome, r.channel, 1, '[]', r.answers,
                   r.question_version, r.lat, r.lat, r.mock, r.duration_s, r.flags, r.review, '', r.worker, r.at,
                   CASE WHEN r.voided THEN r.at END
               FROM jsonb_to_recordset($1::jsonb) AS r (id uuid, booth int, worker int, at timestamptz, day date, outcome text,
                   channel text, answers jsonb, question_version int, lat float8, mock bool, duration_s int, flags jsonb,
                   review text, voided bool)
               JOIN units u ON u.id = r.booth";
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({
                "id": Uuid::new_v4(), "booth": row.booth, "worker": row.worker, "at": row.instant(), "day": day(row.at.0),
                "outcome": if row.met { "met" } else { "not_home" }, "channel": if row.at_door { "door" } else { "phone" },
                "answers": row.answers(), "question_version": row.question_version, "lat": row.mock.map(|_| 26.8),
                "mock": row.mock.flatten(), "duration_s": row.duration_s,
                "flags": if row.flagged { json!([{"code": "too_fast"}]) } else { json!([]) },
                "review": row.review, "voided": row.voided,
            })
        })
        .collect();
    let stored = world.db.execute(sql, &[&json!(rows), &campaign]).await.unwrap();
    assert_eq!(stored, u64::try_from(rows.len()).unwrap());
}

/// Value and sample of each indicator of somebody's rows, by the words of docs/auditing.md.
fn figures(rows: &[&Row], hours: (u16, u16)) -> BTreeMap<&'static str, (Option<f64>, usize)> {
    let share = |part: usize, whole: usize| ((whole >= 20).then(|| part as f64 / whole as f64), whole);
    let count = |wanted: &dyn Fn(&Row) -> bool| rows.iter().filter(|row| wanted(row)).count();
    let mut took: Vec<i32> = rows
        .iter()
        .filter(|row| row.met)
        .filter_map(|row| row.duration_s)
        .collect();
    took.sort_unstable();
    let median = (took.len() >= 20).then(|| {
        let middle = took.len() / 2;
        if took.len() % 2 == 1 {
            f64::from(took[middle])
        } else {
            f64::midpoint(f64::from(took[middle - 1]), f64::from(took[middle]))
        }
    });
    let mut sets: HashMap<(i32, u8), usize> = HashMap::new();
    for row in rows.iter().filter(|row| row.met && row.answers > 0) {
        *sets.entry((row.question_version, row.answers)).or_default() += 1;
    }
    let outside = |row: &Row| row.at.1 < hours.0 * 60 || row.at.1 >= hours.1 * 60;
    let blind = |row: &Row| row.at_door && row.mock.is_none_or(|mock| mock == Some(true));
    BTreeMap::from([
        ("contact_rate", share(count(&|row| row.met), rows.len())),
        ("median_duration_s", (median, took.len())),
        ("outside_hours", share(count(&outside), rows.len())),
        ("no_gps", share(count(&blind), count(&|row| row.at_door))),
        (
            "repeated_answers",
            share(sets.values().copied().max().unwrap_or(0), sets.values().sum()),
        ),
        ("flag_rate", share(count(&|row| row.flagged), rows.len())),
        ("mismatch_rate", (None, 0)),
    ])
}

/// The value below which a share of the sorted values lies, by line between two neighbours.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    low + (place - place.floor()) * (high - low)
}

#[track_caller]
fn assert_near(found: &Value, wanted: Option<f64>, what: &str) {
    match wanted {
        None => assert!(found.is_null(), "{what}: {found}, and there is none"),
        Some(wanted) => {
            let found = found
                .as_f64()
                .unwrap_or_else(|| panic!("{what} is {found}, not {wanted}"));
            // A score is rounded to three decimals.
            let slack = if what.ends_with("robust_z") {
                0.000_51
            } else {
                1e-9
            };
            assert!((found - wanted).abs() <= slack, "{what} is {found}, not {wanted}");
        }
    }
}

/// Holds a list of one mandal against the rows.
fn check(items: &[Value], by: &str, rows: &[Row], hours: (u16, u16)) {
    let mut peers: BTreeMap<i32, Vec<&Row>> = BTreeMap::new();
    for row in rows.iter().filter(|row| !row.voided) {
        let key = if by == "worker" { row.worker } else { row.booth };
        peers.entry(key).or_default().push(row);
    }
    let wanted: BTreeMap<i32, _> = peers
        .iter()
        .map(|(key, rows)| (*key, figures(rows, hours)))
        .collect();
    let id = format!("{by}_id");
    assert_eq!(items.len(), wanted.len());
    let mut last = f64::INFINITY;
    for item in items {
        let key = i32::try_from(item[&id].as_i64().unwrap()).unwrap();
        let mut unlike: Option<f64> = None;
        for (name, (value, sample)) in &wanted[&key] {
            let found = &item["indicators"][*name];
            let what = |part: &str| format!("{by} {key} {name} {part}");
            assert_eq!(found["sample"], json!(sample), "{}", what("sample"));
            assert_near(&found["value"], *value, &what("value"));
            let mut values: Vec<f64> = wanted.values().filter_map(|figures| figures[name].0).collect();
            values.sort_by(f64::total_cmp);
            if values.len() < 5 {
                assert!(
                    found["spread"].is_null() && found["robust_z"].is_null(),
                    "{}",
                    what("spread")
                );
                continue;
            }
            let median = quantile(&values, 0.5);
            let mut off: Vec<f64> = values.iter().map(|value| (value - median).abs()).collect();
            off.sort_by(f64::total_cmp);
            let mad = quantile(&off, 0.5);
            let spread = &found["spread"];
            assert_eq!(spread["peers"], json!(values.len()), "{}", what("peers"));
            assert_near(
                &spread["first_quartile"],
                Some(quantile(&values, 0.25)),
                &what("first quartile"),
            );
            assert_near(&spread["median"], Some(median), &what("median"));
            assert_near(
                &spread["third_quartile"],
                Some(quantile(&values, 0.75)),
                &what("third quartile"),
            );
            assert_near(&spread["mad"], Some(mad), &what("mad"));
            let least = if *name == "median_duration_s" { 2.0 } else { 0.01 };
            let z = value.map(|value| 0.6745 * (value - median) / mad.max(least));
            assert_near(&found["robust_z"], z, &what("robust_z"));
            unlike = match (unlike, z.map(f64::abs)) {
                (Some(a), Some(b)) => Some(a.max(b)),
                (a, b) => a.or(b),
            };
        }
        assert_near(&item["unlike"], unlike, &format!("{by} {key} robust_z"));
        let place = item["unlike"].as_f64().unwrap_or(-1.0);
        assert!(place <= last, "the list is out of order at {key}");
        last = place;
    }
}

fn row() -> impl Strategy<Value = Row> {
    let place = (0..3usize, 1..9i32);
    let what = (
        any::<bool>(),
        proptest::option::weighted(0.8, 1..900i32),
        0..5u8,
        1..3i32,
    );
    let when = (1..24u32, 0..1440u16);
    let how = (
        proptest::bool::weighted(0.9),
        proptest::option::weighted(0.9, any::<Option<bool>>()),
    );
    let fate = (
        proptest::bool::weighted(0.1),
        proptest::bool::weighted(0.1),
        0..4usize,
    );
    (place, what, when, how, fate).prop_map(
        |(
            (booth, worker),
            (met, duration_s, answers, question_version),
            at,
            (at_door, mock),
            (flagged, voided, review),
        )| Row {
            booth: i32::try_from(booth).unwrap(),
            worker,
            met,
            at,
            duration_s,
            at_door,
            mock,
            flagged,
            answers,
            question_version,
            voided,
            review: ["unreviewed", "verified", "rejected", "correction_wanted"][review],
        },
    )
}

#[actix_web::test]
async fn every_figure_is_that_of_a_naive_recount() {
    let mut s = Scene::build().await;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let booths = ["S1-B1", "S1-B2", "S1-B3"].map(|code| s.world.unit(code));
    for case in 0..12 {
        // A campaign of its own keeps the cases apart; every third has hours of its own.
        s.campaign = s.world.campaign("S1").await;
        let hours = if case % 3 == 0 { (9, 18) } else { (7, 21) };
        if case % 3 == 0 {
            let bounds = json!({"outside_hours": {"from": 9, "to": 18}});
            let sql = "UPDATE campaigns SET bounds = $1 WHERE id = $2";
            s.world.db.execute(sql, &[&bounds, &s.campaign]).await.unwrap();
        }
        let rows = proptest::collection::vec(row(), 0..600);
        let mut rows = rows.new_tree(&mut runner).unwrap().current();
        for row in &mut rows {
            row.booth = booths[usize::try_from(row.booth).unwrap()];
        }
        insert(&s.world, s.campaign, &rows).await;
        for by in ["worker", "booth"] {
            check(&s.list("S1-M1", by, 3).await, by, &rows, hours);
        }
    }
}

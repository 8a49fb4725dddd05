//! Reports equal recounts of the rows, whatever was written at once; and they never look at a visit.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Scene, scene};
use crate::flag_plans::{concatenated, constant, macro_text, plan};
use crate::visits::visit;

const BOOTHS: [&str; 5] = ["S1-B1", "S1-B2", "S1-B4", "S1-B5", "S2-B1"];
const OUTCOMES: [&str; 3] = ["met", "not_home", "refused"];
const LEVELS: [&str; 6] = [
    "state",
    "district",
    "mandal",
    "parliamentary_constituency",
    "assembly_constituency",
    "booth",
];

#[derive(Clone, Debug)]
struct Visited {
    booth: usize,
    day: u32,
    outcome: usize,
    door: bool,
    voided: bool,
}

fn visited() -> impl Strategy<Value = Visited> {
    (
        0..BOOTHS.len(),
        1..23u32,
        0..OUTCOMES.len(),
        any::<bool>(),
        proptest::bool::weighted(0.2),
    )
        .prop_map(|(booth, day, outcome, door, voided)| Visited {
            booth,
            day,
            outcome,
            door,
            voided,
        })
}

async fn write(s: &Scene, doors: &[Uuid], step: &Visited) {
    let mut sent = visit(&s.world, s.campaign, BOOTHS[step.booth]);
    sent["visited_at"] = json!(format!("2026-11-{:02}T10:00:00+05:30", step.day));
    sent["outcome"] = json!(OUTCOMES[step.outcome]);
    if step.door {
        sent["household_id"] = json!(doors[step.booth]);
    }
    let until_taken = async |path: &str, body: &Value| {
        loop {
            let answer = s.admin.post(path, body.clone()).await;
            if answer.status != 503 {
                return answer;
            }
        }
    };
    let made = until_taken("/v1/visits", &sent).await;
    assert!([200, 201].contains(&made.status), "{}", made.text());
    if step.voided {
        let path = format!("/v1/visits/{}/void", made.json["id"].as_str().unwrap());
        let answer = until_taken(&path, &json!({"reason": "Mistake"})).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

/// Visits, contacts, doors reached and booths of every unit, straight from the rows.
async fn recounted(s: &Scene, before: &str) -> BTreeMap<i32, [i64; 5]> {
    let sql = format!(
        "WITH live AS (SELECT * FROM visits WHERE voided_at IS NULL AND review <> 'rejected')
         SELECT u.id,
             (SELECT count(*) FROM live v JOIN lineages b ON b.unit_id = v.booth_id WHERE u.id = ANY (b.unit_ids)),
             (SELECT count(*) FROM live v JOIN lineages b ON b.unit_id = v.booth_id WHERE u.id = ANY (b.unit_ids) AND v.outcome = 'met'),
             (SELECT count(DISTINCT v.household_id) FROM live v JOIN lineages b ON b.unit_id = v.booth_id
              WHERE u.id = ANY (b.unit_ids) AND v.outcome = 'met'),
             (SELECT count(*) FROM units b JOIN lineages l ON l.unit_id = b.id WHERE b.level = 'booth' AND u.id = ANY (l.unit_ids)),
             (SELECT count(*) FROM live v JOIN lineages b ON b.unit_id = v.booth_id
              WHERE u.id = ANY (b.unit_ids) AND v.visited_on <= '{before}')
         FROM units u"
    );
    let rows = s.world.db.query(&sql, &[]).await.unwrap();
    rows.iter()
        .map(|row| (row.get(0), [1, 2, 3, 4, 5].map(|n| row.get::<_, i64>(n))))
        .collect()
}

async fn check(s: &Scene) {
    let recounted = recounted(s, "2026-11-16").await;
    for level in LEVELS {
        let report = s
            .report("IN", &format!("level={level}&limit=500"))
            .await
            .expect(200)
            .json;
        let groups = report["indicators"].as_array().unwrap();
        assert_eq!(groups.len(), 3, "{report}");
        for group in groups {
            for item in group["items"].as_array().unwrap() {
                let unit = i32::try_from(item["unit"]["id"].as_i64().unwrap()).unwrap();
                let [visits, met, doors, booths, visits_before] = recounted[&unit];
                let got = (
                    item["numerator"].as_i64().unwrap(),
                    item["denominator"].as_i64().unwrap(),
                );
                let wanted = match group["indicator"]["id"].as_str().unwrap() {
                    "visits_per_booth" => (visits, booths),
                    "doors_reached_share" => (doors, 100 * booths),
                    _ => (met, visits),
                };
                let code = item["unit"]["code"].as_str().unwrap();
                assert_eq!(got, wanted, "{} of {code}", group["indicator"]["id"]);
                if group["indicator"]["id"] == "visits_per_booth" {
                    let number = |n: i64| f64::from(i32::try_from(n).unwrap());
                    let trend = number(visits - visits_before) / number(booths);
                    assert!(
                        (item["trend"].as_f64().unwrap() - trend).abs() < 1e-3,
                        "trend of {code}: {item}"
                    );
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, max_shrink_iters: 20, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reports_equal_recounts_after_writes_at_once(steps in proptest::collection::vec(visited(), 10..40)) {
        actix_web::rt::System::new().block_on(async {
            let s = scene().await;
            let mut doors = Vec::new();
            for booth in BOOTHS {
                doors.push(s.world.household(booth).await);
            }
            for level in LEVELS {
                for indicator in ["visits_per_booth", "doors_reached_share", "contact_rate"] {
                    s.target("IN", indicator, level, json!(50), None).await;
                }
            }
            let hands = steps.chunks(8).map(async |steps: &[Visited]| {
                for step in steps {
                    write(&s, &doors, step).await;
                }
            });
            futures_util::future::join_all(hands).await;
            check(&s).await;
            s.app.posted().await;
            sampark::features::cadre::recount_all(&s.app.state.db, &s.app.clock).await.unwrap();
            check(&s).await;
        });
    }
}

#[actix_web::test]
async fn a_report_reads_the_rows_of_the_units_that_it_ranks_and_no_others() {
    let s = scene().await;
    let state = s.world.unit("S1");
    // Four thousand units with fifty days each; the report ranks a hundred of them.
    let fill = format!(
        "INSERT INTO totals (state_id, unit_id, campaign_id, day, visits, met)
         SELECT {state}, 10000 + u, {}, date '2026-10-01' + d, 3, 1 FROM generate_series(1, 4000) u, generate_series(0, 49) d",
        s.campaign
    );
    assert_eq!(s.world.db.execute(&fill, &[]).await.unwrap(), 200_000);
    let sum = "INSERT INTO totals_to_date (state_id, unit_id, campaign_id, visits, met)
               SELECT state_id, unit_id, campaign_id, sum(visits), sum(met) FROM totals GROUP BY 1, 2, 3
               ON CONFLICT DO NOTHING";
    assert!(s.world.db.execute(sum, &[]).await.unwrap() >= 4000);
    s.world
        .db
        .batch_execute("VACUUM ANALYZE totals, totals_to_date")
        .await
        .unwrap();
    let source = include_str!("../../../src/features/measures/queries.rs");
    let rows = macro_text(source, "from_ledgers");
    let units: Vec<i32> = (10_001..=10_100).collect();
    let values = format!("NULL, NULL, NULL, ARRAY[{state}], ARRAY{units:?}");
    let types = "int, date, date, int[], int[]";
    // As `look_up` sets it.
    let look_up = "SET random_page_cost = 1.1; SET max_parallel_workers_per_gather = 0";
    assert!(source.contains(&look_up.replace("SET ", "SET LOCAL ")));
    s.world.db.batch_execute(look_up).await.unwrap();
    let ledgers = [("from_ledgers!()", rows.as_str())];
    let by_day = |name: &str| concatenated(source, name, &ledgers);
    for (figures, types, values) in [
        (by_day("VISIT_FIGURES_NOW"), types.to_owned(), values.clone()),
        (
            by_day("VISIT_FIGURES"),
            format!("{types}, date"),
            format!("{values}, '2026-11-16'"),
        ),
        (
            constant(source, "VISIT_FIGURES_TO_DATE"),
            "int, int[], int[], date".to_owned(),
            format!("NULL, ARRAY[{state}], ARRAY{units:?}, '2026-11-16'"),
        ),
    ] {
        for mode in ["generic", "custom"] {
            let plan = plan(&s.world.db, mode, &figures, &types, &values).await;
            assert!(plan.contains("totals_pkey"), "{plan}");
            assert_eq!(
                plan.contains("totals_to_date_pkey"),
                figures.contains("totals_to_date"),
                "{plan}"
            );
            assert!(
                !plan.contains("Seq Scan on totals") && !plan.contains(" visits "),
                "{plan}"
            );
        }
    }
}

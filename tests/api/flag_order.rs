//! Which of several visits is doubted: the order of arrival says, however they are grouped, sent again or sent at once.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::flags::{Scene, at, flags, only, raised, record};

#[actix_web::test]
async fn a_voided_visit_is_no_part_of_a_trail() {
    let s = Scene::build().await;
    s.bind(only(json!({"daily_bound": {"visits": 1}}))).await;
    let worker = s.worker().await;
    let first = s.visit(0, json!({}));
    record(&worker, std::slice::from_ref(&first), 0).await;
    let path = format!("/v1/visits/{}/void", first["id"].as_str().unwrap());
    s.admin
        .client
        .post(&path, json!({"reason": "Mistake"}))
        .await
        .expect(200);
    assert_eq!(record(&worker, &[s.visit(60, json!({}))], 0).await, vec![vec![]]);
}

#[actix_web::test]
async fn a_resend_beside_new_visits_is_counted_once() {
    let s = Scene::build().await;
    s.bind(only(
        json!({"daily_bound": {"visits": 2}, "repeat_door": {"days": 3}}),
    ))
    .await;
    let worker = s.worker().await;
    let door = s.world.household("S1-B1").await;
    let sent = s.visit(0, json!({}));
    record(&worker, std::slice::from_ref(&sent), 0).await;
    let mut altered = s.visit(0, json!({"household_id": door}));
    altered["id"] = sent["id"].clone();
    let batch = [
        sent.clone(),
        altered,
        s.visit(1200, json!({"household_id": door})),
        s.visit(2400, json!({})),
    ];
    let answer = worker
        .client
        .post("/v1/visits/batch", json!({ "visits": batch }))
        .await
        .expect(200);
    let results = answer.json["results"].as_array().unwrap();
    let statuses: Vec<&str> = results
        .iter()
        .map(|item| item["status"].as_str().unwrap())
        .collect();
    assert_eq!(statuses, ["duplicate", "conflict", "created", "created"]);
    assert_eq!(flags(&results[2]), vec![]);
    assert_eq!(flags(&results[3]), raised("daily_bound", 3.0, 2.0));
    for (item, visit) in results.iter().zip(&batch).skip(2) {
        let stored = worker
            .client
            .get(&format!("/v1/visits/{}", visit["id"].as_str().unwrap()))
            .await
            .expect(200);
        assert_eq!(stored.json["flags"], item["flags"]);
    }
    crate::exactness::assert_exact(&s.world.db, "a resend beside new visits").await;
}

#[actix_web::test]
async fn two_phones_of_one_worker_at_the_same_moment_see_each_other() {
    let s = Scene::build().await;
    s.bind(only(json!({"daily_bound": {"visits": 30}}))).await;
    let first = s.worker().await;
    let second = s.world.sign_in(&s.app, first.worker_id).await;
    let mut uploads = Vec::new();
    for n in 0..80 {
        let client = [&first, &second][n % 2].client.clone();
        let visit = s.visit(0, json!({}));
        uploads.push(actix_web::rt::spawn(async move {
            client.post_until_served("/v1/visits", visit).await.expect(201)
        }));
    }
    let mut flagged = Vec::new();
    for upload in uploads {
        for (_, measured, _) in flags(&upload.await.unwrap().json) {
            flagged.push(measured.as_f64().unwrap());
        }
    }
    flagged.sort_by(f64::total_cmp);
    let wanted: Vec<f64> = (31..=80).map(f64::from).collect();
    assert_eq!(flagged, wanted);
}

/// What a visit of the property test is like.
#[derive(Clone, Debug)]
struct Made {
    day: i64,
    seconds: i64,
    metres: Option<i32>,
    door: Option<usize>,
    met: bool,
    at_door: bool,
}

fn made() -> impl Strategy<Value = Made> {
    (
        0..2i64,
        0..400i64,
        proptest::option::of(0..3000i32),
        proptest::option::of(0..4usize),
        any::<bool>(),
        proptest::bool::weighted(0.8),
    )
        .prop_map(|(day, seconds, metres, door, met, at_door)| Made {
            day,
            seconds,
            metres,
            door,
            met,
            at_door,
        })
}

async fn judge_in_groups(runs: &[Made], cuts: &[usize]) -> Result<(), TestCaseError> {
    let s = Scene::build().await;
    s.bind(only(json!({
        "too_fast": {"visits": 3, "seconds": 60}, "impossible_travel": {"km_h": 40},
        "same_spot": {"doors": 2, "metres": 200}, "repeat_door": {"days": 2}, "daily_bound": {"visits": 9},
    })))
    .await;
    let mut answers = Vec::new();
    for cuts in [&[][..], cuts] {
        // Fresh doors and a fresh worker, so that the two runs do not meet.
        let mut doors = Vec::new();
        for _ in 0..4 {
            doors.push(s.world.household("S1-B1").await);
        }
        let visits: Vec<Value> = runs
            .iter()
            .map(|made| {
                let more = json!({
                    "outcome": if made.met { "met" } else { "not_home" }, "people_met": 0,
                    "channel": if made.at_door { "door" } else { "phone" },
                    "location": made.metres.map(|metres| at(f64::from(metres))),
                    "household_id": made.door.map(|door| doors[door]),
                });
                s.visit(made.seconds - made.day * 86_400, more)
            })
            .collect();
        let worker = s.worker().await;
        let mut found = Vec::new();
        let mut rest = &visits[..];
        let mut sizes = cuts.iter().cycle();
        while !rest.is_empty() {
            let size = sizes.next().copied().unwrap_or(1).min(rest.len());
            let (chunk, left) = rest.split_at(size);
            found.extend(record(&worker, chunk, if cuts.is_empty() { 0 } else { size }).await);
            rest = left;
        }
        answers.push(found);
    }
    prop_assert_eq!(&answers[0], &answers[1]);
    prop_assert!(
        answers[0].iter().any(|flags| !flags.is_empty()),
        "a run in which nothing is doubted shows nothing"
    );
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_same_visits_in_the_same_order_get_the_same_flags_however_they_are_grouped(
        runs in proptest::collection::vec(made(), 20..40), cuts in proptest::collection::vec(1..12usize, 1..5),
    ) {
        actix_web::rt::System::new().block_on(judge_in_groups(&runs, &cuts))?;
    }
}

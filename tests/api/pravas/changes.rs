//! Plans that are changed, tasks that are raised together, and how the stops of a few units are found.

use chrono::NaiveDate;
use serde_json::{Value, json};

use super::{report, reports_of, scene, stop};

#[actix_web::test]
async fn a_tour_is_not_shortened_past_a_stop_that_its_plan_does_not_show() {
    let s = scene().await;
    let plan = s.plan().await;
    let tour = plan["pravas"]["id"].as_i64().unwrap();
    // The plan shows five hundred.
    let many = format!(
        "INSERT INTO pravas_stops (pravas_id, state_id, unit_id, day, purpose, changed_at)
         SELECT {tour}, {}, {}, '2026-11-22', 'Meet the committee', '2026-11-20Z' FROM generate_series(1, 500)",
        s.world.unit("S1"),
        s.world.unit("S1-B2")
    );
    s.world.db.batch_execute(&many).await.unwrap();
    let mut last = stop(s.world.unit("S1-B5"));
    last["day"] = json!("2026-11-30");
    let path = format!("/v1/pravas/{tour}");
    let last = s
        .admin
        .post(&format!("{path}/stops"), last)
        .await
        .expect(201)
        .json;
    let held = s.admin.header("If-Match", "*");
    let days = json!({"starts_on": "2026-11-23", "ends_on": "2026-11-29"});
    let refused = held.patch(&path, days.clone()).await.expect(422).json;
    let errors: Vec<_> = refused["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| {
            (
                error["pointer"].as_str().unwrap(),
                error["detail"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!((errors[0].0, errors[1].0), ("/starts_on", "/ends_on"));
    assert_eq!(errors[0].1.matches("on 2026-11-22").count(), 5, "{errors:?}");
    let named = format!("stop {} on 2026-11-30", last["id"]);
    assert!(errors[1].1.contains(&named), "{errors:?}");
    assert_eq!(s.get(&path).await["pravas"]["version"], 1);
    // Cancelled, they are in nobody's way.
    let cancel = format!(
        "UPDATE pravas_stops SET cancelled_at = '2026-11-23Z' WHERE day <> '2026-11-23' AND pravas_id = {tour}"
    );
    s.world.db.batch_execute(&cancel).await.unwrap();
    held.patch(&path, days).await.expect(200);
    // What stands outside nevertheless can be changed, put right or cancelled, but not put back there.
    let outside = format!(
        "UPDATE pravas_stops SET cancelled_at = NULL WHERE id = {}",
        last["id"]
    );
    s.world.db.batch_execute(&outside).await.unwrap();
    held.patch(&path, json!({"title": "Pravas of November"}))
        .await
        .expect(200);
    let stop = format!("{path}/stops/{}", last["id"]);
    for change in [json!({"purpose": "Meet the mandal"}), json!({"cancelled": true})] {
        held.patch(&stop, change).await.expect(200);
    }
    let refused = held
        .patch(&stop, json!({"cancelled": false}))
        .await
        .expect(422)
        .json;
    assert_eq!(refused["errors"][0]["pointer"], "/day");
    let back = json!({"cancelled": false, "day": "2026-11-28"});
    held.patch(&stop, back).await.expect(200);
}

#[actix_web::test]
async fn a_stop_that_was_reported_is_not_moved_to_a_day_to_come() {
    let s = scene().await;
    let plan = s.plan().await;
    s.admin.post(&reports_of(&plan, 0), report()).await.expect(201);
    let path = format!(
        "/v1/pravas/{}/stops/{}",
        plan["pravas"]["id"], plan["stops"][0]["id"]
    );
    let held = s.admin.header("If-Match", "*");
    let refused = held
        .patch(&path, json!({"day": "2026-11-24"}))
        .await
        .expect(409)
        .json;
    assert_eq!(refused["errors"][0]["pointer"], "/day");
    let moved = held
        .patch(&path, json!({"day": "2026-11-22"}))
        .await
        .expect(200)
        .json;
    assert_eq!(
        (&moved["day"], &moved["held"]),
        (&json!("2026-11-22"), &json!(true))
    );
}

#[actix_web::test]
async fn all_that_is_wrong_with_raised_tasks_is_said_at_once_and_all_are_set_in_order() {
    let s = scene().await;
    let plan = s.plan().await;
    let booths = ["S1-B1", "S1-B2", "S1-B3", "S1-M1", "S1-B1"].map(|code| s.world.unit(code));
    let task =
        |n: usize, unit: i32| json!({"unit_id": unit, "title": format!("Task {n}"), "due_on": "2026-12-31"});
    let tasks: Vec<Value> = booths
        .iter()
        .enumerate()
        .map(|(n, unit)| task(n, *unit))
        .collect();
    let mut sent = report();
    sent["tasks"] = json!(tasks);
    sent["tasks"][1]["due_on"] = json!("2026-11-22");
    sent["tasks"][2]["owner_id"] = json!(999_999);
    sent["tasks"][4]["unit_id"] = json!(s.world.unit("IN"));
    let refused = s
        .admin
        .post(&reports_of(&plan, 0), sent.clone())
        .await
        .expect(422)
        .json;
    let pointers: Vec<&str> = refused["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].as_str().unwrap())
        .collect();
    assert_eq!(
        pointers,
        ["/tasks/1/due_on", "/tasks/2/owner_id", "/tasks/4/unit_id"]
    );
    sent["tasks"] = json!(tasks);
    sent["tasks"][3]["owner_id"] = json!(s.leader);
    let answer = s.admin.post(&reports_of(&plan, 0), sent).await.expect(201).json;
    let ids = answer["tasks"].as_array().unwrap();
    assert_eq!(ids.len(), 5);
    for (n, id) in ids.iter().enumerate() {
        let made = s.get(&format!("/v1/tasks/{id}")).await;
        let owner = if n == 3 { json!(s.leader) } else { Value::Null };
        assert_eq!(
            (&made["title"], &made["unit_id"], &made["owner_id"]),
            (&json!(format!("Task {n}")), &json!(booths[n]), &owner)
        );
    }
}

#[actix_web::test]
async fn the_stops_of_a_few_units_are_found_by_index_among_thousands() {
    use crate::flag_plans::{constant, plan};
    let s = scene().await;
    let tour = s.plan().await["pravas"]["id"].as_i64().unwrap();
    let (state, mandal) = (s.world.unit("S1"), s.world.unit("S1-M1"));
    let fill = format!(
        "INSERT INTO units (id, code, level, name, state_id, created_at, updated_at)
         SELECT 20000 + n, 'X' || n, 'booth', 'Booth ' || n, {state}, '2026-11-01Z', '2026-11-01Z' FROM generate_series(1, 20000) n;
         INSERT INTO lineages (unit_id, valid_from, state_id, unit_ids)
         SELECT 20000 + n, '0001-01-01', {state}, (SELECT unit_ids FROM lineages WHERE unit_id = {mandal}) || 20000 + n
         FROM generate_series(1, 20000) n;
         INSERT INTO pravas_stops (pravas_id, state_id, unit_id, day, purpose, changed_at)
         SELECT {tour}, {state}, 20000 + n, '2026-11-22', 'Meet the committee', '2026-11-20Z' FROM generate_series(1, 20000) n;"
    );
    s.world.db.batch_execute(&fill).await.unwrap();
    for table in ["lineages", "pravas_stops", "pravas"] {
        s.world
            .db
            .batch_execute(&format!("VACUUM ANALYZE {table}"))
            .await
            .unwrap();
    }
    let source = include_str!("../../../src/features/pravas/queries/coverage.rs");
    let asked = constant(source, "STOPS_OF_FEW");
    let values = format!("NULL, '2026-11-23', ARRAY[{}]", s.world.unit("S1-M2"));
    let plan = plan(&s.world.db, "custom", &asked, "date, date, int[]", &values).await;
    assert!(plan.contains("lineages_unit_ids_idx"), "{plan}");
    assert!(plan.contains("pravas_stops_unit_idx"), "{plan}");
    // For many units the stops are asked where they lay: the same numbers come out.
    let rows = s.world.db.query("SELECT id FROM units ORDER BY id", &[]).await;
    let units: Vec<i32> = rows.unwrap().iter().map(|row| row.get(0)).collect();
    let mut answers = Vec::new();
    for name in ["STOPS_OF_FEW", "STOPS_OF_MANY"] {
        let (first, last) = (None::<NaiveDate>, NaiveDate::from_ymd_opt(2026, 11, 23).unwrap());
        let rows = s
            .world
            .db
            .query(&constant(source, name), &[&first, &last, &units])
            .await
            .unwrap();
        let mut told: Vec<(i32, i64, i64)> = rows
            .iter()
            .map(|row| (row.get("unit_id"), row.get("planned"), row.get("made")))
            .collect();
        told.sort_unstable();
        answers.push(told);
    }
    assert!(answers[0].len() > 3, "{answers:?}");
    assert_eq!(answers[0], answers[1]);
}

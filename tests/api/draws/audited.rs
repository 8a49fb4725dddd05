//! Reported and audited figures, side by side.

use sampark::access::actions::DrawRead;
use sampark::access::policy::program_permit;
use sampark::features::draws::{Checks, Span, checks_of, error_rate};
use sampark::journal::Actor as Writer;
use sampark::platform::ids::{UnitId, WorkerId};
use sampark::platform::wall::COMMAND;
use serde_json::{Value, json};

use super::{Scene, confirms, refutes, scene};

/// All of what three booths reported is drawn; the visits of the second booth were not made.
async fn audited(s: &Scene) -> String {
    for (booth, count) in [(0, 6), (1, 3), (2, 1)] {
        s.record(booth, count).await;
    }
    let path = s.drawn(json!({"plan": {"size": 50, "decision_number": 3}})).await;
    let bad = s.world.unit("S1-B2");
    for item in s.read(&path).await["items"].as_array().unwrap() {
        let number = item["number"].as_i64().unwrap();
        let check = if item["booth_id"] == bad {
            refutes(&path, number)
        } else {
            confirms(&path, number)
        };
        s.verifier.client.post("/v1/back-checks", check).await.expect(201);
    }
    path
}

fn figures(view: &Value) -> [i64; 5] {
    [
        "reported_visits",
        "frame_visits",
        "drawn",
        "checked",
        "mismatched",
    ]
    .map(|key| view[key].as_i64().unwrap())
}

#[actix_web::test]
async fn every_level_shows_what_was_reported_beside_what_was_found() {
    let s = scene().await;
    audited(&s).await;
    let admin = s
        .world
        .actor(&s.app, sampark::access::Role::NationalAdmin, "IN")
        .await
        .client;
    let total = |unit: &str| format!("/v1/units/{}/audited-totals", s.world.unit(unit));
    for unit in ["IN", "S1", "S1-D1", "S1-M1", "S1-PC1", "S1-AC1"] {
        let view = admin.get(&total(unit)).await.expect(200).json;
        assert_eq!(figures(&view), [10, 10, 10, 10, 3], "{unit}");
        assert_eq!(view["error_rate"]["rate"], 0.3, "{unit}");
        assert_eq!(view["audited_visits"]["estimate"], 7.0, "{unit}");
    }
    let bad = admin.get(&total("S1-B2")).await.expect(200).json;
    assert_eq!(figures(&bad), [3, 3, 3, 3, 3]);
    assert_eq!(bad["error_rate"]["rate"], 1.0);
    let empty = admin.get(&total("S1-M2")).await.expect(200).json;
    assert_eq!(figures(&empty), [0; 5]);
    assert_eq!(
        (&empty["error_rate"], &empty["audited_visits"]),
        (&Value::Null, &Value::Null)
    );
    // Level by level.
    let rows = |view: Value| -> Vec<(i64, [i64; 5])> {
        let items = view["items"].as_array().unwrap().iter();
        items
            .map(|item| (item["unit_id"].as_i64().unwrap(), figures(item)))
            .collect()
    };
    let unit = |code: &str| i64::from(s.world.unit(code));
    let children = admin
        .get(&format!("{}/children", total("S1-M1")))
        .await
        .expect(200)
        .json;
    assert_eq!(
        rows(children),
        [
            (unit("S1-B1"), [6, 6, 6, 6, 0]),
            (unit("S1-B2"), [3, 3, 3, 3, 3]),
            (unit("S1-B3"), [1, 1, 1, 1, 0])
        ]
    );
    let mandals = admin
        .get(&format!("{}/children?level=mandal&limit=1", total("S1")))
        .await
        .expect(200)
        .json;
    let next = mandals["next_cursor"].as_str().unwrap().to_owned();
    assert_eq!(rows(mandals), [(unit("S1-M1"), [10, 10, 10, 10, 3])]);
    let rest = format!("{}/children?level=mandal&limit=1&cursor={next}", total("S1"));
    assert_eq!(
        rows(admin.get(&rest).await.expect(200).json),
        [(unit("S1-M2"), [0; 5])]
    );
    admin
        .get(&format!("{}/children?level=house", total("S1")))
        .await
        .expect(422);
    // By campaign and days: draws count whose days lie within.
    for (query, wanted) in [
        ("?campaign_id=999", [0; 5]),
        ("?from=2026-11-01&to=2026-11-23", [10, 10, 10, 10, 3]),
        ("?from=2026-11-02", [10, 0, 0, 0, 0]),
    ] {
        let view = admin
            .get(&format!("{}{query}", total("S1-M1")))
            .await
            .expect(200)
            .json;
        assert_eq!(figures(&view), wanted, "{query}");
    }
}

#[actix_web::test]
async fn a_back_check_counts_in_no_other_figure() {
    let s = scene().await;
    let totals = format!("/v1/units/{}/totals", s.world.unit("S1-M1"));
    let path = audited(&s).await;
    let before = s.read(&totals).await["totals"].clone();
    assert_eq!(before["visits"], 10);
    s.close(&path).await;
    assert_eq!(s.read(&totals).await["totals"], before);
    crate::exactness::assert_exact(&s.world.db, "back-checks").await;
    let list = s
        .coordinator
        .client
        .get("/v1/visits?limit=500")
        .await
        .expect(200)
        .json;
    assert_eq!(list["items"].as_array().unwrap().len(), 10);
}

#[actix_web::test]
async fn several_draws_count_by_what_they_could_have_drawn() {
    let s = scene().await;
    audited(&s).await;
    // A second draw, of one booth and one visit: it finds the visit was made.
    let booth = json!({"unit_id": s.world.unit("S1-B2"), "plan": {"size": 1, "decision_number": 1}});
    let path = s.drawn(booth).await;
    s.verifier
        .client
        .post("/v1/back-checks", confirms(&path, 1))
        .await
        .expect(201);
    let view = s
        .read(&format!("/v1/units/{}/audited-totals", s.world.unit("S1-M1")))
        .await;
    assert_eq!(figures(&view), [10, 13, 11, 11, 3]);
    assert_eq!(view["draws"], 2);
    let rate = view["error_rate"]["rate"].as_f64().unwrap();
    assert!((rate - 10.0 / 13.0 * 0.3).abs() < 1e-9, "{rate}");
    let effective = view["error_rate"]["effective_checks"].as_f64().unwrap();
    let weights = (10.0_f64 / 13.0).powi(2) / 10.0 + (3.0_f64 / 13.0).powi(2);
    assert!((effective - 1.0 / weights).abs() < 1e-9, "{effective}");
}

#[actix_web::test]
async fn checks_are_told_by_worker_and_by_booth() {
    let s = scene().await;
    audited(&s).await;
    let (mandal, writer, today) = (
        UnitId(s.world.unit("S1-M1")),
        Writer::program(s.app.clock.now()),
        s.app.clock.today(),
    );
    let (checks, rate) = s
        .app
        .state
        .db
        .as_program(&COMMAND)
        .read(async |tx| {
            let permit = program_permit::<DrawRead>(tx, writer, mandal, today).await?;
            let span = Span::default();
            Ok((
                checks_of(tx, &permit, span).await?,
                error_rate(tx, &permit, span).await?,
            ))
        })
        .await
        .unwrap();
    let found = [("S1-B1", 6, 0), ("S1-B2", 3, 3), ("S1-B3", 1, 0)];
    let expected = found
        .iter()
        .zip(&s.authors)
        .map(|((booth, checked, mismatched), author)| Checks {
            worker_id: WorkerId(author.worker_id),
            booth_id: UnitId(s.world.unit(booth)),
            checked: *checked,
            mismatched: *mismatched,
        });
    assert_eq!(checks, expected.collect::<Vec<_>>());
    assert!((rate.unwrap().rate - 0.3).abs() < 1e-12);
}

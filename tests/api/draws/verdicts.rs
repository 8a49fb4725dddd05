//! How a draw ends.

use serde_json::{Value, json};

use super::{Scene, confirms, only, refutes, scene, send};
use crate::workers::journalled;

/// Ten drawn of twenty visits, of which so many were confirmed, refuted and refused to the verifier.
async fn checked(s: &Scene, changes: Value, (confirmed, refuted, refused): (i64, i64, i64)) -> String {
    let mut wanted = json!({"plan": {"size": 10, "decision_number": 3}});
    for (key, value) in changes.as_object().unwrap() {
        wanted[key] = value.clone();
    }
    let path = s.drawn(wanted).await;
    for number in 1..=confirmed + refuted + refused {
        let check = if number <= confirmed {
            confirms(&path, number)
        } else if number <= confirmed + refuted {
            refutes(&path, number)
        } else {
            only(&path, number, "refused")
        };
        s.verifier.client.post("/v1/back-checks", check).await.expect(201);
    }
    path
}

#[actix_web::test]
async fn as_many_mismatches_as_the_decision_number_reject_and_fewer_accept() {
    let s = scene().await;
    s.record(0, 20).await;
    let left_out = || json!({"unconfirmed": "left_out"});
    for (changes, found, verdict, decision) in [
        (json!({}), (8, 2, 0), "accepted", 3),
        (json!({}), (7, 3, 0), "rejected", 3),
        // What was not confirmed counts as the request says.
        (json!({}), (7, 2, 1), "rejected", 3),
        (json!({}), (7, 2, 0), "rejected", 3),
        (left_out(), (7, 2, 1), "accepted", 3),
        (left_out(), (3, 2, 0), "rejected", 2),
        (left_out(), (4, 1, 5), "accepted", 2),
        (left_out(), (0, 0, 4), "rejected", 0),
    ] {
        let path = checked(&s, changes.clone(), found).await;
        let closed = s.close(&path).await;
        let told = (&closed["verdict"], &closed["decision_number"]);
        assert_eq!(told, (&json!(verdict), &json!(decision)), "{changes} {found:?}");
        let figures = &closed["figures"];
        let (matched, mismatched, unconfirmed) = found;
        assert_eq!(
            (
                &figures["matched"],
                &figures["mismatched"],
                &figures["unconfirmed"],
                &figures["unfinished"]
            ),
            (
                &json!(matched),
                &json!(mismatched),
                &json!(unconfirmed),
                &json!(10 - matched - mismatched - unconfirmed)
            )
        );
    }
}

#[actix_web::test]
async fn the_error_rate_comes_with_its_interval() {
    let s = scene().await;
    s.record(0, 20).await;
    let path = checked(&s, json!({}), (8, 2, 0)).await;
    let rate = s.read(&path).await["figures"]["error_rate"].clone();
    let near = |key: &str, wanted: f64| {
        let found = rate[key].as_f64().unwrap();
        assert!((found - wanted).abs() < 5e-4, "{key}: {found}");
    };
    // Wilson for 2 of 10: 5.7 % to 51.0 %.
    near("rate", 0.2);
    near("low", 0.0567);
    near("high", 0.5098);
    near("effective_checks", 10.0);
}

#[actix_web::test]
async fn visits_are_left_unchecked_only_with_a_reason() {
    let s = scene().await;
    s.record(0, 20).await;
    let path = checked(&s, json!({}), (4, 0, 0)).await;
    let close = format!("{path}/close");
    for bad in [
        json!({}),
        json!({"reason": ""}),
        json!({"reason": "Call +919812345678"}),
    ] {
        let refused = s.district.client.post(&close, bad).await.expect(422);
        assert_eq!(refused.json["errors"][0]["pointer"], "/reason");
    }
    // Who gives visits to verifiers does not end the draw.
    s.coordinator
        .client
        .post(&close, json!({"reason": "Why"}))
        .await
        .expect(403);
    assert_eq!(s.close(&path).await["reason"], "The verifier fell ill");
    let whole = checked(&s, json!({}), (10, 0, 0)).await;
    let closed = s
        .district
        .client
        .post(&format!("{whole}/close"), json!({}))
        .await
        .expect(200);
    assert_eq!(closed.json["closed"]["verdict"], "accepted");
}

#[actix_web::test]
async fn a_closed_draw_does_not_change_and_what_comes_later_is_kept_and_counts_nowhere() {
    let s = scene().await;
    s.record(0, 20).await;
    let path = checked(&s, json!({}), (8, 0, 0)).await;
    s.close(&path).await;
    let before = s.district.client.get(&path).await.expect(200);
    // The verifier was without a network when it was closed.
    let late = s
        .verifier
        .client
        .post("/v1/back-checks", refutes(&path, 9))
        .await
        .expect(201);
    assert_eq!(late.json["late"], true);
    s.verifier
        .client
        .post("/v1/back-checks", confirms(&path, 9))
        .await
        .expect(409);
    let spread = json!({"spread_among": [s.coordinator.worker_id]});
    assert_eq!(
        s.assign(&path, spread).await.expect(409).json["code"],
        "draw_closed"
    );
    let again = s
        .district
        .client
        .post(&format!("{path}/close"), json!({"reason": "Again"}))
        .await
        .expect(409);
    assert_eq!(again.json["code"], "draw_closed");
    let after = s.district.client.get(&path).await.expect(200);
    assert_eq!(before.body, after.body);
    assert_eq!(before.header("etag"), after.header("etag"));
    let tag = after.header("etag").unwrap();
    s.district
        .client
        .header("If-None-Match", tag)
        .get(&path)
        .await
        .expect(304);
    let kept = s.read(&format!("{path}/back-checks?limit=500")).await;
    let kept: Vec<&Value> = kept["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|check| check["late"] == true)
        .collect();
    assert_eq!((kept.len(), &kept[0]["number"]), (1, &json!(9)));
    let totals = s
        .read(&format!("/v1/units/{}/audited-totals", s.world.unit("S1-M1")))
        .await;
    assert_eq!(
        (&totals["checked"], &totals["mismatched"]),
        (&json!(8), &json!(0))
    );
    assert_eq!(
        s.verifier.client.get("/v1/me/back-checks").await.expect(200).json["items"],
        json!([])
    );
}

#[actix_web::test]
async fn what_is_checked_while_the_draw_is_closed_is_either_counted_or_late() {
    let s = scene().await;
    s.record(0, 12).await;
    for _ in 0..3 {
        let path = checked(&s, json!({}), (2, 0, 0)).await;
        let closing = s.close(&path);
        let checks: Vec<Value> = (3..=10).map(|number| confirms(&path, number)).collect();
        let sends = checks.iter().map(|check| send(&s.verifier.client, check));
        let (closed, answers) =
            futures_util::future::join(closing, futures_util::future::join_all(sends)).await;
        let in_time = answers
            .iter()
            .filter(|answer| answer.json["late"] == false)
            .count();
        assert!(answers.iter().all(|answer| answer.status == 201));
        assert_eq!(closed["figures"]["matched"], json!(2 + in_time));
        assert_eq!(closed["figures"]["unfinished"], json!(8 - in_time));
    }
    assert_eq!(journalled(&s.world, "draw.close").await, 3);
}

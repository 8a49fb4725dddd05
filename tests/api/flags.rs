//! A machine's doubts: each at its bound and just past it, one by one, within a batch, and when a visit arrives late.

use chrono::{DateTime, TimeDelta, Utc};
use sampark::access::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Actor, TestApp, World, noon};

/// Where the booth of the tests lies, and a metre and a kilometre to the north of it in degrees.
const HERE: (f64, f64) = (26.8467, 80.9462);
const METRE: f64 = 1.0 / 111_195.08;

/// Every flag turned off but those given.
pub fn only(bounds: Value) -> Value {
    let mut all = json!({
        "too_fast": null, "impossible_travel": null, "far_from_booth": null, "mock_location": false, "same_spot": null,
        "repeat_door": null, "outside_hours": null, "clock_skew": null, "backdated": null, "too_short": null,
        "daily_bound": null, "no_grant_on_day": false, "outside_campaign": false,
    });
    for (code, bound) in bounds.as_object().unwrap() {
        all[code] = bound.clone();
    }
    all
}

pub fn at(metres: f64) -> Value {
    json!({"lat": HERE.0 + metres * METRE, "lon": HERE.1, "accuracy_m": 0.0})
}

pub struct Scene {
    pub app: TestApp,
    pub world: World,
    pub campaign: i32,
    pub admin: Actor,
}

impl Scene {
    pub async fn build() -> Self {
        let app = TestApp::start().await;
        let world = World::build(&app).await;
        let campaign = world.campaign("IN").await;
        let admin = world.actor(&app, Role::NationalAdmin, "IN").await;
        Self {
            app,
            world,
            campaign,
            admin,
        }
    }

    pub async fn bind(&self, bounds: Value) {
        let path = format!("/v1/campaigns/{}", self.campaign);
        let tag = self
            .admin
            .client
            .get(&path)
            .await
            .expect(200)
            .header("etag")
            .unwrap()
            .to_owned();
        let client = self.admin.client.header("If-Match", &tag);
        client.patch(&path, json!({ "bounds": bounds })).await.expect(200);
    }

    pub async fn locate(&self, booth: &str) {
        let id = self.world.unit(booth);
        self.world
            .db
            .execute(
                "UPDATE units SET lat = $1, lon = $2 WHERE id = $3",
                &[&HERE.0, &HERE.1, &id],
            )
            .await
            .unwrap();
    }

    pub async fn worker(&self) -> Actor {
        self.world.actor(&self.app, Role::BoothWorker, "S1-B1").await
    }

    /// A visit of so many seconds after ten o'clock, changed at will.
    pub fn visit(&self, seconds: i64, changes: Value) -> Value {
        let ten: DateTime<Utc> = noon() - TimeDelta::hours(2);
        let mut visit = crate::visits::visit(&self.world, self.campaign, "S1-B1");
        visit["visited_at"] = json!(ten + TimeDelta::seconds(seconds));
        for (key, value) in changes.as_object().unwrap() {
            visit[key] = value.clone();
        }
        visit
    }

    /// What a fresh worker's visits are flagged with, sent in this order, `by` so many at a time (0: one by one).
    async fn judged(&self, visits: &[Value], by: usize) -> Vec<Raised> {
        let worker = self.worker().await;
        record(&worker, visits, by).await
    }

    /// The flags of a visit alone.
    async fn alone(&self, changes: Value) -> Raised {
        let visit = self.visit(0, changes);
        self.judged(&[visit], 0).await.remove(0)
    }
}

/// Code, what was measured, and the bound.
pub type Raised = Vec<(String, Value, Value)>;

pub fn flags(value: &Value) -> Raised {
    let list = value["flags"].as_array().unwrap();
    list.iter()
        .map(|flag| {
            (
                flag["code"].as_str().unwrap().to_owned(),
                flag["measured"].clone(),
                flag["bound"].clone(),
            )
        })
        .collect()
}

pub fn raised(code: &str, measured: f64, bound: f64) -> Raised {
    vec![(code.to_owned(), json!(measured), json!(bound))]
}

pub async fn record(worker: &Actor, visits: &[Value], by: usize) -> Vec<Raised> {
    let mut found = Vec::new();
    if by == 0 {
        for visit in visits {
            let stored = worker.client.post("/v1/visits", visit.clone()).await.expect(201);
            found.push(flags(&stored.json));
        }
        return found;
    }
    for chunk in visits.chunks(by) {
        let answer = worker
            .client
            .post("/v1/visits/batch", json!({ "visits": chunk }))
            .await
            .expect(200);
        for item in answer.json["results"].as_array().unwrap() {
            assert_eq!(item["status"], "created", "{item}");
            found.push(flags(item));
        }
    }
    found
}

#[actix_web::test]
async fn a_usual_visit_has_no_flag_by_the_defaults() {
    let s = Scene::build().await;
    s.locate("S1-B1").await;
    let usual =
        json!({"location": at(120.0), "duration_s": 180, "household_id": s.world.household("S1-B1").await});
    assert_eq!(s.alone(usual).await, vec![]);
}

#[actix_web::test]
async fn clocks_and_hours_are_doubted_only_past_their_bounds() {
    let s = Scene::build().await;
    s.bind(only(json!({"clock_skew": {"seconds": 600}}))).await;
    let ahead = |seconds: i64| json!({"visited_at": noon() + TimeDelta::seconds(seconds)});
    assert_eq!(s.alone(ahead(600)).await, vec![]);
    assert_eq!(s.alone(ahead(601)).await, raised("clock_skew", 601.0, 600.0));

    s.bind(only(json!({"backdated": {"days": 7}}))).await;
    let days = |days: i64| json!({"visited_at": noon() - TimeDelta::days(days)});
    assert_eq!(s.alone(days(7)).await, vec![]);
    assert_eq!(s.alone(days(8)).await, raised("backdated", 8.0, 7.0));

    s.bind(only(json!({"outside_hours": {"from": 9, "to": 18}})))
        .await;
    let time = |time: &str| json!({"visited_at": format!("2026-11-22T{time}+05:30")});
    assert_eq!(s.alone(time("09:00:00")).await, vec![]);
    assert_eq!(s.alone(time("17:59:59")).await, vec![]);
    assert_eq!(
        s.alone(time("08:59:59")).await,
        raised("outside_hours", 8.98, 9.0)
    );
    assert_eq!(
        s.alone(time("18:00:00")).await,
        raised("outside_hours", 18.0, 18.0)
    );

    s.bind(only(json!({"outside_campaign": true}))).await;
    assert_eq!(
        s.alone(json!({"visited_at": "2026-11-01T00:00:00+05:30"})).await,
        vec![]
    );
    let before = s.alone(json!({"visited_at": "2026-10-31T23:59:59+05:30"})).await;
    assert_eq!(
        before,
        vec![("outside_campaign".to_owned(), Value::Null, Value::Null)]
    );
}

#[actix_web::test]
async fn content_is_doubted_only_past_its_bounds() {
    let s = Scene::build().await;
    s.locate("S1-B1").await;
    s.bind(only(json!({"too_short": {"seconds": 15}}))).await;
    assert_eq!(s.alone(json!({"duration_s": 15})).await, vec![]);
    assert_eq!(
        s.alone(json!({"duration_s": 14})).await,
        raised("too_short", 14.0, 15.0)
    );
    let closed = json!({"duration_s": 3, "outcome": "locked", "people_met": 0});
    assert_eq!(s.alone(closed).await, vec![], "a locked door takes no time");

    s.bind(only(json!({"mock_location": true}))).await;
    let mut made_up = at(0.0);
    made_up["mock"] = json!(true);
    assert_eq!(
        s.alone(json!({ "location": made_up })).await,
        vec![("mock_location".to_owned(), Value::Null, Value::Null)]
    );
    made_up["mock"] = json!(false);
    assert_eq!(s.alone(json!({ "location": made_up })).await, vec![]);

    s.bind(only(json!({"far_from_booth": {"booth_m": 3000, "door_m": 300}})))
        .await;
    assert_eq!(s.alone(json!({"location": at(3000.0)})).await, vec![]);
    assert_eq!(
        s.alone(json!({"location": at(3001.0)})).await,
        raised("far_from_booth", 3001.0, 3000.0)
    );
    let mut vague = at(3040.0);
    vague["accuracy_m"] = json!(40.0);
    assert_eq!(
        s.alone(json!({ "location": vague })).await,
        vec![],
        "within its accuracy"
    );
    let called = json!({"location": at(9000.0), "channel": "phone"});
    assert_eq!(s.alone(called).await, vec![], "a call is made from anywhere");
    // Where it is known where the door is, the door counts and not the booth.
    let door = Uuid::new_v4();
    let household = json!({"booth_id": s.world.unit("S1-B1"), "label": "9",
                           "location": {"lat": HERE.0 + 5000.0 * METRE, "lon": HERE.1}});
    s.admin
        .client
        .put(&format!("/v1/households/{door}"), household)
        .await
        .expect(201);
    let near = |metres: f64| json!({"household_id": door, "location": at(5000.0 - metres)});
    assert_eq!(s.alone(near(300.0)).await, vec![]);
    assert_eq!(s.alone(near(301.0)).await, raised("far_from_booth", 301.0, 300.0));
}

#[actix_web::test]
async fn more_visits_in_a_time_than_the_bound_are_too_fast() {
    let s = Scene::build().await;
    s.bind(only(json!({"too_fast": {"visits": 3, "seconds": 60}})))
        .await;
    for by in [0, 4] {
        let at = |seconds: &[i64]| -> Vec<Value> {
            seconds
                .iter()
                .map(|seconds| s.visit(*seconds, json!({})))
                .collect()
        };
        let none = vec![vec![]; 3];
        // The window is a minute less its last instant.
        let slow = s.judged(&at(&[0, 20, 40, 60]), by).await;
        assert_eq!(slow, [none.clone(), vec![vec![]]].concat());
        let fast = s.judged(&at(&[0, 20, 40, 59]), by).await;
        assert_eq!(fast, [none.clone(), vec![raised("too_fast", 4.0, 3.0)]].concat());
        // Late, and first of all: the doubt falls on the one that came later, not on those stored before.
        let late = s.judged(&at(&[20, 40, 59, 0]), by).await;
        assert_eq!(late, [none.clone(), vec![raised("too_fast", 4.0, 3.0)]].concat());
        let street = s.visit(59, json!({"channel": "street"}));
        let calls = s.judged(&[at(&[0, 20, 40]), vec![street]].concat(), by).await;
        assert_eq!(calls, vec![vec![]; 4], "only doors are counted");
    }
}

#[actix_web::test]
async fn no_worker_travels_faster_than_the_bound_to_either_neighbour() {
    let s = Scene::build().await;
    s.bind(only(json!({"impossible_travel": {"km_h": 60}}))).await;
    for by in [0, 3] {
        let stop = |minutes: i64, km: f64| s.visit(minutes * 60, json!({"location": at(km * 1000.0)}));
        let blind = s.visit(600, json!({}));
        // A visit without a position between two others does not hide the way.
        let just = s.judged(&[stop(0, 0.0), blind.clone(), stop(20, 20.0)], by).await;
        assert_eq!(just, vec![vec![]; 3]);
        let blind = s.visit(600, json!({}));
        let fast = s.judged(&[stop(0, 0.0), blind, stop(20, 20.4)], by).await;
        assert_eq!(
            fast,
            [vec![vec![]; 2], vec![raised("impossible_travel", 61.0, 60.0)]].concat()
        );
        // Late: judged towards the visit after it as well.
        let late = s
            .judged(&[stop(0, 0.0), stop(40, 10.0), stop(20, 31.0)], by)
            .await;
        assert_eq!(
            late,
            [vec![vec![]; 2], vec![raised("impossible_travel", 93.0, 60.0)]].concat()
        );
        let late = s.judged(&[stop(0, 0.0), stop(21, 20.0), stop(20, 2.0)], by).await;
        assert_eq!(
            late,
            [vec![vec![]; 2], vec![raised("impossible_travel", 1080.0, 60.0)]].concat()
        );
        // What the positions may be off is no way.
        let mut vague = stop(0, 0.05);
        vague["location"]["accuracy_m"] = json!(49.0);
        let same = s.judged(&[stop(0, 0.0), vague], by).await;
        assert_eq!(same, vec![vec![]; 2]);
    }
}

#[actix_web::test]
async fn many_doors_from_one_point_are_doubted() {
    let s = Scene::build().await;
    s.bind(only(json!({"same_spot": {"doors": 2, "metres": 10}})))
        .await;
    let doors = [
        s.world.household("S1-B1").await,
        s.world.household("S1-B1").await,
        s.world.household("S1-B1").await,
    ];
    for by in [0, 4] {
        let from =
            |n: usize, metres: f64| s.visit(0, json!({"household_id": doors[n], "location": at(metres)}));
        let again = s
            .judged(&[from(0, 0.0), from(1, 3.0), from(0, 5.0), from(1, 0.0)], by)
            .await;
        assert_eq!(
            again,
            vec![vec![]; 4],
            "the same doors again are no further doors"
        );
        let apart = s.judged(&[from(0, 0.0), from(1, 5.0), from(2, 10.5)], by).await;
        assert_eq!(apart, vec![vec![]; 3]);
        let third = s.judged(&[from(0, 0.0), from(1, 5.0), from(2, 9.5)], by).await;
        assert_eq!(
            third,
            [vec![vec![]; 2], vec![raised("same_spot", 3.0, 2.0)]].concat()
        );
        let nameless: Vec<Value> = (0..3).map(|_| s.visit(0, json!({"location": at(0.0)}))).collect();
        let third = s.judged(&nameless, by).await;
        assert_eq!(
            third,
            [vec![vec![]; 2], vec![raised("same_spot", 3.0, 2.0)]].concat()
        );
    }
}

#[actix_web::test]
async fn a_door_met_again_too_soon_is_doubted_whoever_meets_it() {
    let s = Scene::build().await;
    s.bind(only(json!({"repeat_door": {"days": 3}}))).await;
    for by in [0, 6] {
        let door = s.world.household("S1-B1").await;
        let on = |days: i64, outcome: &str| {
            s.visit(
                days * 86_400,
                json!({"household_id": door, "outcome": outcome, "people_met": 0}),
            )
        };
        let visits = [
            on(-10, "met"),
            on(-9, "not_home"),
            on(-7, "met"),
            on(-5, "met"),
            // Late, between the first and the last: the nearer counts.
            on(-9, "met"),
        ];
        let found = s.judged(&visits, by).await;
        assert_eq!(
            found,
            vec![
                vec![],
                vec![],
                vec![],
                raised("repeat_door", 2.0, 3.0),
                raised("repeat_door", 1.0, 3.0)
            ]
        );
        let another = s.judged(&[on(-4, "met")], by).await;
        assert_eq!(another, vec![raised("repeat_door", 1.0, 3.0)]);
    }
}

#[actix_web::test]
async fn a_day_past_its_bound_is_doubted_visit_by_visit() {
    let s = Scene::build().await;
    s.bind(only(json!({"daily_bound": {"visits": 3}}))).await;
    for by in [0, 2, 5] {
        let mut visits: Vec<Value> = (0..5).map(|n| s.visit(n * 1200, json!({}))).collect();
        visits[3]["visited_at"] = json!(noon() - TimeDelta::days(1));
        let found = s.judged(&visits, by).await;
        assert_eq!(
            found,
            [vec![vec![]; 4], vec![raised("daily_bound", 4.0, 3.0)]].concat()
        );
    }
}

#[actix_web::test]
async fn a_day_longer_than_any_bound_is_judged_by_its_length_alone() {
    let s = Scene::build().await;
    s.bind(only(
        json!({"daily_bound": {"visits": 300}, "too_fast": {"visits": 300, "seconds": 86_400}}),
    ))
    .await;
    let visits: Vec<Value> = (0..303).map(|n| s.visit(n, json!({}))).collect();
    let worker = s.worker().await;
    let found = record(&worker, &visits, 302).await;
    assert!(found[..300].iter().all(Vec::is_empty));
    for over in &found[300..] {
        assert_eq!(over[0].0, "daily_bound");
        assert_eq!(over.len(), 1, "{over:?}");
    }
}

#[actix_web::test]
async fn a_correction_takes_no_flag_away_and_adds_what_its_content_brings() {
    let s = Scene::build().await;
    s.locate("S1-B1").await;
    s.bind(only(json!({
        "far_from_booth": {"booth_m": 3000, "door_m": 300}, "too_short": {"seconds": 15}, "mock_location": true,
        "repeat_door": {"days": 3}
    })))
    .await;
    let worker = s.worker().await;
    let door = s.world.household("S1-B1").await;
    record(&worker, &[s.visit(0, json!({"household_id": door}))], 0).await;
    let far = s.visit(60, json!({"location": at(4000.0)}));
    let fair = s.visit(
        120,
        json!({"outcome": "not_home", "people_met": 0, "household_id": door}),
    );
    record(&worker, &[far.clone(), fair.clone()], 2).await;
    let flagged = async || {
        let path = format!("/v1/units/{}/totals", s.world.unit("S1-B1"));
        s.admin.client.get(&path).await.expect(200).json["totals"]["flagged"].clone()
    };
    assert_eq!(flagged().await, 1);
    let correct = async |visit: &Value, tag: &str, patch: Value| {
        let path = format!("/v1/visits/{}", visit["id"].as_str().unwrap());
        let client = worker.client.header("If-Match", tag);
        flags(&client.patch(&path, patch).await.expect(200).json)
    };
    let nearer = correct(&far, "\"1\"", json!({"location": at(0.0), "duration_s": 14})).await;
    let both = [
        raised("far_from_booth", 4000.0, 3000.0),
        raised("too_short", 14.0, 15.0),
    ]
    .concat();
    assert_eq!(nearer, both);
    assert_eq!(flagged().await, 1);
    // The door was met that day already.
    let met = correct(&fair, "\"1\"", json!({"outcome": "met", "people_met": 1})).await;
    assert_eq!(met, raised("repeat_door", 0.0, 3.0));
    assert_eq!(flagged().await, 2);
    // Bounds made narrower later do not judge what a correction leaves alone.
    s.bind(only(json!({"too_short": {"seconds": 900}}))).await;
    let note = correct(&far, "\"2\"", json!({"note": "By the well"})).await;
    assert_eq!(note, both);
    crate::exactness::assert_exact(&s.world.db, "corrections").await;
}

#[actix_web::test]
async fn bounds_are_checked_shown_whole_and_kept_with_the_evidence() {
    let s = Scene::build().await;
    let path = format!("/v1/campaigns/{}", s.campaign);
    let shown = s.admin.client.get(&path).await.expect(200).json["bounds"].clone();
    assert_eq!(shown["too_fast"], json!({"visits": 20, "seconds": 600}));
    assert_eq!(shown.as_object().unwrap().len(), 13);
    let client = s.admin.client.header("If-Match", "\"1\"");
    let wrong = json!({"bounds": {"too_fast": {"visits": 0, "seconds": 600}, "outside_hours": {"from": 9, "to": 9},
                                  "daily_bound": {"visits": 301}}});
    let refused = client.patch(&path, wrong).await.expect(422);
    let mut pointers: Vec<&str> = refused.json["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].as_str().unwrap())
        .collect();
    pointers.sort_unstable();
    assert_eq!(
        pointers,
        [
            "/bounds/daily_bound/visits",
            "/bounds/outside_hours/to",
            "/bounds/too_fast/visits"
        ]
    );
    let unknown = client
        .patch(&path, json!({"bounds": {"too_slow": null}}))
        .await
        .expect(422);
    assert_eq!(unknown.json["errors"][0]["code"], "unknown_field");

    s.bind(only(json!({"too_short": {"seconds": 60}}))).await;
    let worker = s.worker().await;
    let visit = s.visit(0, json!({"duration_s": 30}));
    record(&worker, std::slice::from_ref(&visit), 0).await;
    s.bind(only(json!({}))).await;
    let stored = worker
        .client
        .get(&format!("/v1/visits/{}", visit["id"].as_str().unwrap()))
        .await
        .expect(200);
    assert_eq!(flags(&stored.json), raised("too_short", 30.0, 60.0));
    let later = s.visit(0, json!({"duration_s": 30}));
    assert_eq!(record(&worker, &[later], 0).await, vec![vec![]]);
}

//! Indicators, targets, who falls short of them, and reviews that were frozen.

mod recounts;
mod sources;

use sampark::access::Role;
use serde_json::{Value, json};

use crate::support::{Answer, Client, TestApp, World};
use crate::visits::visit;

pub struct Scene {
    pub app: TestApp,
    pub world: World,
    pub admin: Client,
    pub campaign: i32,
}

pub async fn scene() -> Scene {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let admin = world.actor(&app, Role::NationalAdmin, "IN").await.client;
    let campaign = world.campaign("IN").await;
    Scene {
        app,
        world,
        admin,
        campaign,
    }
}

impl Scene {
    /// Records a visit on a day of November; its id.
    pub async fn visited(&self, booth: &str, day: u32, outcome: &str) -> String {
        let mut sent = visit(&self.world, self.campaign, booth);
        sent["visited_at"] = json!(format!("2026-11-{day:02}T10:00:00+05:30"));
        sent["outcome"] = json!(outcome);
        sent["people_met"] = json!(i32::from(outcome == "met"));
        let made = self.admin.post("/v1/visits", sent).await.expect(201).json;
        made["id"].as_str().unwrap().to_owned()
    }

    pub async fn target(
        &self,
        unit: &str,
        indicator: &str,
        level: &str,
        value: Value,
        campaign: Option<i32>,
    ) {
        let body = json!({"indicator": indicator, "level": level, "value": value, "campaign_id": campaign,
                          "valid_from": "2026-11-01", "reason": "As decided"});
        let path = format!("/v1/units/{}/targets", self.world.unit(unit));
        self.admin.post(&path, body).await.expect(201);
    }

    pub async fn report(&self, unit: &str, query: &str) -> Answer {
        let path = format!("/v1/units/{}/shortfalls?{query}", self.world.unit(unit));
        self.admin.get(&path).await
    }

    /// Figures by unit of the one indicator that has a target.
    async fn items(&self, unit: &str, query: &str) -> Vec<Value> {
        let report = self.report(unit, query).await.expect(200).json;
        assert_eq!(report["indicators"].as_array().unwrap().len(), 1, "{report}");
        report["indicators"][0]["items"].as_array().unwrap().clone()
    }

    /// Two mandals: the first reached half of those it visited, the second nobody.
    async fn visits_of_two_mandals(&self) -> Vec<String> {
        let mut ids = Vec::new();
        for (booth, day, outcome) in [
            ("S1-B1", 10, "met"),
            ("S1-B1", 10, "not_home"),
            ("S1-B1", 20, "not_home"),
            ("S1-B1", 20, "not_home"),
            ("S1-B2", 20, "met"),
            ("S1-B2", 20, "met"),
            ("S1-B4", 20, "refused"),
            ("S1-B4", 20, "refused"),
        ] {
            ids.push(self.visited(booth, day, outcome).await);
        }
        ids
    }
}

/// How many visits a list holds that count.
async fn rows_behind(client: &Client, link: &Value) -> usize {
    let page = client.get(link.as_str().unwrap()).await.expect(200).json;
    let items = page["items"].as_array().unwrap();
    items.iter().filter(|item| item["voided"] == false).count()
}

#[actix_web::test]
async fn the_catalogue_defines_every_indicator_with_its_formula() {
    let s = scene().await;
    let answer = s.admin.get("/v1/indicators").await.expect(200);
    let items = answer.json["items"].as_array().unwrap().clone();
    assert!(items.len() >= 16, "{}", items.len());
    let doors = items
        .iter()
        .find(|item| item["id"] == "doors_reached_share")
        .unwrap();
    assert_eq!(
        (&doors["unit"], &doors["direction"], &doors["source"]),
        (&json!("percent"), &json!("higher_is_better"), &json!("visits"))
    );
    let again = s.admin.header("If-None-Match", answer.header("etag").unwrap());
    again.get("/v1/indicators").await.expect(304);
    let worker = s.world.actor(&s.app, Role::BoothWorker, "S1-B1").await.client;
    worker.get("/v1/indicators").await.expect(403);
}

#[actix_web::test]
async fn units_are_ranked_by_shortfall_with_trend_and_what_weighs_most_in_each() {
    let s = scene().await;
    s.visits_of_two_mandals().await;
    s.target("S1", "contact_rate", "mandal", json!(60), None).await;
    let items = s.items("S1", "level=mandal").await;
    let told: Vec<Value> = items
        .iter()
        .map(|item| {
            let heaviest: Vec<Value> = item["heaviest"]
                .as_array()
                .unwrap()
                .iter()
                .map(|part| json!([part["unit"]["code"], part["missing"]]))
                .collect();
            json!([
                item["rank"],
                item["unit"]["code"],
                item["target"],
                item["actual"],
                item["shortfall"],
                item["missing"],
                item["trend"],
                item["numerator"],
                item["denominator"],
                heaviest
            ])
        })
        .collect();
    assert_eq!(
        json!(told),
        json!([
            [1, "S1-M2", 60.0, 0.0, 60.0, 1.2, null, 0, 2, [["S1-B4", 1.2]]],
            [2, "S1-M1", 60.0, 50.0, 10.0, 0.6, 0.0, 3, 6, [["S1-B1", 1.4]]]
        ])
    );
    // Every number leads to the rows behind it.
    for item in &items {
        for side in ["numerator", "denominator"] {
            let rows = rows_behind(&s.admin, &item["trace"][side]).await;
            assert_eq!(json!(rows), item[side], "{}", item["trace"][side]);
        }
    }
    // Of booths: the first fell, since it met nobody lately.
    s.target("S1-M1", "contact_rate", "booth", json!(30), None).await;
    let booths = s.items("S1-M1", "level=booth").await;
    let first = booths
        .iter()
        .find(|item| item["unit"]["code"] == "S1-B1")
        .unwrap();
    assert_eq!(
        (&first["actual"], &first["trend"], &first["shortfall"]),
        (&json!(25.0), &json!(-25.0), &json!(5.0))
    );
    let last = booths.last().unwrap();
    assert_eq!(
        (&last["unit"]["code"], &last["actual"], &last["shortfall"]),
        (&json!("S1-B3"), &Value::Null, &Value::Null),
        "nobody was visited there"
    );
    // Within a period.
    let items = s
        .items("S1", "level=mandal&from=2026-11-11&to=2026-11-22&limit=1")
        .await;
    assert_eq!(items.len(), 1);
    let items = s.items("S1", "level=mandal&from=2026-11-11").await;
    assert_eq!(items[1]["denominator"], 4);
}

#[actix_web::test]
async fn the_nearest_target_above_counts() {
    let s = scene().await;
    s.visits_of_two_mandals().await;
    let target = async |query: &str| {
        let report = s
            .report("IN", &format!("level=mandal&{query}"))
            .await
            .expect(200)
            .json;
        let Some(group) = report["indicators"].get(0) else {
            return Vec::new();
        };
        let items = group["items"].as_array().unwrap().clone();
        let mut told: Vec<(String, f64, Value)> = items
            .iter()
            .map(|item| {
                let code = item["unit"]["code"].as_str().unwrap().to_owned();
                (
                    code,
                    item["target"].as_f64().unwrap(),
                    item["target_of_unit"].clone(),
                )
            })
            .collect();
        told.sort_by(|a, b| a.0.cmp(&b.0));
        told
    };
    let expect = |rows: &[(&str, f64, &str)]| {
        let rows = rows.iter().map(|(code, target, of)| {
            let of = if of.is_empty() {
                Value::Null
            } else {
                json!(s.world.unit(of))
            };
            ((*code).to_owned(), *target, of)
        });
        rows.collect::<Vec<_>>()
    };
    assert_eq!(target("").await, Vec::new());
    let campaign = format!("campaign={}", s.campaign);
    let path = format!("/v1/campaigns/{}", s.campaign);
    let tag = s
        .admin
        .get(&path)
        .await
        .expect(200)
        .header("etag")
        .unwrap()
        .to_owned();
    let change = json!({"targets": {"contact_rate": 35}});
    s.admin
        .header("If-Match", &tag)
        .patch(&path, change)
        .await
        .expect(200);
    assert_eq!(
        target(&campaign).await,
        expect(&[("S1-M1", 35.0, ""), ("S1-M2", 35.0, ""), ("S2-M1", 35.0, "")])
    );
    s.target("IN", "contact_rate", "mandal", json!(20), None).await;
    s.target("S1", "contact_rate", "mandal", json!(30), None).await;
    s.target("S1", "contact_rate", "mandal", json!(40), Some(s.campaign))
        .await;
    s.target("S1-M2", "contact_rate", "mandal", json!(50), None).await;
    // A target for booths is none for mandals.
    s.target("S1-M1", "contact_rate", "booth", json!(99), None).await;
    assert_eq!(
        target("").await,
        expect(&[
            ("S1-M1", 30.0, "S1"),
            ("S1-M2", 50.0, "S1-M2"),
            ("S2-M1", 20.0, "IN")
        ])
    );
    assert_eq!(
        target(&campaign).await,
        expect(&[
            ("S1-M1", 40.0, "S1"),
            ("S1-M2", 50.0, "S1-M2"),
            ("S2-M1", 20.0, "IN")
        ])
    );
    // One without a value ends what is above it.
    s.target("S1-M2", "contact_rate", "mandal", Value::Null, None)
        .await;
    assert_eq!(
        target("").await,
        expect(&[("S1-M1", 30.0, "S1"), ("S2-M1", 20.0, "IN")])
    );
    let path = format!("/v1/units/{}/targets", s.world.unit("S1-M2"));
    let listed = s.admin.get(&path).await.expect(200).json;
    let values: Vec<&Value> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| &item["value"])
        .collect();
    assert_eq!(
        values,
        [
            &json!(null),
            &json!(50.0),
            &json!(40.0),
            &json!(30.0),
            &json!(20.0)
        ],
        "what is set there and above, the newest first"
    );
    let coming = json!({"indicator": "contact_rate", "level": "mandal", "value": 90, "valid_from": "2026-11-24", "reason": "Soon"});
    let path = format!("/v1/units/{}/targets", s.world.unit("S1-M1"));
    s.admin.post(&path, coming).await.expect(201);
    assert_eq!(target("").await[0].1, 30.0, "it begins tomorrow");
    let bad = json!({"indicator": "nothing", "level": "mandal", "value": 90, "valid_from": "2026-11-24", "reason": ""});
    let refused = s.admin.post(&path, bad).await.expect(422).json;
    assert_eq!(refused["errors"].as_array().unwrap().len(), 2);
    let too_much = json!({"indicator": "contact_rate", "level": "mandal", "value": 101, "valid_from": "2026-11-24", "reason": "x"});
    s.admin.post(&path, too_much).await.expect(422);
    let mandals = json!({"indicator": "sign_offs_share", "level": "booth", "value": 10, "valid_from": "2026-11-24", "reason": "x"});
    s.admin.post(&path, mandals).await.expect(422);
}

#[actix_web::test]
async fn a_target_set_narrows_states_to_their_seats() {
    let s = scene().await;
    for (booth, outcome) in [
        ("S1-B1", "met"),
        ("S1-B5", "refused"),
        ("S1-B5", "met"),
        ("S2-B1", "met"),
    ] {
        s.visited(booth, 20, outcome).await;
    }
    let set = json!({"name": "Seats to win", "unit_id": s.world.unit("IN"), "level": "assembly_constituency",
        "version": {"valid_from": "2026-11-01", "reason": "Why", "members": [{"unit_id": s.world.unit("S1-AC2")}]}});
    let set = s.admin.post("/v1/target-sets", set).await.expect(201).json;
    s.target("IN", "contact_rate", "state", json!(90), None).await;
    let items = s
        .items("IN", &format!("level=state&target_set={}", set["id"]))
        .await;
    let told: Vec<_> = items
        .iter()
        .map(|item| (&item["unit"]["code"], &item["numerator"], &item["denominator"]))
        .collect();
    assert_eq!(
        told,
        [
            (&json!("S1"), &json!(1), &json!(2)),
            (&json!("S2"), &json!(0), &json!(0))
        ]
    );
    assert_eq!(items[0]["heaviest"][0]["unit"]["code"], "S1-AC2");
    s.target("IN", "contact_rate", "booth", json!(90), None).await;
    let booths = s
        .items("S1", &format!("level=booth&target_set={}", set["id"]))
        .await;
    assert_eq!(booths.len(), 1);
    assert_eq!(booths[0]["unit"]["code"], "S1-B5");
    for query in [
        "level=mandal&target_set=1",
        "level=nation",
        "level=state&weigh_by=booth",
        "level=state&days=91",
        "level=state&indicator=x",
        "level=state&limit=0",
        "level=state&campaign=99",
        "level=state&target_set=99",
    ] {
        let refused = s.report("IN", query).await;
        assert_eq!(refused.status, 422, "{query}: {}", refused.text());
    }
}

#[actix_web::test]
async fn the_cadre_and_the_signed_weeks_are_measured_too() {
    let s = scene().await;
    let rule = json!({"posts": [{"post": "booth_worker", "count": 1}], "reason": "As decided"});
    let path = format!("/v1/units/{}/committee-rules", s.world.unit("S1"));
    s.admin.post(&path, rule).await.expect(201);
    let holder = s.world.actor(&s.app, Role::BoothWorker, "S1-B1").await;
    let own = holder.client.get("/v1/me/posts").await.expect(200).json;
    let path = format!("/v1/me/posts/{}/confirmation", own["items"][0]["id"]);
    holder.client.post(&path, json!({})).await.expect(200);
    s.world.actor(&s.app, Role::BoothWorker, "S1-B2").await;
    let path = format!("/v1/units/{}/sign-offs", s.world.unit("S1-M2"));
    s.admin.post(&path, json!({"week": "2026-W47"})).await.expect(201);
    for (indicator, value) in [
        ("full_committees_share", 100),
        ("posts_vacant", 0),
        ("posts_confirmed_share", 100),
        ("active_workers_per_booth", 5),
        ("sign_offs_share", 100),
    ] {
        s.target("S1", indicator, "mandal", json!(value), None).await;
    }
    let report = s.report("S1", "level=mandal").await.expect(200).json;
    let mut told = Vec::new();
    for group in report["indicators"].as_array().unwrap() {
        for item in group["items"].as_array().unwrap() {
            told.push(format!(
                "{} {} {} {}",
                group["indicator"]["id"].as_str().unwrap(),
                item["unit"]["code"].as_str().unwrap(),
                item["actual"],
                item["shortfall"]
            ));
        }
    }
    assert_eq!(
        told,
        [
            "full_committees_share S1-M2 0.0 100.0",
            "full_committees_share S1-M1 33.3333 66.6667",
            "posts_vacant S1-M2 2.0 2.0",
            "posts_vacant S1-M1 1.0 1.0",
            "posts_confirmed_share S1-M2 0.0 100.0",
            "posts_confirmed_share S1-M1 33.3333 66.6667",
            "active_workers_per_booth S1-M2 0.0 5.0",
            "active_workers_per_booth S1-M1 0.6667 4.3333",
            "sign_offs_share S1-M1 0.0 100.0",
            "sign_offs_share S1-M2 100.0 0.0",
        ]
    );
    let vacant = &report["indicators"][1]["items"][1];
    assert_eq!(vacant["heaviest"][0]["unit"]["code"], "S1-B3");
    let rows = s
        .admin
        .get(vacant["trace"]["numerator"].as_str().unwrap())
        .await
        .expect(200)
        .json;
    assert_eq!(rows["items"].as_array().unwrap().len(), 1);
}

#[actix_web::test]
async fn a_sum_over_seats_has_a_trend_of_the_cadre_only_where_all_were_counted_then() {
    let s = scene().await;
    for booth in ["S1-B1", "S1-B5"] {
        s.world.actor(&s.app, Role::BoothWorker, booth).await;
    }
    sampark::features::cadre::recount_all(&s.app.state.db, &s.app.clock)
        .await
        .unwrap();
    let members: Vec<Value> = ["S1-AC1", "S1-AC2"]
        .iter()
        .map(|code| json!({"unit_id": s.world.unit(code)}))
        .collect();
    let set = json!({"name": "Seats", "unit_id": s.world.unit("IN"), "level": "assembly_constituency",
        "version": {"valid_from": "2026-11-01", "reason": "Why", "members": members}});
    let set = s.admin.post("/v1/target-sets", set).await.expect(201).json["id"].clone();
    s.target("IN", "active_workers_per_booth", "state", json!(5), None)
        .await;
    let query = format!("level=state&target_set={set}");
    let trend = async || {
        let items = s.items("IN", &query).await;
        let state = items.iter().find(|item| item["unit"]["code"] == "S1").unwrap();
        assert_eq!(state["actual"], 0.4);
        state["trend"].clone()
    };
    for (seat, wanted) in [
        ("none", Value::Null),
        ("S1-AC1", Value::Null),
        ("S1-AC2", json!(0.0)),
    ] {
        if seat != "none" {
            // Counted as it stands, two weeks earlier.
            let sql = "UPDATE cadre_tallies SET day = '2026-11-09' WHERE seat_id = $1";
            let counted = s.world.db.execute(sql, &[&s.world.unit(seat)]).await.unwrap();
            assert!(counted > 0, "{seat}");
        }
        assert_eq!(trend().await, wanted, "{seat}");
    }
}

#[actix_web::test]
async fn a_report_is_given_as_csv_that_no_spreadsheet_runs() {
    let s = scene().await;
    s.visits_of_two_mandals().await;
    s.target("S1", "contact_rate", "mandal", json!(60), None).await;
    s.world
        .db
        .execute(
            "UPDATE units SET name = '=HYPERLINK(1,2)' WHERE code = 'S1-M2'",
            &[],
        )
        .await
        .unwrap();
    let path = format!("/v1/units/{}/shortfalls?level=mandal", s.world.unit("S1"));
    let answer = s.admin.header("Accept", "text/csv").get(&path).await.expect(200);
    assert_eq!(answer.header("content-type"), Some("text/csv; charset=utf-8"));
    assert!(answer.header("vary").unwrap().to_lowercase().contains("accept"));
    let lines: Vec<&str> = answer.text().lines().collect();
    assert_eq!(
        lines[1],
        format!(
            "2026-11-23,contact_rate,percent,1,{},S1-M2,mandal,\"'=HYPERLINK(1,2)\",60,0,60,1.2,,0,2,S1-B4,,",
            s.world.unit("S1-M2")
        )
    );
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0].split(',').count(), lines[2].split(',').count());
}

#[actix_web::test]
async fn a_snapshot_does_not_move_when_the_past_is_corrected() {
    let s = scene().await;
    let visits = s.visits_of_two_mandals().await;
    s.target("S1", "contact_rate", "mandal", json!(60), None).await;
    let body = json!({"name": "Review of November", "asked": {"level": "mandal", "limit": 10}});
    let path = format!("/v1/units/{}/shortfalls/snapshots", s.world.unit("S1"));
    let keyed = s.admin.header("Idempotency-Key", "review");
    let made = keyed.post(&path, body.clone()).await.expect(201);
    let again = keyed.post(&path, body).await.expect(201);
    assert_eq!(made.body, again.body);
    let link = made.header("location").unwrap().to_owned();
    let before = s.admin.get(&link).await.expect(200);
    assert_eq!(before.json["report"]["indicators"][0]["items"][1]["actual"], 50.0);
    // A contact is taken back, another visit rejected, a booth is moved, the target is raised.
    let void = json!({"reason": "Never happened"});
    s.admin
        .post(&format!("/v1/visits/{}/void", visits[0]), void)
        .await
        .expect(200);
    let reviewer = s
        .world
        .actor(&s.app, Role::MandalCoordinator, "S1-M1")
        .await
        .client;
    let verdict = json!({"verdict": "rejected", "reason": "Nobody lives there"});
    reviewer
        .post(&format!("/v1/visits/{}/review", visits[1]), verdict)
        .await
        .expect(200);
    let place =
        json!({"tree": "organisation", "parent_id": s.world.unit("S1-M2"), "valid_from": "2026-11-01"});
    let moved = format!("/v1/units/{}/placements", s.world.unit("S1-B2"));
    let answer = s.admin.post(&moved, place).await;
    assert!([200, 201].contains(&answer.status), "{}", answer.text());
    s.target("S1", "contact_rate", "mandal", json!(80), None).await;
    let after = s.admin.get(&link).await.expect(200);
    assert_eq!(
        (&before.body, before.header("etag")),
        (&after.body, after.header("etag"))
    );
    let csv = s.admin.header("Accept", "text/csv").get(&link).await.expect(200);
    assert!(
        csv.text().contains("S1-M1,mandal,Unit S1-M1,60,50,10"),
        "{}",
        csv.text()
    );
    let compared = s.admin.get(&format!("{link}/comparison")).await.expect(200).json;
    let told: Vec<Value> = compared["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            json!([
                item["unit"]["code"],
                item["then"],
                item["now"],
                item["change"],
                item["shortfall_now"],
                item["rank_now"]
            ])
        })
        .collect();
    assert_eq!(
        json!(told),
        json!([
            ["S1-M2", 0.0, 50.0, 50.0, 30.0, 2],
            ["S1-M1", 50.0, 0.0, -50.0, 80.0, 1]
        ])
    );
    // The journal holds the digest of the frozen report.
    let digest = before.json["snapshot"]["sha256"].as_str().unwrap();
    let sql = "SELECT count(*) FROM (SELECT action, digest FROM journal UNION ALL SELECT action, digest FROM journal_inbox) j
               WHERE action = 'shortfall.freeze' AND encode(digest, 'hex') = $1";
    let row = s.world.db.query_one(sql, &[&digest]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 1);
    let listed = s.admin.get(&path).await.expect(200).json;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    // Elsewhere it is as if there were none.
    let elsewhere = s
        .world
        .actor(&s.app, Role::DistrictCoordinator, "S2-D1")
        .await
        .client;
    elsewhere.get(&link).await.expect(404);
    elsewhere.get(&format!("{link}/comparison")).await.expect(404);
    elsewhere.get(&path).await.expect(404);
}

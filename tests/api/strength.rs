//! Booths and mandals graded, who rose and who fell.

use chrono::TimeDelta;
use sampark::access::Role;
use sampark::features::strength::grade_all;
use sampark::platform::ids::{SessionId, WorkerId};
use serde_json::{Value, json};

use crate::support::{Actor, Client, TestApp, World};
use crate::visits::visit;

struct Scene {
    app: TestApp,
    world: World,
    admin: Actor,
    campaign: i32,
}

async fn scene() -> Scene {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    Scene {
        admin: world.actor(&app, Role::NationalAdmin, "IN").await,
        campaign: world.campaign("IN").await,
        app,
        world,
    }
}

impl Scene {
    /// The administrator, with a token of this moment.
    fn admin(&self) -> Client {
        let (worker, session) = (WorkerId(self.admin.worker_id), SessionId(self.admin.session_id));
        let keys = self.app.state.access.keys();
        let token = keys.sign(worker, session, self.app.clock.now()).unwrap();
        self.app.with_token(&token)
    }

    /// Visits of today, so many of them contacts.
    async fn visited(&self, booth: &str, visits: usize, met: usize) {
        for n in 0..visits {
            let mut sent = visit(&self.world, self.campaign, booth);
            sent["visited_at"] = json!(self.app.clock.now());
            sent["outcome"] = json!(if n < met { "met" } else { "not_home" });
            sent["people_met"] = json!(i32::from(n < met));
            self.admin().post("/v1/visits", sent).await.expect(201);
        }
    }

    /// Graded by contacts alone: all of the weight at half of them.
    async fn rule(&self, unit: &str, full: f64) -> Value {
        let body = json!({"reason": "As decided", "rule": {"days": 30,
            "parts": [{"indicator": "contact_rate", "weight": 10, "full": full}], "grades": {"a": 80, "b": 50, "c": 20}}});
        let path = format!("/v1/units/{}/strength/rules", self.world.unit(unit));
        self.admin().post(&path, body).await.expect(201).json
    }

    async fn grade(&self) -> usize {
        grade_all(&self.app.state.db, &self.app.clock).await.unwrap()
    }

    async fn strength(&self, unit: &str, query: &str) -> Value {
        let path = format!("/v1/units/{}/strength?{query}", self.world.unit(unit));
        self.admin().get(&path).await.expect(200).json
    }

    async fn history(&self, unit: &str) -> Vec<String> {
        let path = format!("/v1/units/{}/strength/history", self.world.unit(unit));
        let page = self.admin().get(&path).await.expect(200).json;
        let items = page["items"].as_array().unwrap();
        items
            .iter()
            .map(|item| {
                format!(
                    "{} {}",
                    item["graded_on"].as_str().unwrap(),
                    item["grade"].as_str().unwrap_or("none")
                )
            })
            .collect()
    }

    /// So many booths more in mandal S1-M1, of which the last is known as `last`: more than one step of a grading.
    async fn many_booths(&mut self, count: i32) {
        let (state, mandal) = (self.world.unit("S1"), self.world.unit("S1-M1"));
        let sql = format!(
            "INSERT INTO units (id, code, level, name, state_id, doors, created_at, updated_at)
             SELECT 20000 + n, 'X' || n, 'booth', 'Booth ' || n, {state}, 100, '2026-11-01Z', '2026-11-01Z' FROM generate_series(1, {count}) n;
             INSERT INTO placements (unit_id, tree, parent_id, valid_from)
             SELECT 20000 + n, 'organisation', {mandal}, '0001-01-01' FROM generate_series(1, {count}) n;
             INSERT INTO lineages (unit_id, valid_from, state_id, unit_ids)
             SELECT 20000 + n, '0001-01-01', {state}, (SELECT unit_ids FROM lineages WHERE unit_id = {mandal}) || 20000 + n
             FROM generate_series(1, {count}) n"
        );
        self.world.db.batch_execute(&sql).await.unwrap();
        self.world.units.insert("last".to_owned(), 20_000 + count);
        sampark::features::cadre::recount_all(&self.app.state.db, &self.app.clock)
            .await
            .unwrap();
    }

    async fn ask_for_grading(&self, unit: &str) {
        let path = format!("/v1/units/{}/strength/grading", self.world.unit(unit));
        self.admin().post(&path, json!({})).await.expect(202);
    }

    /// Grades until the grading of S1 has come past its first booths, and no further.
    async fn grade_in_part(&self) {
        let sql = "SELECT after_id > 0 AND finished_at IS NULL FROM grading_runs WHERE state_id = $1";
        let state = self.world.unit("S1");
        for _ in 0..1000 {
            interrupted(2, grade_all(&self.app.state.db, &self.app.clock)).await;
            if self.world.db.query_one(sql, &[&state]).await.unwrap().get(0) {
                return;
            }
        }
        panic!("no step was made");
    }

    /// Grades until there is nothing to grade: while a step that was left is under way, it is left to that one.
    async fn grade_to_the_end(&self) {
        let sql = "SELECT count(*) FROM grading_runs WHERE finished_at IS NULL OR day < $1";
        let today = self.app.clock.today();
        while self
            .world
            .db
            .query_one(sql, &[&today])
            .await
            .unwrap()
            .get::<_, i64>(0)
            > 0
        {
            self.grade().await;
        }
    }

    /// All that is told of the state and of its first and last booth.
    async fn shown(&self) -> Value {
        let mut shown = vec![self.strength("S1", "since=2026-11-22").await];
        for (unit, what) in [
            ("S1", "changes?since=2026-11-22"),
            ("S1-B1", "history"),
            ("S1-M1", "history"),
            ("last", "history"),
        ] {
            let path = format!("/v1/units/{}/strength/{what}", self.world.unit(unit));
            shown.push(self.admin().get(&path).await.expect(200).json);
        }
        json!(shown)
    }
}

/// `graded a b c d rose fell`
fn counts(counts: &Value) -> String {
    let names = ["graded", "a", "b", "c", "d", "rose", "fell"];
    names.map(|name| counts[name].to_string()).join(" ")
}

#[actix_web::test]
async fn states_are_ranked_by_the_booths_that_rose_and_fell() {
    let s = scene().await;
    assert_eq!(
        s.strength("IN", "").await["items"],
        json!([]),
        "nothing is graded yet"
    );
    s.rule("IN", 50.0).await;
    s.visited("S1-B1", 4, 0).await;
    s.visited("S1-B2", 4, 1).await;
    s.visited("S1-B4", 2, 1).await;
    s.visited("S2-B1", 2, 1).await;
    // Five booths and two mandals in S1, one of each in S2; and each state once for having ended.
    assert_eq!(s.grade().await, 9);
    let told = s.strength("IN", "since=2026-11-22").await;
    assert_eq!(told["graded_on"], "2026-11-23");
    let first = told["items"].as_array().unwrap();
    // The first grades are no rise.
    assert_eq!(counts(&first[0]["booths"]), "5 1 1 0 3 0 0");
    s.app.clock.advance(TimeDelta::days(1));
    s.visited("S1-B1", 4, 4).await;
    s.visited("S2-B1", 8, 0).await;
    s.grade().await;
    let told = s.strength("IN", "since=2026-11-23").await;
    let items = told["items"].as_array().unwrap();
    let codes: Vec<_> = items.iter().map(|item| (&item["code"], &item["gain"])).collect();
    assert_eq!(
        codes,
        [(&json!("S1"), &json!(20.0)), (&json!("S2"), &json!(-100.0))]
    );
    assert_eq!(counts(&items[0]["booths"]), "5 2 1 0 2 1 0");
    assert_eq!(counts(&items[1]["booths"]), "1 0 0 1 0 0 1");
    // The mandal of the first: 100, 50 and 0 of a hundred; before: 0, 50 and 0.
    assert_eq!(counts(&items[0]["mandals"]), "2 0 2 0 0 1 0");
    assert_eq!(s.history("S1-B1").await, ["2026-11-24 A", "2026-11-23 D"]);
    assert_eq!(s.history("S1-M1").await, ["2026-11-24 B", "2026-11-23 D"]);
    assert_eq!(
        s.history("S1-B4").await,
        ["2026-11-23 A"],
        "a grade that stays leaves no row"
    );
    // The counts lead to the booths and mandals behind them.
    let rows = s
        .admin()
        .get(items[0]["trace"].as_str().unwrap())
        .await
        .expect(200)
        .json;
    let rows: Vec<String> = rows["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| format!("{} {} {}", row["code"].as_str().unwrap(), row["from"], row["to"]))
        .collect();
    assert_eq!(rows, ["S1-M1 \"D\" \"B\"", "S1-B1 \"D\" \"A\""]);
    let fallen = format!(
        "/v1/units/{}/strength/changes?since=2026-11-23&rose=false",
        s.world.unit("IN")
    );
    let fallen = s.admin().get(&fallen).await.expect(200).json;
    assert_eq!(fallen["items"].as_array().unwrap().len(), 2, "{fallen}");
    // Seen from longer ago, who was first graded since has neither risen nor fallen.
    let told = s.strength("IN", "since=2026-11-01").await;
    assert_eq!(counts(&told["items"][0]["booths"]), "5 2 1 0 2 0 0");
    // A grade that went and came back since is no change; seen from the day between it fell.
    s.app.clock.advance(TimeDelta::days(1));
    s.visited("S1-B1", 392, 0).await;
    s.grade().await;
    assert_eq!(s.history("S1-B1").await[0], "2026-11-25 D");
    for (since, moved) in [("2026-11-23", "0 0"), ("2026-11-24", "0 1")] {
        let told = s.strength("S1", &format!("since={since}")).await;
        let told = counts(&told["items"][0]["booths"]);
        assert!(told.ends_with(&format!(" {moved}")), "{since}: {told}");
    }
    // By districts, constituencies and mandals.
    for (level, rows) in [
        ("district", 2),
        ("mandal", 3),
        ("parliamentary_constituency", 2),
        ("assembly_constituency", 3),
    ] {
        let told = s.strength("IN", &format!("since=2026-11-23&level={level}")).await;
        assert_eq!(told["items"].as_array().unwrap().len(), rows, "{level}: {told}");
        let sum: i64 = told["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["booths"]["graded"].as_i64().unwrap())
            .sum();
        assert_eq!(sum, 6, "{level}");
        // Mandals cut across constituencies.
        let mandals = &told["items"][0]["mandals"];
        assert_eq!(
            mandals.is_null(),
            level.ends_with("constituency"),
            "{level}: {mandals}"
        );
    }
    let own = s.strength("S1-M2", "since=2026-11-23&level=mandal").await;
    assert_eq!(counts(&own["items"][0]["booths"]), "2 1 0 0 1 0 0");
}

#[actix_web::test]
async fn a_target_set_narrows_strength_to_its_seats() {
    let s = scene().await;
    s.rule("IN", 50.0).await;
    s.visited("S1-B5", 2, 1).await;
    s.grade().await;
    let set = json!({"name": "Seats", "unit_id": s.world.unit("S1"), "level": "assembly_constituency",
        "version": {"valid_from": "2026-11-01", "reason": "Why", "members": [{"unit_id": s.world.unit("S1-AC2")}]}});
    let set = s.admin().post("/v1/target-sets", set).await.expect(201).json;
    let told = s.strength("IN", &format!("target_set={}", set["id"])).await;
    let items = told["items"].as_array().unwrap();
    assert_eq!(items.len(), 1);
    assert_eq!(counts(&items[0]["booths"]), "1 1 0 0 0 0 0");
    // The mandal that has a booth there.
    assert_eq!(items[0]["mandals"]["graded"], 1);
}

#[actix_web::test]
async fn it_is_graded_once_a_day_and_when_asked_by_the_rule_of_the_state_or_the_nation() {
    let s = scene().await;
    let path = format!("/v1/units/{}/strength/rules", s.world.unit("S1-B1"));
    let rules = s.admin().get(&path).await.expect(200).json;
    assert_eq!(
        (&rules["items"][0]["version"], &rules["items"][0]["counts"]),
        (&json!(0), &json!(true))
    );
    s.rule("IN", 50.0).await;
    s.visited("S1-B1", 10, 5).await;
    s.grade().await;
    assert_eq!(s.grade().await, 0, "nothing more today");
    assert_eq!(s.history("S1-B1").await, ["2026-11-23 A"]);
    // The state asks for twice as much: the same contacts earn half.
    assert_eq!(s.rule("S1", 100.0).await["version"], 1);
    assert_eq!(s.grade().await, 0);
    let ask = format!("/v1/units/{}/strength/grading", s.world.unit("S1"));
    let asked = s.admin().post(&ask, json!({})).await.expect(202).json;
    assert_eq!(asked["states"], json!([s.world.unit("S1")]));
    assert!(s.grade().await > 0);
    assert_eq!(
        s.history("S1-B1").await,
        ["2026-11-23 B"],
        "the second of a day takes the place of the first"
    );
    let path = format!("/v1/units/{}/strength/history", s.world.unit("S1-B1"));
    let newest = s.admin().get(&path).await.expect(200).json["items"][0].clone();
    assert_eq!(
        (
            &newest["rule_unit_id"],
            &newest["rule_version"],
            &newest["previous"],
            &newest["score"]
        ),
        (&json!(s.world.unit("S1")), &json!(1), &Value::Null, &json!(50.0))
    );
    let mandal = format!("/v1/units/{}/strength/grading", s.world.unit("S1-M1"));
    s.admin().post(&mandal, json!({})).await.expect(422);
    let path = format!("/v1/units/{}/strength/rules", s.world.unit("S1"));
    let bad = json!({"reason": "x", "rule": {"days": 0, "parts": [{"indicator": "sign_offs_share", "weight": 0, "full": 1}],
        "grades": {"a": 50, "b": 50, "c": 20}}});
    let refused = s.admin().post(&path, bad).await.expect(422).json;
    let pointers: Vec<&str> = refused["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].as_str().unwrap())
        .collect();
    assert_eq!(
        pointers,
        [
            "/rule/days",
            "/rule/parts/0/indicator",
            "/rule/parts/0/weight",
            "/rule/grades"
        ]
    );
    let coordinator = s
        .world
        .actor(&s.app, Role::DistrictCoordinator, "S1-D1")
        .await
        .client;
    coordinator.post(&ask, json!({})).await.expect(404);
    let own = format!("/v1/units/{}/strength", s.world.unit("S1-D1"));
    coordinator.get(&own).await.expect(200);
    coordinator
        .get(&format!("/v1/units/{}/strength/history", s.world.unit("S2-B1")))
        .await
        .expect(404);
}

/// Drives a future for so many polls, then drops it.
async fn interrupted<T>(polls: u32, future: impl Future<Output = T>) -> Option<T> {
    let mut future = Box::pin(future);
    let mut left = polls;
    std::future::poll_fn(move |context| {
        left -= 1;
        match future.as_mut().poll(context) {
            std::task::Poll::Pending if left > 0 => std::task::Poll::Pending,
            std::task::Poll::Pending => std::task::Poll::Ready(None),
            std::task::Poll::Ready(done) => std::task::Poll::Ready(Some(done)),
        }
    })
    .await
}

#[actix_web::test]
async fn a_grading_that_is_interrupted_goes_on_where_it_stopped() {
    let mut s = scene().await;
    // Which takes three steps.
    s.many_booths(2500).await;
    let state = s.world.unit("S1");
    let mut tries = 0;
    loop {
        // The step that has begun is finished or lost; what comes after it is not begun.
        interrupted(2, grade_all(&s.app.state.db, &s.app.clock)).await;
        let told = s.strength("S1", "").await;
        let graded = &told["items"][0]["booths"]["graded"];
        if *graded == 2505 {
            break;
        }
        assert!(graded.is_null(), "no report tells half a grading: {told}");
        tries += 1;
        assert!(tries < 1000);
    }
    assert!(tries > 1, "{tries}");
    // Whoever finds another at it leaves it to him: until the other state is done as well.
    let entries = "SELECT count(*) FROM (SELECT action FROM journal UNION ALL SELECT action FROM journal_inbox) j WHERE action = 'strength.grade'";
    while s.world.db.query_one(entries, &[]).await.unwrap().get::<_, i64>(0) < 2 {
        s.grade().await;
    }
    let sql = "SELECT count(*), count(DISTINCT unit_id), (SELECT count(*) FROM grade_changes c JOIN units u ON u.id = c.unit_id AND u.level = 'booth')
               FROM strengths WHERE level = 'booth'";
    let row = s.world.db.query_one(sql, &[]).await.unwrap();
    assert_eq!(
        (row.get::<_, i64>(0), row.get::<_, i64>(1), row.get::<_, i64>(2)),
        (2506, 2506, 2506)
    );
    // What the report counts is what the grades are.
    let told = s.strength("S1", "").await;
    let sql = "SELECT count(*) FROM strengths WHERE level = 'booth' AND state_id = $1 AND grade = 'D'";
    let weakest: i64 = s.world.db.query_one(sql, &[&state]).await.unwrap().get(0);
    assert_eq!(told["items"][0]["booths"]["d"], weakest);
    assert_eq!(
        s.world.db.query_one(entries, &[]).await.unwrap().get::<_, i64>(0),
        2,
        "each state was graded once"
    );
}

#[actix_web::test]
async fn a_second_grading_of_a_day_is_shown_as_a_whole_and_by_one_rule() {
    let mut s = scene().await;
    // More steps than two polls can begin, so that the part that is graded is never all of it.
    s.many_booths(2500).await;
    s.rule("IN", 50.0).await;
    s.visited("S1-B1", 4, 2).await;
    s.visited("last", 4, 2).await;
    s.grade().await;
    assert_eq!(s.history("last").await, ["2026-11-23 A"]);
    let before = s.shown().await;
    // Twice as much is asked; and while it is graded by that, twice as much again.
    s.rule("S1", 100.0).await;
    s.ask_for_grading("S1").await;
    s.grade_in_part().await;
    assert_eq!(
        s.shown().await,
        before,
        "the old grading until the new one is done"
    );
    s.rule("S1", 200.0).await;
    s.grade_to_the_end().await;
    for booth in ["S1-B1", "last"] {
        let path = format!("/v1/units/{}/strength/history", s.world.unit(booth));
        let newest = s.admin().get(&path).await.expect(200).json["items"][0].clone();
        assert_eq!(
            (&newest["grade"], &newest["rule_version"]),
            (&json!("B"), &json!(1)),
            "{booth}: the rule with which it began"
        );
    }
    assert_eq!(
        counts(&s.strength("S1", "").await["items"][0]["booths"]),
        "2505 0 2 0 2503 0 0"
    );
    // The rule that was made meanwhile counts from the next grading on. What is asked for anew begins anew.
    s.app.clock.advance(TimeDelta::days(1));
    s.grade_in_part().await;
    s.ask_for_grading("S1").await;
    s.grade_to_the_end().await;
    assert_eq!(s.history("last").await, ["2026-11-24 C", "2026-11-23 B"]);
    // Taken back on the same day, it is no change.
    s.rule("S1", 100.0).await;
    s.ask_for_grading("S1").await;
    s.grade_to_the_end().await;
    assert_eq!(s.history("last").await, ["2026-11-23 B"]);
    let told = s.strength("S1", "since=2026-11-23").await;
    assert_eq!(counts(&told["items"][0]["booths"]), "2505 0 2 0 2503 0 0");
}

#[actix_web::test]
async fn a_mandal_that_lost_all_its_booths_has_no_grade() {
    let s = scene().await;
    s.rule("IN", 50.0).await;
    s.visited("S1-B5", 2, 1).await;
    s.grade().await;
    assert_eq!(s.history("S1-M2").await, ["2026-11-23 B"]);
    let place = async |mandal: &str, day: &str| {
        for booth in ["S1-B4", "S1-B5"] {
            let path = format!("/v1/units/{}/placements", s.world.unit(booth));
            let body = json!({"tree": "organisation", "parent_id": s.world.unit(mandal), "valid_from": day});
            s.admin().post(&path, body).await.expect(201);
        }
        s.app.clock.advance(TimeDelta::days(1));
        s.grade().await;
    };
    place("S1-M1", "2026-11-24").await;
    assert_eq!(s.history("S1-M2").await, ["2026-11-24 none", "2026-11-23 B"]);
    let told = s.strength("S1", "since=2026-11-23").await;
    assert_eq!(counts(&told["items"][0]["mandals"]), "1 0 0 1 0 1 0");
    let told = s.strength("S1", "since=2026-11-23&level=mandal").await;
    assert_eq!(told["items"].as_array().unwrap().len(), 1, "{told}");
    // With booths again, it is graded again, and has not risen.
    place("S1-M2", "2026-11-25").await;
    assert_eq!(s.history("S1-M2").await[0], "2026-11-25 B");
    let told = s.strength("S1", "since=2026-11-24").await;
    assert_eq!(counts(&told["items"][0]["mandals"]), "2 0 1 0 1 0 1");
}

#[actix_web::test]
async fn a_state_that_stands_nowhere_yet_holds_up_no_other() {
    let s = scene().await;
    let sql = "UPDATE lineages SET valid_from = '2026-12-01' WHERE unit_id = $1";
    s.world.db.execute(sql, &[&s.world.unit("S1")]).await.unwrap();
    assert_eq!(s.grade().await, 2, "the booth and the mandal of the other");
    assert_eq!(s.history("S2-B1").await.len(), 1);
    let path = format!("/v1/units/{}/strength/grading", s.world.unit("IN"));
    let asked = s.admin().post(&path, json!({})).await.expect(202).json;
    assert_eq!(asked["states"], json!([s.world.unit("S2")]));
    s.app.clock.advance(TimeDelta::days(8));
    assert_eq!(s.grade().await, 9, "both");
}

#[actix_web::test]
async fn strength_is_told_by_levels_that_lie_wholly_under_the_unit() {
    let s = scene().await;
    s.rule("IN", 50.0).await;
    s.visited("S1-B4", 2, 1).await;
    s.grade().await;
    for (unit, level) in [
        ("IN", "nation"),
        ("IN", "booth"),
        ("S1-D1", "state"),
        ("S1-D1", "parliamentary_constituency"),
        ("S1-M2", "district"),
        ("S1-M2", "assembly_constituency"),
        ("S1-PC1", "state"),
        ("S1-PC1", "mandal"),
        ("S1-AC1", "parliamentary_constituency"),
        ("S1-B4", "mandal"),
    ] {
        let path = format!("/v1/units/{}/strength?level={level}", s.world.unit(unit));
        let refused = s.admin().get(&path).await.expect(422).json;
        assert_eq!(refused["errors"][0]["pointer"], "/level", "{unit} {level}");
    }
    let of = |code: &str, n: i64| (code.to_owned(), n);
    for (unit, level, wanted) in [
        ("IN", "", vec![of("S1", 5), of("S2", 1)]),
        ("S1", "", vec![of("S1", 5)]),
        ("S1-D1", "", vec![of("S1-D1", 5)]),
        ("S1-D1", "mandal", vec![of("S1-M1", 3), of("S1-M2", 2)]),
        ("S1-M2", "mandal", vec![of("S1-M2", 2)]),
        (
            "S1-PC1",
            "assembly_constituency",
            vec![of("S1-AC1", 4), of("S1-AC2", 1)],
        ),
        ("S1-AC2", "", vec![of("S1-AC2", 1)]),
        ("S1-B4", "", vec![of("S1-B4", 1)]),
    ] {
        let level = if level.is_empty() {
            String::new()
        } else {
            format!("level={level}")
        };
        let told = s.strength(unit, &level).await;
        let items: Vec<_> = told["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| {
                let code = item["code"].as_str().unwrap();
                of(code, item["booths"]["graded"].as_i64().unwrap())
            })
            .collect();
        assert_eq!(items, wanted, "{unit} {level}");
    }
    // A booth rises by itself, and lists it.
    s.app.clock.advance(TimeDelta::days(1));
    s.visited("S1-B5", 2, 2).await;
    s.grade().await;
    let told = s.strength("S1-B5", "since=2026-11-23").await;
    assert_eq!(counts(&told["items"][0]["booths"]), "1 1 0 0 0 1 0");
    assert_eq!(told["items"][0]["mandals"], Value::Null);
    let rows = s
        .admin()
        .get(told["items"][0]["trace"].as_str().unwrap())
        .await
        .expect(200)
        .json;
    assert_eq!(rows["items"][0]["code"], "S1-B5");
}

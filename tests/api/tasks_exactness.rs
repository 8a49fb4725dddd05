//! The counts of tasks equal a recount, whatever happens in whatever order, and however many report at once; and they are
//! read by keys, however many booths there are.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use futures_util::future::{join, join_all};
use proptest::prelude::*;
use sampark::access::Role;
use sampark::journal::poster::post_all;
use serde_json::{Value, json};

use crate::support::{Actor, Settings, TestApp, World};
use crate::tasks::{report, send, task};

/// (assigned, accepted, returned, done, verified, overdue) by unit and task.
type Figures = BTreeMap<(i32, i32), [i64; 6]>;

/// Straight from the placements and how units stand, apart from the program's own counting.
async fn recounted(run: &Run) -> Figures {
    let sql = "
        WITH RECURSIVE up AS (
            SELECT id AS unit_id, id AS above FROM units
            UNION SELECT up.unit_id, p.parent_id FROM up JOIN placements p ON p.unit_id = up.above
                AND p.valid_from <= $1 AND (p.valid_to IS NULL OR p.valid_to > $1)
        )
        SELECT v.above, k.id, count(*), count(*) FILTER (WHERE s.status IN ('accepted', 'in_progress')),
               count(*) FILTER (WHERE s.status = 'returned'), count(*) FILTER (WHERE s.status IN ('done', 'verified')),
               count(*) FILTER (WHERE s.status = 'verified'),
               count(*) FILTER (WHERE k.due_on < $1 AND coalesce(s.status, '') NOT IN ('done', 'verified'))
        FROM tasks k JOIN units x ON x.level = k.level
        JOIN up u ON u.unit_id = x.id AND u.above = k.unit_id
        JOIN up v ON v.unit_id = x.id
        LEFT JOIN task_units s ON s.unit_id = x.id AND s.task_id = k.id
        WHERE k.cancelled_at IS NULL
          AND (k.seats IS NULL OR EXISTS (SELECT 1 FROM up m WHERE m.unit_id = x.id AND m.above = ANY (k.seats)))
        GROUP BY v.above, k.id";
    let rows = run.world.db.query(sql, &[&run.app.clock.today()]).await.unwrap();
    let figures = rows.iter().map(|row| {
        let six = [2, 3, 4, 5, 6, 7].map(|n| row.get::<_, i64>(n));
        ((row.get(0), row.get(1)), six)
    });
    figures.collect()
}

/// How each unit stands by its reports and verdicts alone is how the program says that it stands.
async fn check_standings(run: &Run) {
    let sql = "
        SELECT count(*) FROM task_units s
        CROSS JOIN LATERAL (SELECT v.verdict, v.report_id FROM task_verdicts v
            WHERE v.unit_id = s.unit_id AND v.task_id = s.task_id ORDER BY v.id DESC LIMIT 1) v
        WHERE v.report_id = s.report_id AND v.verdict <> s.status";
    assert_eq!(
        run.world.db.query_one(sql, &[]).await.unwrap().get::<_, i64>(0),
        0
    );
    let sql = "SELECT (SELECT count(*) FROM task_units)
                    - (SELECT count(*) FROM (SELECT DISTINCT unit_id, task_id FROM task_reports) r)";
    assert_eq!(
        run.world.db.query_one(sql, &[]).await.unwrap().get::<_, i64>(0),
        0
    );
}

const SETS: [(&str, &str); 7] = [
    ("IN", "booth"),
    ("S1", "mandal"),
    ("S1-M1", "booth"),
    ("S1-AC1", "booth"),
    ("S1-D1", "booth"),
    ("S1", "assembly_constituency"),
    // Narrowed to a target set.
    ("S1", "booth"),
];
const UNITS: [&str; 8] = [
    "S1-B1", "S1-B2", "S1-B3", "S1-B4", "S1-B5", "S1-M1", "S1-M2", "S1-AC1",
];
const STATUSES: [&str; 4] = ["accepted", "in_progress", "done", "done"];

#[derive(Clone, Debug)]
enum Step {
    Set {
        which: usize,
        days: i64,
    },
    Report {
        task: usize,
        unit: usize,
        status: usize,
        hours: i64,
    },
    Verdict {
        report: usize,
        verified: bool,
    },
    /// A booth to the other mandal or seat, or a mandal to the other district, from a day past or to come.
    Move {
        what: usize,
        to: bool,
        day: i64,
    },
    Cancel {
        task: usize,
    },
    Post,
    Wait {
        days: i64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..SETS.len(), 0..9i64).prop_map(|(which, days)| Step::Set { which, days }),
        9 => (0..20usize, 0..UNITS.len(), 0..STATUSES.len(), 0..200i64)
            .prop_map(|(task, unit, status, hours)| Step::Report { task, unit, status, hours }),
        4 => (0..20usize, any::<bool>()).prop_map(|(report, verified)| Step::Verdict { report, verified }),
        3 => (0..11usize, any::<bool>(), -8..4i64).prop_map(|(what, to, day)| Step::Move { what, to, day }),
        1 => (0..20usize).prop_map(|task| Step::Cancel { task }),
        2 => Just(Step::Post),
        1 => (1..4i64).prop_map(|days| Step::Wait { days }),
    ]
}

struct Run {
    app: TestApp,
    world: World,
    admin: Actor,
    judge: Actor,
    target_set: Value,
    tasks: Vec<Value>,
    reports: Vec<Value>,
}

impl Run {
    async fn begin(poster: bool) -> Self {
        let app = TestApp::start_with(Settings { poster, pool_size: 4 }).await;
        let world = World::build(&app).await;
        let district = format!(
            "INSERT INTO units (id, code, level, name, state_id, created_at, updated_at)
                 VALUES (900, 'S1-D2', 'district', 'Unit S1-D2', {s1}, now(), now());
             INSERT INTO placements (unit_id, tree, parent_id, valid_from) VALUES (900, 'organisation', {s1}, '0001-01-01');
             INSERT INTO lineages (unit_id, valid_from, state_id, unit_ids)
                 VALUES (900, '0001-01-01', {s1}, ARRAY[{nation}, {s1}, 900])",
            s1 = world.unit("S1"),
            nation = world.unit("IN"),
        );
        world.db.batch_execute(&district).await.unwrap();
        let admin = world.actor(&app, Role::NationalAdmin, "IN").await;
        let judge = world.actor(&app, Role::NationalAdmin, "IN").await;
        let set = json!({"name": "Seats", "unit_id": world.unit("S1"), "level": "assembly_constituency",
            "version": {"valid_from": "2026-11-01", "reason": "Why", "members": [{"unit_id": world.unit("S1-AC1")}]}});
        let target_set = admin.client.post("/v1/target-sets", set).await.expect(201).json["id"].clone();
        Self {
            app,
            world,
            admin,
            judge,
            target_set,
            tasks: Vec::new(),
            reports: Vec::new(),
        }
    }

    async fn take(&mut self, step: &Step) {
        match *step {
            Step::Set { which, days } => {
                let (unit, level) = SETS[which];
                let mut new = task(self.world.unit(unit), level);
                new["due_on"] = json!(self.app.clock.today() + TimeDelta::days(days));
                if which == SETS.len() - 1 {
                    new["target_set"] = self.target_set.clone();
                }
                let made = self.admin.client.post("/v1/tasks", new).await.expect(201).json;
                self.tasks.push(made["id"].clone());
            }
            Step::Report {
                task,
                unit,
                status,
                hours,
            } => {
                if self.tasks.is_empty() {
                    return;
                }
                let task = self.tasks[task % self.tasks.len()].clone();
                let mut sent = report(&task, self.world.unit(UNITS[unit]), STATUSES[status]);
                sent["reported_at"] = json!(self.app.clock.now() - TimeDelta::hours(hours));
                let answer = self.admin.client.post("/v1/task-reports", sent.clone()).await;
                assert!([201, 422].contains(&answer.status), "{}", answer.text());
                if answer.status == 201 {
                    self.admin
                        .client
                        .post("/v1/task-reports", sent.clone())
                        .await
                        .expect(200);
                    self.reports.push(sent);
                }
            }
            Step::Verdict { report, verified } => {
                if self.reports.is_empty() {
                    return;
                }
                let report = &self.reports[report % self.reports.len()];
                let verdict = if verified { "verified" } else { "returned" };
                let body = json!({"report_id": report["id"], "verdict": verdict, "reason": "As seen"});
                let path = format!(
                    "/v1/tasks/{}/units/{}/verdict",
                    report["task_id"], report["unit_id"]
                );
                let answer = self.judge.client.post(&path, body).await;
                assert!([200, 404, 409].contains(&answer.status), "{}", answer.text());
            }
            Step::Move { what, to, day } => self.relocate(what, to, day).await,
            Step::Cancel { task } => {
                if self.tasks.is_empty() {
                    return;
                }
                let path = format!("/v1/tasks/{}", self.tasks[task % self.tasks.len()]);
                let body = json!({"cancelled": true, "reason": "Held over"});
                let answer = self.admin.client.header("If-Match", "*").patch(&path, body).await;
                assert!([200, 409].contains(&answer.status), "{}", answer.text());
            }
            Step::Post => {
                post_all(&self.app.state.db).await.unwrap();
            }
            Step::Wait { days } => {
                self.app.clock.advance(TimeDelta::days(days));
                self.admin = self.world.sign_in(&self.app, self.admin.worker_id).await;
                self.judge = self.world.sign_in(&self.app, self.judge.worker_id).await;
            }
        }
    }

    async fn relocate(&self, what: usize, to: bool, day: i64) {
        let unit = |code: &str| self.world.unit(code);
        let (moved, tree, parents) = match what {
            0..5 => (UNITS[what], "organisation", [unit("S1-M1"), unit("S1-M2")]),
            5..10 => (UNITS[what - 5], "electorate", [unit("S1-AC1"), unit("S1-AC2")]),
            _ => ("S1-M1", "organisation", [unit("S1-D1"), 900]),
        };
        let from = self.app.clock.today() + TimeDelta::days(day);
        let body = json!({"tree": tree, "parent_id": parents[usize::from(to)], "valid_from": from});
        let path = format!("/v1/units/{}/placements", unit(moved));
        let answer = send(&self.admin.client, &path, &body).await;
        assert!(answer.status < 300, "{}", answer.text());
    }

    /// What the API says of a unit, task by task.
    async fn live(&self, unit: i32) -> Figures {
        let path = format!("/v1/units/{unit}/task-counts?limit=500");
        let counts = self.admin.client.get(&path).await.expect(200).json;
        let names = ["assigned", "accepted", "returned", "done", "verified", "overdue"];
        let items = counts["items"].as_array().unwrap().iter().map(|item| {
            let id = i32::try_from(item["task_id"].as_i64().unwrap()).unwrap();
            (
                (unit, id),
                names.map(|name| item["figures"][name].as_i64().unwrap()),
            )
        });
        items.collect()
    }

    async fn check(&self, units: impl IntoIterator<Item = i32>, after: &str) {
        let wanted = recounted(self).await;
        for unit in units {
            let wanted: Figures = wanted
                .clone()
                .into_iter()
                .filter(|((at, _), _)| *at == unit)
                .collect();
            assert_eq!(self.live(unit).await, wanted, "unit {unit} after {after}");
        }
    }
}

fn hold(steps: &[Step], poster: bool) {
    actix_web::rt::System::new().block_on(async {
        let mut run = Run::begin(poster).await;
        let watched = ["IN", "S1-D1", "S1-M1", "S1-AC1"].map(|code| run.world.unit(code));
        for step in steps {
            run.take(step).await;
            run.check(watched, &format!("{step:?}")).await;
        }
        let every: Vec<i32> = run.world.units.values().copied().chain([900]).collect();
        run.check(every.clone(), "all").await;
        post_all(&run.app.state.db).await.unwrap();
        run.check(every, "the last posting").await;
        check_standings(&run).await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, max_shrink_iters: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn counts_of_tasks_equal_a_recount_after_every_step(steps in proptest::collection::vec(step(), 15..45)) {
        hold(&steps, false);
    }

    #[test]
    fn counts_of_tasks_equal_a_recount_while_the_poster_runs(steps in proptest::collection::vec(step(), 15..45)) {
        hold(&steps, true);
    }
}

#[actix_web::test]
async fn counts_of_tasks_are_exact_while_many_report_and_judge_and_units_move_at_once() {
    let mut run = Run::begin(true).await;
    for which in [0, 4, 6] {
        run.take(&Step::Set { which, days: 3 }).await;
    }
    let (tasks, run) = (run.tasks.clone(), &run);
    let phones = (0..24_i64).map(|n| {
        let tasks = &tasks;
        async move {
            for turn in 0..4_i64 {
                let pick = usize::try_from(n + turn).unwrap();
                let task = &tasks[pick % tasks.len()];
                let booth = run.world.unit(UNITS[pick % 4]);
                let mut sent = report(task, booth, STATUSES[pick % STATUSES.len()]);
                sent["reported_at"] =
                    json!(run.app.clock.now() - TimeDelta::minutes((n * 7 + turn * 5) % 60));
                send(&run.admin.client, "/v1/task-reports", &sent)
                    .await
                    .expect(201);
                let path = format!("/v1/tasks/{task}/units/{booth}/verdict");
                let body = json!({"report_id": sent["id"], "verdict": "returned", "reason": "As seen"});
                let answer = send(&run.judge.client, &path, &body).await;
                assert!([200, 409].contains(&answer.status), "{}", answer.text());
            }
        }
    });
    let moves = async {
        for turn in 0..6 {
            run.relocate(turn % 4, turn % 2 == 0, -1).await;
        }
    };
    join(join_all(phones), moves).await;
    let every: Vec<i32> = run.world.units.values().copied().collect();
    run.check(every, "the storm").await;
    check_standings(run).await;
}

/// The text of a constant in a source file, so that what is planned here is what is sent.
fn constant(source: &str, name: &str) -> String {
    let begin = format!("const {name}: &str = \"");
    let text = source
        .split_once(&begin)
        .unwrap_or_else(|| panic!("there is no {name}"));
    text.1.split_once("\";").unwrap().0.to_owned()
}

#[actix_web::test]
async fn a_report_reads_a_units_counts_by_key_among_half_a_million() {
    let app = TestApp::start_with(Settings {
        poster: false,
        pool_size: 2,
    })
    .await;
    let world = World::build(&app).await;
    let state = world.unit("S1");
    let fill = format!(
        "INSERT INTO task_totals (state_id, unit_id, task_id, accepted, done, verified, returned)
         SELECT {state}, u, k, 0, 1, 0, 0 FROM generate_series(10000, 34999) u, generate_series(1, 20) k"
    );
    assert_eq!(world.db.execute(&fill, &[]).await.unwrap(), 500_000);
    world
        .db
        .batch_execute("VACUUM ANALYZE task_totals")
        .await
        .unwrap();
    let charged = constant(
        include_str!("../../src/features/tasks/queries/counts.rs"),
        "CHARGED",
    );
    for mode in ["generic", "custom"] {
        world
            .db
            .batch_execute(&format!(
                "SET plan_cache_mode = force_{mode}_plan; DEALLOCATE ALL; PREPARE asked (int[], int[]) AS {charged}"
            ))
            .await
            .unwrap();
        let values = format!("ARRAY[{state}, {state}], ARRAY[10007, 10009]");
        let rows = world
            .db
            .query(&format!("EXPLAIN EXECUTE asked ({values})"), &[])
            .await
            .unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        let plan = plan.join("\n");
        assert!(plan.contains("task_totals_pkey"), "{plan}");
        assert!(!plan.contains("Seq Scan on task_totals"), "{plan}");
    }
}

//! Live totals equal a recount of the visits, whatever happens in whatever order.

use std::collections::BTreeMap;

use chrono::{NaiveDate, TimeDelta};
use proptest::prelude::*;
use sampark::access::Role;
use sampark::features::privacy::retain;
use sampark::journal::poster::post_all;
use serde_json::{Value, json};
use tokio_postgres::Client as Database;
use uuid::Uuid;

use crate::support::{Actor, Settings, TestApp, World};

/// The figures of every unit below the nation, by unit, campaign and day.
pub type Figures = BTreeMap<(i32, i32, NaiveDate), Vec<i64>>;

const COLUMNS: &str =
    "visits, met, not_home, refused, moved, locked, inaccessible, people_met, doors_reached, support_1,
    support_2, support_3, support_4, support_5, flagged, verified, rejected, voided";

/// The columns as 64 bits, summed or each by itself.
fn columns(sum: &str) -> String {
    let columns: Vec<String> = COLUMNS
        .split(',')
        .map(|name| format!("{sum}({})::bigint", name.trim()))
        .collect();
    columns.join(", ")
}

fn sums() -> String {
    columns("sum")
}

async fn figures(db: &Database, sql: &str) -> Figures {
    let mut figures = Figures::new();
    for row in db.query(sql, &[]).await.unwrap() {
        let counters: Vec<i64> = (3..row.len()).map(|n| row.get(n)).collect();
        if counters.iter().any(|counter| *counter != 0) {
            figures.insert((row.get(0), row.get(1), row.get(2)), counters);
        }
    }
    figures
}

/// What the ledgers and the inbox say.
pub async fn live(db: &Database) -> Figures {
    let sql = format!(
        "SELECT unit_id, campaign_id, day, {} FROM (
             SELECT unit_id, campaign_id, day, {COLUMNS} FROM totals
             UNION ALL SELECT u, campaign_id, day, {COLUMNS} FROM tally_inbox, unnest(unit_ids) AS u
         ) x GROUP BY unit_id, campaign_id, day",
        sums()
    );
    figures(db, &sql).await
}

/// Units and campaigns whose days and whose sum to date are not the same.
async fn not_to_date(db: &Database) -> i64 {
    let sql = format!(
        "SELECT count(*) FROM (
             (SELECT unit_id, campaign_id, {days} FROM totals GROUP BY unit_id, campaign_id
              EXCEPT ALL SELECT unit_id, campaign_id, {sums} FROM totals_to_date)
             UNION ALL
             (SELECT unit_id, campaign_id, {sums} FROM totals_to_date
              EXCEPT ALL SELECT unit_id, campaign_id, {days} FROM totals GROUP BY unit_id, campaign_id)) x",
        days = sums(),
        sums = columns(""),
    );
    db.query_one(&sql, &[]).await.unwrap().get(0)
}

/// What the visits say: written apart from the program's own recount, straight from the placements.
pub async fn recounted(db: &Database) -> Figures {
    let sql = format!(
        "WITH RECURSIVE up AS (
             SELECT booth_id, visited_on AS day, booth_id AS unit_id FROM visits
             UNION SELECT booth_id, day, booth_id FROM support_ledger
             UNION SELECT up.booth_id, up.day, p.parent_id FROM up JOIN placements p ON p.unit_id = up.unit_id
                 AND p.valid_from <= up.day AND (p.valid_to IS NULL OR p.valid_to > up.day)
         ), first AS (
             SELECT DISTINCT ON (campaign_id, household_id) id FROM visits
             WHERE household_id IS NOT NULL AND outcome = 'met' AND voided_at IS NULL AND review <> 'rejected'
             ORDER BY campaign_id, household_id, visited_on, id
         ), one AS (
             SELECT booth_id, campaign_id, visited_on, 1 AS visits, (outcome = 'met')::int AS met,
                 (outcome = 'not_home')::int AS not_home, (outcome = 'refused')::int AS refused,
                 (outcome = 'moved')::int AS moved, (outcome = 'locked')::int AS locked,
                 (outcome = 'inaccessible')::int AS inaccessible, people_met,
                 (id IN (SELECT id FROM first))::int AS doors_reached,
                 (coalesce(support, 0) = 1)::int AS support_1, (coalesce(support, 0) = 2)::int AS support_2,
                 (coalesce(support, 0) = 3)::int AS support_3, (coalesce(support, 0) = 4)::int AS support_4,
                 (coalesce(support, 0) = 5)::int AS support_5, (flags <> '[]')::int AS flagged,
                 (review = 'verified')::int AS verified, 0 AS rejected, 0 AS voided
             FROM visits WHERE voided_at IS NULL AND review <> 'rejected'
             UNION ALL SELECT booth_id, campaign_id, visited_on, 0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,
                 (voided_at IS NULL)::int, (voided_at IS NOT NULL)::int
             FROM visits WHERE voided_at IS NOT NULL OR review = 'rejected'
             UNION ALL SELECT booth_id, campaign_id, day, 0,0,0,0,0,0,0,0,0, visits * (support = 1)::int,
                 visits * (support = 2)::int, visits * (support = 3)::int, visits * (support = 4)::int,
                 visits * (support = 5)::int, 0,0,0,0
             FROM support_ledger
         )
         SELECT up.unit_id, campaign_id, visited_on, {} FROM up
         JOIN one ON one.booth_id = up.booth_id AND one.visited_on = up.day
         JOIN units u ON u.id = up.unit_id AND u.level <> 'nation' GROUP BY 1, 2, 3",
        sums()
    );
    figures(db, &sql).await
}

fn assert_equal(live: &Figures, recounted: &Figures, after: &str) {
    let keys: std::collections::BTreeSet<_> = live.keys().chain(recounted.keys()).collect();
    for key in keys {
        assert_eq!(
            live.get(key),
            recounted.get(key),
            "unit, campaign, day {key:?} after {after}: {COLUMNS}"
        );
    }
}

/// Both are read in one snapshot: they are equal at every instant, also while somebody still records.
pub async fn assert_exact(db: &Database, after: &str) {
    let snapshot = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    db.batch_execute(snapshot).await.unwrap();
    let (live, recounted) = (live(db).await, recounted(db).await);
    let not_to_date = not_to_date(db).await;
    db.batch_execute("COMMIT").await.unwrap();
    assert_equal(&live, &recounted, after);
    assert_eq!(not_to_date, 0, "sums to date after {after}");
}

const BOOTHS: [&str; 5] = ["S1-B1", "S1-B2", "S1-B3", "S1-B4", "S1-B5"];
const OUTCOMES: [&str; 4] = ["met", "met", "not_home", "refused"];
const VERDICTS: [&str; 4] = ["rejected", "rejected", "verified", "correction_wanted"];

/// What may happen.
#[derive(Clone, Debug)]
enum Step {
    Record {
        booth: usize,
        day: i64,
        outcome: usize,
        door: Option<bool>,
        support: Option<u8>,
    },
    /// Several close together in place and time, most of them flagged, and one that was sent before.
    Batch {
        booth: usize,
        day: i64,
        metres: Vec<u16>,
        resent: usize,
    },
    Replay {
        visit: usize,
    },
    Correct {
        visit: usize,
        outcome: usize,
        people: u8,
        door: Option<bool>,
        metres: Option<u16>,
    },
    Void {
        visit: usize,
    },
    /// A verdict on one visit, or on a few at once.
    Review {
        visit: usize,
        verdict: usize,
        many: bool,
    },
    Undo {
        visit: usize,
    },
    /// A booth goes to the other mandal, or a mandal to the other district, from a day past or to come.
    Move {
        what: usize,
        to: bool,
        day: i64,
    },
    Post,
    /// The poster is stopped at its n-th step.
    PostInterrupted {
        polls: u8,
    },
    Wait {
        hours: u8,
    },
    /// Time enough passes that support, coordinates or everything else is over, and is let go.
    Retain {
        days: i64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let door = || prop_oneof![Just(None), any::<bool>().prop_map(Some)];
    prop_oneof![
        8 => (0..BOOTHS.len(), -6..2i64, 0..OUTCOMES.len(), door(), proptest::option::of(1..=5u8))
            .prop_map(|(booth, day, outcome, door, support)| Step::Record { booth, day, outcome, door, support }),
        3 => (0..BOOTHS.len(), -6..2i64, proptest::collection::vec(0..6000u16, 1..6), 0..100usize)
            .prop_map(|(booth, day, metres, resent)| Step::Batch { booth, day, metres, resent }),
        2 => (0..100usize).prop_map(|visit| Step::Replay { visit }),
        4 => (0..100usize, 0..OUTCOMES.len(), 0..9u8, door(), proptest::option::of(0..6000u16))
            .prop_map(|(visit, outcome, people, door, metres)| Step::Correct { visit, outcome, people, door, metres }),
        2 => (0..100usize).prop_map(|visit| Step::Void { visit }),
        5 => (0..100usize, 0..VERDICTS.len(), any::<bool>())
            .prop_map(|(visit, verdict, many)| Step::Review { visit, verdict, many }),
        2 => (0..100usize).prop_map(|visit| Step::Undo { visit }),
        2 => (0..6usize, any::<bool>(), -8..4i64).prop_map(|(what, to, day)| Step::Move { what, to, day }),
        2 => Just(Step::Post),
        1 => (1..20u8).prop_map(|polls| Step::PostInterrupted { polls }),
        1 => (1..40u8).prop_map(|hours| Step::Wait { hours }),
        1 => prop_oneof![3 => Just(31), 1 => Just(91), 1 => Just(1096)].prop_map(|days| Step::Retain { days }),
    ]
}

/// A position so many metres north of the booths.
fn north(metres: u16) -> Value {
    json!({"lat": 26.8 + f64::from(metres) / 111_195.0, "lon": 80.9, "accuracy_m": 5.0})
}

struct Run {
    app: TestApp,
    world: World,
    campaign: i32,
    admin: Actor,
    /// Nobody reviews his own visits.
    reviewer: Actor,
    doors: BTreeMap<(usize, bool), Uuid>,
    sent: Vec<Value>,
}

impl Run {
    async fn begin(poster: bool) -> Self {
        let app = TestApp::start_with(Settings { poster, pool_size: 4 }).await;
        let world = World::build(&app).await;
        let campaign = world.campaign("IN").await;
        world
            .db
            .execute(
                r#"UPDATE campaigns SET collect_support = true,
                       bounds = '{"too_fast": {"visits": 1, "seconds": 600}, "daily_bound": {"visits": 3}}'"#,
                &[],
            )
            .await
            .unwrap();
        // A second district, so that a mandal has somewhere to go; booths that visits can be far from.
        let district = format!(
            "INSERT INTO units (id, code, level, name, state_id, created_at, updated_at)
                 VALUES (900, 'S1-D2', 'district', 'Unit S1-D2', {s1}, now(), now());
             INSERT INTO placements (unit_id, tree, parent_id, valid_from) VALUES (900, 'organisation', {s1}, '0001-01-01');
             INSERT INTO lineages (unit_id, valid_from, state_id, unit_ids)
                 VALUES (900, '0001-01-01', {s1}, ARRAY[{nation}, {s1}, 900]);
             UPDATE units SET lat = 26.8, lon = 80.9 WHERE level = 'booth'",
            s1 = world.unit("S1"),
            nation = world.unit("IN"),
        );
        world.db.batch_execute(&district).await.unwrap();
        let admin = world.actor(&app, Role::NationalAdmin, "IN").await;
        let reviewer = world.actor(&app, Role::NationalAdmin, "IN").await;
        let mut doors = BTreeMap::new();
        for (n, booth) in BOOTHS.iter().enumerate() {
            for which in [false, true] {
                doors.insert((n, which), world.household(booth).await);
            }
        }
        Self {
            app,
            world,
            campaign,
            admin,
            reviewer,
            doors,
            sent: Vec::new(),
        }
    }

    async fn take(&mut self, step: &Step) {
        let client = self.admin.client.clone();
        match *step {
            Step::Record {
                booth,
                day,
                outcome,
                door,
                support,
            } => {
                let at = self.app.clock.now() + TimeDelta::days(day);
                let visit = json!({
                    "id": Uuid::new_v4(), "campaign_id": self.campaign, "booth_id": self.world.unit(BOOTHS[booth]),
                    "visited_at": at, "outcome": OUTCOMES[outcome], "people_met": booth + 1, "support": support,
                    "household_id": door.map(|which| self.doors[&(booth, which)]),
                });
                client.post("/v1/visits", visit.clone()).await.expect(201);
                self.sent.push(visit);
            }
            Step::Batch {
                booth,
                day,
                ref metres,
                resent,
            } => self.batch(booth, day, metres, resent).await,
            Step::Replay { visit } => {
                if let Some(visit) = self.nth(visit) {
                    client.post("/v1/visits", visit).await.expect(200);
                }
            }
            Step::Correct {
                visit,
                outcome,
                people,
                door,
                metres,
            } => {
                let Some(visit) = self.nth(visit) else { return };
                let path = format!("/v1/visits/{}", visit["id"].as_str().unwrap());
                let now = client.get(&path).await.expect(200);
                let booth = BOOTHS
                    .iter()
                    .position(|code| self.world.unit(code) == visit["booth_id"])
                    .unwrap();
                let patch = json!({
                    "outcome": OUTCOMES[outcome], "people_met": people,
                    "household_id": door.map(|which| self.doors[&(booth, which)]),
                    "location": metres.map(north),
                });
                let tag = now.header("etag").unwrap().to_owned();
                let closed = now.json["voided"] == true || now.json["review"] == "rejected";
                let answer = client.header("If-Match", &tag).patch(&path, patch).await;
                // After three years only a void is left.
                let over = answer.text().contains("older than its campaign keeps visits");
                answer.expect(if closed || over { 409 } else { 200 });
            }
            Step::Void { visit } => {
                if let Some(visit) = self.nth(visit) {
                    let path = format!("/v1/visits/{}/void", visit["id"].as_str().unwrap());
                    client.post(&path, json!({"reason": "Mistake"})).await.expect(200);
                }
            }
            Step::Review { visit, verdict, many } => self.review(visit, VERDICTS[verdict], many).await,
            Step::Undo { visit } => {
                if let Some(visit) = self.nth(visit) {
                    let path = format!("/v1/visits/{}/review", visit["id"].as_str().unwrap());
                    let answer = self.reviewer.client.delete(&path).await;
                    assert!([200, 409].contains(&answer.status), "{}", answer.text());
                }
            }
            Step::Move { what, to, day } => self.relocate(what, to, day).await,
            Step::Post => {
                post_all(&self.app.state.db).await.unwrap();
            }
            Step::PostInterrupted { polls } => interrupted(polls, post_all(&self.app.state.db)).await,
            Step::Wait { hours } => self.pass(TimeDelta::hours(i64::from(hours))).await,
            Step::Retain { days } => {
                self.pass(TimeDelta::days(days)).await;
                let before = live(&self.world.db).await;
                retain(&self.app.state.db, &self.app.clock).await.unwrap();
                assert_equal(&live(&self.world.db).await, &before, "what was over was let go");
            }
        }
    }

    /// Time goes on; tokens do not last so long.
    async fn pass(&mut self, time: TimeDelta) {
        self.app.clock.advance(time);
        self.admin = self.world.sign_in(&self.app, self.admin.worker_id).await;
        self.reviewer = self.world.sign_in(&self.app, self.reviewer.worker_id).await;
    }

    async fn batch(&mut self, booth: usize, day: i64, metres: &[u16], resent: usize) {
        let at = self.app.clock.now() + TimeDelta::days(day);
        let mut visits: Vec<Value> = metres
            .iter()
            .map(|metres| {
                json!({
                    "id": Uuid::new_v4(), "campaign_id": self.campaign, "booth_id": self.world.unit(BOOTHS[booth]),
                    "visited_at": at - TimeDelta::seconds(i64::from(*metres)), "outcome": "met", "people_met": 1,
                    "location": north(*metres), "household_id": self.doors[&(booth, metres % 2 == 0)],
                })
            })
            .collect();
        visits.extend(self.nth(resent));
        visits.rotate_right(1);
        let body = json!({ "visits": visits });
        let answer = self.admin.client.post("/v1/visits/batch", body).await.expect(200);
        for item in answer.json["results"].as_array().unwrap() {
            let path = format!("/v1/visits/{}", item["id"].as_str().unwrap());
            let stored = self.admin.client.get(&path).await.expect(200);
            assert_eq!(
                stored.json["flags"], item["flags"],
                "what is answered is what is stored"
            );
        }
        visits.retain(|visit| !self.sent.contains(visit));
        self.sent.extend(visits);
    }

    fn nth(&self, n: usize) -> Option<Value> {
        (!self.sent.is_empty()).then(|| self.sent[n % self.sent.len()].clone())
    }

    async fn review(&self, visit: usize, verdict: &str, many: bool) {
        let Some(first) = self.nth(visit) else { return };
        let path = format!("/v1/visits/{}/review", first["id"].as_str().unwrap());
        let said = json!({"verdict": verdict, "reason": "As seen"});
        if !many {
            let answer = self.reviewer.client.post(&path, said).await;
            assert!([200, 409].contains(&answer.status), "{}", answer.text());
            return;
        }
        let ids: std::collections::BTreeSet<String> = (visit..visit + 5)
            .filter_map(|n| Some(self.nth(n)?["id"].as_str()?.to_owned()))
            .collect();
        let reviews: Vec<Value> = ids
            .iter()
            .map(|id| json!({"visit_id": id, "verdict": verdict, "reason": "As seen"}))
            .collect();
        let body = json!({ "reviews": reviews });
        let answer = self.reviewer.client.post("/v1/reviews", body).await.expect(200);
        for item in answer.json["results"].as_array().unwrap() {
            let code = item["problem"]["code"].as_str();
            assert!([None, Some("already_voided")].contains(&code), "{item}");
        }
    }

    async fn relocate(&self, what: usize, to: bool, day: i64) {
        let (unit, parents) = match BOOTHS.get(what) {
            Some(booth) => (*booth, [self.world.unit("S1-M1"), self.world.unit("S1-M2")]),
            None => ("S1-M1", [self.world.unit("S1-D1"), 900]),
        };
        let from = self.app.clock.today() + TimeDelta::days(day);
        let body = json!({"tree": "organisation", "parent_id": parents[usize::from(to)], "valid_from": from});
        let path = format!("/v1/units/{}/placements", self.world.unit(unit));
        let answer = self.admin.client.post(&path, body).await;
        assert!(answer.status < 300, "{}", answer.text());
    }

    async fn check(&self, after: &str) {
        assert_exact(&self.world.db, after).await;
    }

    /// What the API itself says of every unit, dated and current.
    async fn check_over_http(&self) {
        for unit in self.world.units.values() {
            let path = format!("/v1/units/{unit}/totals");
            let check = self
                .admin
                .client
                .get(&format!("{path}/check"))
                .await
                .expect(200)
                .json;
            assert_eq!(check["equal"], true, "{check}");
            let totals = self.admin.client.get(&path).await.expect(200).json["totals"].clone();
            assert_eq!(totals, check["recount"], "unit {unit}");
            let current = self
                .admin
                .client
                .get(&format!("{path}?hierarchy=current"))
                .await
                .expect(200)
                .json;
            let booths = "SELECT coalesce(sum(v.people_met), 0)::bigint FROM visits v JOIN lineages l ON l.unit_id = v.booth_id
                          AND l.valid_from <= $1 AND (l.valid_to IS NULL OR l.valid_to > $1)
                          WHERE $2 = ANY (l.unit_ids) AND v.voided_at IS NULL AND v.review <> 'rejected'";
            let today = self.app.clock.today();
            let sum: i64 = self
                .world
                .db
                .query_one(booths, &[&today, unit])
                .await
                .unwrap()
                .get(0);
            assert_eq!(current["totals"]["people_met"], sum, "unit {unit} as it is today");
        }
    }

    async fn check_journal(&self) {
        let holes = "SELECT count(*) FROM (SELECT number, row_number() OVER (PARTITION BY state_id ORDER BY number) AS n FROM journal) j
                     WHERE number <> n";
        assert_eq!(
            self.world
                .db
                .query_one(holes, &[])
                .await
                .unwrap()
                .get::<_, i64>(0),
            0
        );
    }
}

/// Drives a future for so many polls, then drops it.
async fn interrupted<T>(polls: u8, future: impl Future<Output = T>) {
    let mut future = Box::pin(future);
    let mut left = polls;
    std::future::poll_fn(move |context| {
        left -= 1;
        match future.as_mut().poll(context) {
            std::task::Poll::Pending if left > 0 => std::task::Poll::Pending,
            _ => std::task::Poll::Ready(()),
        }
    })
    .await;
}

fn hold(steps: &[Step], poster: bool) {
    actix_web::rt::System::new().block_on(async {
        let mut run = Run::begin(poster).await;
        for step in steps {
            run.take(step).await;
            run.check(&format!("{step:?}")).await;
        }
        run.check_over_http().await;
        post_all(&run.app.state.db).await.unwrap();
        run.check("the last posting").await;
        run.check_journal().await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn live_totals_equal_a_recount_after_every_step(steps in proptest::collection::vec(step(), 20..60)) {
        hold(&steps, false);
    }

    #[test]
    fn live_totals_equal_a_recount_while_the_poster_runs(steps in proptest::collection::vec(step(), 20..60)) {
        hold(&steps, true);
    }
}

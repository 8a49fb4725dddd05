//! The counts equal a recount of the grants, at every level, whatever happens in whatever order and at once.

use std::collections::BTreeMap;

use chrono::{NaiveDate, TimeDelta};
use proptest::prelude::*;
use sampark::features::cadre::recount_all;
use serde_json::json;

use super::{Scene, confirm, scene};
use crate::support::Actor;

const BOOTHS: [&str; 4] = ["S1-B1", "S1-B2", "S1-B5", "S2-B1"];
const POSTS: [Option<&str>; 3] = [Some("president"), Some("secretary"), None];
const LEVELS: [(&str, &str); 8] = [
    ("IN", "state"),
    ("IN", "booth"),
    ("IN", "mandal"),
    ("S1", "district"),
    ("S1", "assembly_constituency"),
    ("S1-PC1", "booth"),
    ("IN", "parliamentary_constituency"),
    ("S1-M1", "booth"),
];

#[derive(Clone, Debug)]
enum Step {
    /// A new worker with a post from a day to a day, which he may confirm.
    Give {
        booth: usize,
        post: usize,
        from: i64,
        days: Option<i64>,
        confirms: bool,
    },
    End {
        member: usize,
    },
    HandOver {
        member: usize,
        days: i64,
    },
    Activity {
        member: usize,
        active: bool,
    },
    Move {
        booth: usize,
        to: bool,
        days: i64,
    },
    Rule {
        state: bool,
        president: i32,
        workers: i32,
    },
    Doors {
        booth: usize,
        doors: i32,
    },
    Wait {
        days: i64,
    },
    Recount,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..BOOTHS.len(), 0..POSTS.len(), -3..3i64, proptest::option::of(0..4i64), any::<bool>())
            .prop_map(|(booth, post, from, days, confirms)| Step::Give { booth, post, from, days, confirms }),
        2 => (0..50usize).prop_map(|member| Step::End { member }),
        2 => (0..50usize, 0..3i64).prop_map(|(member, days)| Step::HandOver { member, days }),
        2 => (0..50usize, any::<bool>()).prop_map(|(member, active)| Step::Activity { member, active }),
        1 => (0..3usize, any::<bool>(), 0..3i64).prop_map(|(booth, to, days)| Step::Move { booth, to, days }),
        2 => (any::<bool>(), 1..3i32, 1..3i32)
            .prop_map(|(state, president, workers)| Step::Rule { state, president, workers }),
        1 => (0..BOOTHS.len(), 0..200i32).prop_map(|(booth, doors)| Step::Doors { booth, doors }),
        2 => (1..3i64).prop_map(|days| Step::Wait { days }),
        2 => Just(Step::Recount),
    ]
}

struct Run {
    s: Scene,
    members: std::cell::RefCell<Vec<(Actor, i64)>>,
}

impl Run {
    fn day(&self, days: i64) -> String {
        (self.s.app.clock.today() + TimeDelta::days(days)).to_string()
    }

    async fn take(&self, step: &Step) {
        let s = &self.s;
        let member = |n: usize| {
            let members = self.members.borrow();
            (!members.is_empty()).then(|| members[n % members.len()].clone())
        };
        match step {
            Step::Give {
                booth,
                post,
                from,
                days,
                confirms,
            } => {
                let booth = BOOTHS[*booth];
                let actor = s.world.worker(&s.app, booth).await;
                let to = days.map(|days| self.day(from + days));
                let id = s
                    .give(&actor, booth, POSTS[*post], &self.day(*from), to.as_deref())
                    .await;
                if *confirms {
                    // Refused where the post does not hold today, or his session is older than it.
                    let answer = confirm(&actor, id).await;
                    assert!([200, 403, 409, 503].contains(&answer.status), "{}", answer.text());
                }
                self.members.borrow_mut().push((actor, id));
            }
            Step::End { member: n } => {
                if let Some((actor, id)) = member(*n) {
                    let path = format!("/v1/workers/{}/grants/{id}", actor.worker_id);
                    let answer = s.admin().delete(&path).await;
                    assert!([204, 503].contains(&answer.status), "{}", answer.text());
                }
            }
            Step::HandOver { member: n, days } => {
                if let Some((actor, id)) = member(*n) {
                    let next = s.world.worker(&s.app, "S1-M1").await;
                    let path = format!("/v1/workers/{}/grants/{id}/handover", actor.worker_id);
                    let body = json!({"to_worker_id": next.worker_id, "from": self.day(*days)});
                    let answer = s.admin().post(&path, body).await;
                    assert!([201, 409, 422, 503].contains(&answer.status), "{}", answer.text());
                    if let Some(id) = answer.json["given"]["id"].as_i64() {
                        self.members.borrow_mut().push((next, id));
                    }
                }
            }
            Step::Activity { member: n, active } => {
                if let Some((actor, _)) = member(*n) {
                    let sql = "UPDATE workers SET active = $2 WHERE id = $1";
                    s.world
                        .db
                        .execute(sql, &[&actor.worker_id, active])
                        .await
                        .unwrap();
                }
            }
            Step::Move { booth, to, days } => {
                let parent = s.world.unit(if *to { "S1-M2" } else { "S1-M1" });
                let path = format!("/v1/units/{}/placements", s.world.unit(BOOTHS[*booth]));
                let body =
                    json!({"tree": "organisation", "parent_id": parent, "valid_from": self.day(*days)});
                let answer = s.admin().post(&path, body).await;
                assert!(
                    [200, 201, 409, 422, 503].contains(&answer.status),
                    "{}",
                    answer.text()
                );
            }
            Step::Rule {
                state,
                president,
                workers,
            } => {
                let unit = if *state { "S1" } else { "IN" };
                s.rule(
                    unit,
                    None,
                    &[("president", *president), ("booth_worker", *workers)],
                )
                .await;
            }
            Step::Doors { booth, doors } => {
                let path = format!("/v1/units/{}", s.world.unit(BOOTHS[*booth]));
                let tag = s
                    .admin()
                    .get(&path)
                    .await
                    .expect(200)
                    .header("etag")
                    .unwrap()
                    .to_owned();
                let answer = s
                    .admin()
                    .header("If-Match", &tag)
                    .patch(&path, json!({"doors": doors}))
                    .await;
                assert!([200, 412, 503].contains(&answer.status), "{}", answer.text());
            }
            Step::Wait { days } => s.app.clock.advance(TimeDelta::days(*days)),
            Step::Recount => {
                // Too busy is no harm: what changed is counted later.
                if let Err(error) = recount_all(&s.app.state.db, &s.app.clock).await {
                    assert_eq!(error.code().status(), 503, "{error}");
                }
            }
        }
    }

    /// Figures of the booths straight from grants, confirmations and rules, added up along the lineages of today.
    async fn recounted(&self, today: NaiveDate) -> BTreeMap<i32, Vec<i64>> {
        let booths = "SELECT b.id, l.unit_ids, b.state_id FROM units b JOIN lineages l ON l.unit_id = b.id
                      WHERE b.level = 'booth' AND l.valid_from <= $1 AND (l.valid_to IS NULL OR l.valid_to > $1)";
        let rules = "SELECT DISTINCT ON (unit_id) unit_id, (SELECT count FROM jsonb_to_recordset(posts) AS p (post text, count int) WHERE post = 'president'),
                         (SELECT count FROM jsonb_to_recordset(posts) AS p (post text, count int) WHERE post = 'booth_worker')
                     FROM committee_rules ORDER BY unit_id, version DESC";
        let held = "SELECT count(*), count(c.grant_id) FROM grants g JOIN workers w ON w.id = g.worker_id
                    LEFT JOIN post_confirmations c ON c.grant_id = g.id
                    WHERE g.unit_id = $1 AND w.active AND g.ended_at IS NULL AND g.valid_from <= $2
                      AND coalesce(g.valid_to, '2100-01-01') >= $2 AND g.post IS NOT DISTINCT FROM $3";
        let db = &self.s.world.db;
        let rules: BTreeMap<i32, [(Option<&str>, i64); 2]> = db
            .query(rules, &[])
            .await
            .unwrap()
            .iter()
            .map(|row| {
                let (president, workers): (i32, i32) = (row.get(1), row.get(2));
                (
                    row.get(0),
                    [(Some("president"), president.into()), (None, workers.into())],
                )
            })
            .collect();
        let nation = self.s.world.unit("IN");
        let mut all: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
        for row in db.query(booths, &[&today]).await.unwrap() {
            let (booth, lineage, state): (i32, Vec<i32>, i32) = (row.get(0), row.get(1), row.get(2));
            // booths, committees, complete, named, posts, filled, confirmed
            let mut figures = vec![1, 0, 1, 1, 0, 0, 0];
            for (post, wanted) in rules
                .get(&state)
                .or_else(|| rules.get(&nation))
                .into_iter()
                .flatten()
            {
                let row = db.query_one(held, &[&booth, &today, post]).await.unwrap();
                let (held, confirmed): (i64, i64) = (row.get(0), row.get(1));
                figures[1] = 1;
                figures[2] &= i64::from(confirmed >= *wanted);
                figures[3] &= i64::from(held >= *wanted);
                figures[4] += wanted;
                figures[5] += held.min(*wanted);
                figures[6] += confirmed.min(*wanted);
            }
            figures[2] &= figures[1];
            figures[3] &= figures[1];
            for unit in lineage {
                let sums = all.entry(unit).or_insert_with(|| vec![0; 7]);
                for (sum, figure) in sums.iter_mut().zip(&figures) {
                    *sum += figure;
                }
            }
        }
        all
    }

    async fn check(&self, after: &str) {
        let recounted = self.recounted(self.s.app.clock.today()).await;
        for (under, level) in LEVELS {
            let path = format!(
                "/v1/units/{}/committees/children?level={level}&limit=500",
                self.s.world.unit(under)
            );
            let page = self.s.admin().get(&path).await.expect(200).json;
            let items = page["items"].as_array().unwrap();
            assert!(!items.is_empty(), "{under} {level}");
            for item in items {
                let n = |name: &str| item[name].as_i64().unwrap();
                let got = vec![
                    n("booths"),
                    n("committees"),
                    n("complete"),
                    n("complete") + n("on_paper"),
                    n("posts"),
                    n("filled"),
                    n("confirmed"),
                ];
                let unit = i32::try_from(item["unit"]["id"].as_i64().unwrap()).unwrap();
                let wanted = recounted.get(&unit).cloned().unwrap_or_else(|| vec![0; 7]);
                assert_eq!(got, wanted, "{} after {after}", item["unit"]["code"]);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, max_shrink_iters: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn counts_equal_a_recount_after_every_step(steps in proptest::collection::vec(step(), 15..35)) {
        actix_web::rt::System::new().block_on(async {
            let run = Run { s: scene().await, members: Vec::new().into() };
            for step in &steps {
                run.take(step).await;
                run.check(&format!("{step:?}")).await;
            }
            recount_all(&run.s.app.state.db, &run.s.app.clock).await.unwrap();
            run.check("the last counting").await;
            let left: i64 = run.s.world.db.query_one("SELECT count(*) FROM cadre_changes", &[]).await.unwrap().get(0);
            assert_eq!(left, 0);
        });
    }

    #[test]
    fn counts_equal_a_recount_when_all_happens_at_once(steps in proptest::collection::vec(step(), 20..40)) {
        actix_web::rt::System::new().block_on(async {
            let run = Run { s: scene().await, members: Vec::new().into() };
            // A token ends when its time is over: the days pass when all is done.
            let (waits, steps): (Vec<Step>, Vec<Step>) = steps.into_iter().partition(|step| matches!(step, Step::Wait { .. }));
            let hands = steps.chunks(10).map(async |steps: &[Step]| {
                for step in steps {
                    run.take(step).await;
                }
            });
            futures_util::future::join_all(hands).await;
            run.check("all of it").await;
            for wait in &waits {
                run.take(wait).await;
                run.check(&format!("{wait:?}")).await;
            }
            recount_all(&run.s.app.state.db, &run.s.app.clock).await.unwrap();
            run.check("the last counting").await;
        });
    }
}

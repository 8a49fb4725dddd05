//! The model phone: whatever happens to a worker's phone and to the server, in whatever order, after a sync both agree, and
//! nothing that he recorded is lost or there twice.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use proptest::prelude::*;
use sampark::access::Role;
use sampark::journal::poster::post_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Actor, Fault, KINDS, Phone, Settings, TestApp, World};

const BOOTHS: [&str; 5] = ["S1-B1", "S1-B2", "S1-B3", "S1-B4", "S1-B5"];
const OUTCOMES: [&str; 3] = ["met", "not_home", "refused"];

/// What may happen.
#[derive(Clone, Debug)]
enum Step {
    /// The worker records a visit, without a network, in one of the booths that his phone knows.
    Visit {
        booth: usize,
        outcome: usize,
    },
    /// He writes a household that is new, or another label on one that he holds.
    Household {
        booth: usize,
        known: Option<usize>,
    },
    /// He corrects a visit that he sees.
    Correct {
        visit: usize,
        outcome: usize,
    },
    /// The phone uploads what waits; the reply may get lost.
    Upload {
        lost: bool,
    },
    /// The phone syncs; it gives up after so many pages, or the reply to the first gets lost.
    Sync {
        limit: usize,
        pages: Option<usize>,
        lost: bool,
    },
    /// The phone loses an item by itself.
    Damage {
        kind: usize,
        item: usize,
    },
    /// A coordinator voids a visit of the worker's.
    Void {
        visit: usize,
    },
    /// A coordinator judges one.
    Review {
        visit: usize,
        verified: bool,
    },
    /// Somebody else writes a household, new or known.
    Other {
        booth: usize,
        known: Option<usize>,
    },
    /// A booth goes to the other mandal, or a mandal's name changes.
    Move {
        booth: usize,
        to: bool,
        day: i64,
    },
    Rename {
        booth: usize,
    },
    /// He answers a flag of a visit, or reads another language from now on.
    Answer {
        visit: usize,
    },
    Language {
        english: bool,
    },
    Campaign,
    Grant {
        booth: usize,
    },
    EndGrant {
        grant: usize,
    },
    Post,
    Wait {
        hours: u8,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let booth = || 0..BOOTHS.len();
    let known = || proptest::option::of(0..100usize);
    prop_oneof![
        5 => (booth(), 0..OUTCOMES.len()).prop_map(|(booth, outcome)| Step::Visit { booth, outcome }),
        3 => (booth(), known()).prop_map(|(booth, known)| Step::Household { booth, known }),
        2 => (0..100usize, 0..OUTCOMES.len()).prop_map(|(visit, outcome)| Step::Correct { visit, outcome }),
        4 => any::<bool>().prop_map(|lost| Step::Upload { lost }),
        6 => (1..9usize, proptest::option::of(1..4usize), any::<bool>())
            .prop_map(|(limit, pages, lost)| Step::Sync { limit, pages, lost }),
        1 => (0..KINDS.len(), 0..100usize).prop_map(|(kind, item)| Step::Damage { kind, item }),
        2 => (0..100usize).prop_map(|visit| Step::Void { visit }),
        3 => (0..100usize, any::<bool>()).prop_map(|(visit, verified)| Step::Review { visit, verified }),
        3 => (booth(), known()).prop_map(|(booth, known)| Step::Other { booth, known }),
        2 => (booth(), any::<bool>(), 0..3i64).prop_map(|(booth, to, day)| Step::Move { booth, to, day }),
        1 => booth().prop_map(|booth| Step::Rename { booth }),
        2 => (0..100usize).prop_map(|visit| Step::Answer { visit }),
        1 => any::<bool>().prop_map(|english| Step::Language { english }),
        1 => Just(Step::Campaign),
        1 => booth().prop_map(|booth| Step::Grant { booth }),
        1 => (0..100usize).prop_map(|grant| Step::EndGrant { grant }),
        2 => Just(Step::Post),
        1 => (1..30u8).prop_map(|hours| Step::Wait { hours }),
    ]
}

struct Run {
    app: TestApp,
    world: World,
    campaign: i32,
    admin: Actor,
    worker: Actor,
    phone: Phone,
    /// What waits on the phone, by id, as it will be sent.
    visits: BTreeMap<Uuid, Value>,
    households: BTreeMap<Uuid, Value>,
    /// Every visit that he ever recorded.
    recorded: Vec<Uuid>,
    /// Those that the server refused, with its reason.
    refused: BTreeMap<Uuid, String>,
}

impl Run {
    async fn begin() -> Self {
        let app = TestApp::start_with(Settings {
            poster: false,
            ..Settings::default()
        })
        .await;
        let world = World::build(&app).await;
        let campaign = world.campaign("IN").await;
        for booth in BOOTHS {
            world.household(booth).await;
        }
        let admin = world.actor(&app, Role::NationalAdmin, "IN").await;
        let worker = world.actor(&app, Role::MandalWorker, "S1-M1").await;
        Self {
            phone: Phone::fresh(&worker.client).await,
            app,
            world,
            campaign,
            admin,
            worker,
            visits: BTreeMap::new(),
            households: BTreeMap::new(),
            recorded: Vec::new(),
            refused: BTreeMap::new(),
        }
    }

    fn nth<T: Clone>(items: impl Iterator<Item = T>, n: usize) -> Option<T> {
        let items: Vec<T> = items.collect();
        (!items.is_empty()).then(|| items[n % items.len()].clone())
    }

    async fn take(&mut self, step: &Step) {
        match *step {
            Step::Visit { booth, outcome } => {
                let Some(booth) = Self::nth(self.phone.booths.iter().copied(), booth) else {
                    return;
                };
                let id = Uuid::now_v7();
                let visit = json!({"id": id, "campaign_id": self.campaign, "booth_id": booth,
                                   "visited_at": self.app.clock.now(), "outcome": OUTCOMES[outcome]});
                self.visits.insert(id, visit);
                self.recorded.push(id);
            }
            Step::Household { booth, known } => {
                let held = known.and_then(|n| Self::nth(self.phone.of("households").values(), n));
                let booth = match held {
                    Some(item) => item["booth_id"].as_i64(),
                    None => Self::nth(self.phone.booths.iter().copied(), booth),
                };
                let Some(booth) = booth else { return };
                let id = held.map_or_else(Uuid::now_v7, |item| item["id"].as_str().unwrap().parse().unwrap());
                let label = format!("mine {}", self.recorded.len());
                self.households
                    .insert(id, json!({"booth_id": booth, "label": label}));
            }
            Step::Correct { visit, outcome } => self.correct(visit, outcome).await,
            Step::Upload { lost } => self.upload(lost).await,
            Step::Sync { limit, pages, lost } => self.sync(limit, pages, lost).await,
            // A phone that is in the midst of a sync sends no hashes: what is damaged then shows at the sync after.
            Step::Damage { .. } if !self.phone.complete => {}
            Step::Damage { kind, item } => {
                if let Some(id) = Self::nth(self.phone.of(KINDS[kind]).keys().cloned(), item) {
                    self.phone.items.get_mut(KINDS[kind]).unwrap().remove(&id);
                }
            }
            Step::Void { visit } => {
                if let Some(id) = Self::nth(self.recorded.iter(), visit) {
                    let path = format!("/v1/visits/{id}/void");
                    let status = self
                        .admin
                        .client
                        .post(&path, json!({"reason": "Mistake"}))
                        .await
                        .status;
                    assert!([200, 404].contains(&status), "{status}");
                }
            }
            Step::Review { visit, verified } => {
                if let Some(id) = Self::nth(self.recorded.iter(), visit) {
                    let verdict = if verified {
                        json!({"verdict": "verified"})
                    } else {
                        json!({"verdict": "rejected", "reason": format!("Reason {}", self.recorded.len())})
                    };
                    let path = format!("/v1/visits/{id}/review");
                    let answer = self.admin.client.post(&path, verdict).await;
                    // 404: still on the phone; 409: voided.
                    assert!([200, 201, 404, 409].contains(&answer.status), "{}", answer.text());
                }
            }
            Step::Other { booth, known } => self.other(booth, known).await,
            Step::Move { booth, to, day } => self.relocate(booth, to, day).await,
            Step::Rename { booth } => {
                let path = format!("/v1/units/{}", self.world.unit(BOOTHS[booth]));
                self.patch(&path, json!({"doors": self.recorded.len()})).await;
            }
            Step::Answer { visit } => self.answer(visit).await,
            Step::Language { english } => {
                let now = self.worker.client.get("/v1/me/data").await.expect(200);
                let client = self.worker.client.header("If-Match", now.header("etag").unwrap());
                let language = if english { "en" } else { "hi" };
                client
                    .patch("/v1/me/data", json!({"language": language}))
                    .await
                    .expect(200);
            }
            Step::Campaign => {
                let path = format!("/v1/campaigns/{}", self.campaign);
                self.patch(&path, json!({"name": format!("Abhiyan {}", self.recorded.len())}))
                    .await;
            }
            Step::Grant { booth } => {
                let path = format!("/v1/workers/{}/grants", self.worker.worker_id);
                let grant = json!({"role": "booth_worker", "unit_id": self.world.unit(BOOTHS[booth]),
                                   "valid_from": self.app.clock.today()});
                let status = self.admin.client.post(&path, grant).await.status;
                assert!([200, 201, 409].contains(&status), "{status}");
            }
            Step::EndGrant { grant } => {
                let grants = "SELECT id FROM grants WHERE worker_id = $1 AND ended_at IS NULL ORDER BY id";
                let rows = self
                    .world
                    .db
                    .query(grants, &[&self.worker.worker_id])
                    .await
                    .unwrap();
                // One is left, so that he may sync at all.
                if rows.len() > 1 {
                    let id: i32 = rows[grant % rows.len()].get(0);
                    let path = format!("/v1/workers/{}/grants/{id}", self.worker.worker_id);
                    let answer = self.admin.client.delete(&path).await;
                    assert!(answer.status < 300, "{}", answer.text());
                }
            }
            Step::Post => {
                post_all(&self.app.state.db).await.unwrap();
            }
            Step::Wait { hours } => {
                self.app.clock.advance(TimeDelta::hours(i64::from(hours)));
                self.admin = self.world.sign_in(&self.app, self.admin.worker_id).await;
                self.worker = self.world.sign_in(&self.app, self.worker.worker_id).await;
            }
        }
    }

    async fn patch(&self, path: &str, change: Value) {
        let now = self.admin.client.get(path).await.expect(200);
        let client = self.admin.client.header("If-Match", now.header("etag").unwrap());
        client.patch(path, change).await.expect(200);
    }

    async fn answer(&self, visit: usize) {
        let flagged = self
            .phone
            .of("visits")
            .values()
            .filter(|item| item["flags"] != json!([]));
        let Some(item) = Self::nth(flagged, visit) else {
            return;
        };
        let (id, code) = (&item["id"], &item["flags"][0]["code"]);
        let path = format!(
            "/v1/visits/{}/flags/{}/answer",
            id.as_str().unwrap(),
            code.as_str().unwrap()
        );
        let text = format!("Said {}", self.recorded.len());
        self.worker
            .client
            .post(&path, json!({"text": text}))
            .await
            .expect(200);
    }

    /// With the version that the phone knows: whoever changed it meanwhile wins, and the next sync shows it.
    async fn correct(&mut self, visit: usize, outcome: usize) {
        let Some(item) = Self::nth(self.phone.of("visits").values().cloned(), visit) else {
            return;
        };
        let path = format!("/v1/visits/{}", item["id"].as_str().unwrap());
        let client = self
            .worker
            .client
            .header("If-Match", &format!("\"{}\"", item["version"]));
        let answer = client.patch(&path, json!({"outcome": OUTCOMES[outcome]})).await;
        assert!([200, 403, 409, 412].contains(&answer.status), "{}", answer.text());
    }

    async fn upload(&mut self, lost: bool) {
        for (id, body) in self.households.clone() {
            let path = format!("/v1/households/{id}");
            let answer = self.worker.client.put(&path, body).await;
            // 422 and 403: the booth is his no more.
            assert!([200, 201, 403, 422].contains(&answer.status), "{}", answer.text());
            if !lost {
                self.households.remove(&id);
            }
        }
        if self.visits.is_empty() {
            return;
        }
        let visits: Vec<&Value> = self.visits.values().collect();
        let answer = self
            .worker
            .client
            .post("/v1/visits/batch", json!({"visits": visits}))
            .await;
        let results = answer.expect(200).json["results"].as_array().unwrap().clone();
        if lost {
            return;
        }
        for result in results {
            let id: Uuid = result["id"].as_str().unwrap().parse().unwrap();
            match result["status"].as_str().unwrap() {
                "created" | "duplicate" => {}
                "rejected" => {
                    self.refused.insert(id, result["problem"]["code"].to_string());
                }
                other => panic!("{id}: {other}"),
            }
            self.visits.remove(&id);
        }
    }

    async fn sync(&mut self, limit: usize, pages: Option<usize>, lost: bool) {
        if lost {
            let body = self.phone.request(limit);
            self.worker.client.post("/v1/sync", body).await.expect(200);
        }
        match pages {
            Some(pages) => {
                for _ in 0..pages {
                    let body = self.phone.request(limit);
                    let page = self.worker.client.post("/v1/sync", body).await.expect(200).json;
                    self.phone.apply(&page);
                }
            }
            None => {
                self.phone.sync(&self.worker.client, limit).await;
                let fresh = Phone::fresh(&self.worker.client).await;
                self.phone.assert_holds_the_same(&fresh, "a sync");
            }
        }
    }

    async fn other(&self, booth: usize, known: Option<usize>) {
        let rows = self
            .world
            .db
            .query("SELECT id, booth_id FROM households ORDER BY id", &[])
            .await
            .unwrap();
        let (id, booth) = match known {
            Some(n) => (rows[n % rows.len()].get(0), rows[n % rows.len()].get(1)),
            None => (Uuid::new_v4(), self.world.unit(BOOTHS[booth])),
        };
        let label = format!("theirs {}", self.recorded.len());
        let body = json!({"booth_id": booth, "label": label});
        let answer = self.admin.client.put(&format!("/v1/households/{id}"), body).await;
        assert!(answer.status < 300, "{}", answer.text());
    }

    async fn relocate(&self, booth: usize, to: bool, day: i64) {
        let parent = self.world.unit(if to { "S1-M2" } else { "S1-M1" });
        let from = self.app.clock.today() + TimeDelta::days(day);
        let body = json!({"tree": "organisation", "parent_id": parent, "valid_from": from});
        let path = format!("/v1/units/{}/placements", self.world.unit(BOOTHS[booth]));
        let answer = self.admin.client.post(&path, body).await;
        assert!(answer.status < 300, "{}", answer.text());
    }

    /// The network is back: all is uploaded and synced, and nothing is missing or there twice.
    async fn end(&mut self) {
        self.upload(false).await;
        self.sync(3, None, false).await;
        self.sync(2_000, None, true).await;
        let sql = "SELECT id FROM visits WHERE worker_id = $1 ORDER BY id";
        let rows = self.world.db.query(sql, &[&self.worker.worker_id]).await.unwrap();
        let stored: Vec<Uuid> = rows.iter().map(|row| row.get(0)).collect();
        let mut wanted = self.recorded.clone();
        wanted.retain(|id| !self.refused.contains_key(id));
        wanted.sort_unstable();
        assert_eq!(stored, wanted, "refused: {:?}", self.refused);
        // All of them are young enough to be on the phone, wherever their booths are now.
        let held: Vec<Uuid> = self
            .phone
            .of("visits")
            .keys()
            .map(|id| id.parse().unwrap())
            .collect();
        assert_eq!(held, wanted);
        // He only ever recorded in booths that his phone had been given, so nothing was refused to him for good.
        assert!(
            self.refused.values().all(|code| code == "\"outside_scope\""),
            "{:?}",
            self.refused
        );
        crate::exactness::assert_exact(&self.world.db, "the work of the phone").await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn phone_and_server_agree_whatever_happens(steps in proptest::collection::vec(step(), 20..60)) {
        actix_web::rt::System::new().block_on(async {
            let mut run = Run::begin().await;
            for step in &steps {
                run.take(step).await;
            }
            run.end().await;
        });
    }
}

/// A history in which a booth is lost, a grant ends, and a visit is judged and voided after the phone has it.
fn history() -> Vec<Step> {
    let sync = || Step::Sync {
        limit: 2_000,
        pages: None,
        lost: false,
    };
    let mut steps = vec![Step::Grant { booth: 4 }];
    steps.extend((0..3).map(|booth| Step::Visit { booth, outcome: 0 }));
    steps.extend([Step::Upload { lost: false }, sync()]);
    steps.push(Step::Move {
        booth: 0,
        to: true,
        day: 0,
    });
    steps.extend([Step::EndGrant { grant: 1 }, Step::Void { visit: 1 }]);
    steps.push(Step::Review {
        visit: 2,
        verified: true,
    });
    steps.push(sync());
    steps
}

/// Whether a phone with this fault, or none, gets through the history.
fn gets_through(fault: Option<Fault>) -> bool {
    let run = std::panic::AssertUnwindSafe(|| {
        actix_web::rt::System::new().block_on(async {
            let mut run = Run::begin().await;
            run.phone.fault = fault;
            for step in &history() {
                run.take(step).await;
            }
            run.end().await;
        });
    });
    std::panic::catch_unwind(run).is_ok()
}

#[test]
fn a_phone_that_does_not_do_as_it_is_told_is_caught() {
    assert!(gets_through(None), "the history itself is sound");
    for fault in Fault::ALL {
        assert!(!gets_through(Some(fault)), "{fault:?} went unnoticed");
    }
}

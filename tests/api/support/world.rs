//! A small world for tests, written straight into the database so that a test of one feature does not hang on another:
//! two states, in the first one two mandals; workers of every role.
//!
//! ```text
//! IN ── S1 ── S1-D1 ── S1-M1 ── booths S1-B1, S1-B2, S1-B3      S1-PC1 ── S1-AC1 ── S1-B1 … S1-B4
//!    │             └── S1-M2 ── booths S1-B4, S1-B5             S1-PC1 ── S1-AC2 ── S1-B5
//!    └─ S2 ── S2-D1 ── S2-M1 ── booth  S2-B1                    S2-PC1 ── S2-AC1 ── S2-B1
//! ```

use std::collections::BTreeMap;

use chrono::NaiveDate;
use sampark::access::Role;
use sampark::features::workers::phone_index;
use sampark::platform::data_keys::Place;
use sampark::platform::ids::{SessionId, WorkerId};
use uuid::Uuid;

use super::{Client, TestApp, data_keys, noon};

/// The units of the world by code, and a connection to make more of it.
pub struct World {
    pub units: BTreeMap<String, i32>,
    pub db: tokio_postgres::Client,
}

/// A worker who has signed in.
#[derive(Clone)]
pub struct Actor {
    pub worker_id: i32,
    pub device_id: Uuid,
    pub session_id: Uuid,
    pub token: String,
    pub client: Client,
}

/// (code, level, organisation parent, electorate parent)
const UNITS: &[(&str, &str, &str, &str)] = &[
    ("IN", "nation", "", ""),
    ("S1", "state", "IN", "IN"),
    ("S2", "state", "IN", "IN"),
    ("S1-D1", "district", "S1", ""),
    ("S2-D1", "district", "S2", ""),
    ("S1-M1", "mandal", "S1-D1", ""),
    ("S1-M2", "mandal", "S1-D1", ""),
    ("S2-M1", "mandal", "S2-D1", ""),
    ("S1-PC1", "parliamentary_constituency", "", "S1"),
    ("S2-PC1", "parliamentary_constituency", "", "S2"),
    ("S1-AC1", "assembly_constituency", "", "S1-PC1"),
    ("S1-AC2", "assembly_constituency", "", "S1-PC1"),
    ("S2-AC1", "assembly_constituency", "", "S2-PC1"),
    ("S1-B1", "booth", "S1-M1", "S1-AC1"),
    ("S1-B2", "booth", "S1-M1", "S1-AC1"),
    ("S1-B3", "booth", "S1-M1", "S1-AC1"),
    ("S1-B4", "booth", "S1-M2", "S1-AC1"),
    ("S1-B5", "booth", "S1-M2", "S1-AC2"),
    ("S2-B1", "booth", "S2-M1", "S2-AC1"),
];

impl World {
    pub async fn build(app: &TestApp) -> Self {
        Self::build_in(app.database.connect().await).await
    }

    /// The same in any migrated, empty database.
    pub async fn build_in(db: tokio_postgres::Client) -> Self {
        let mut world = Self {
            units: BTreeMap::new(),
            db,
        };
        let mut lineages: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        world.db.batch_execute("BEGIN").await.unwrap();
        for (n, (code, level, organisation, electorate)) in UNITS.iter().enumerate() {
            let id = i32::try_from(n).unwrap() + 1;
            let state = if code.contains('-') { &code[..2] } else { code };
            world.units.insert((*code).to_owned(), id);
            let state_id = world.unit(state);
            let doors = (*level == "booth").then_some(100);
            world
                .db
                .execute(
                    "INSERT INTO units (id, code, level, name, state_id, electors, doors, created_at, updated_at)
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)",
                    &[&id, code, level, &format!("Unit {code}"), &state_id, &doors.map(|_| 900), &doors, &noon()],
                )
                .await
                .unwrap();
            let mut lineage = vec![id];
            for (tree, parent) in [("organisation", organisation), ("electorate", electorate)] {
                if parent.is_empty() {
                    continue;
                }
                lineage.extend(&lineages[parent]);
                world
                    .db
                    .execute(
                        "INSERT INTO placements (unit_id, tree, parent_id, valid_from) VALUES ($1, $2, $3, '0001-01-01')",
                        &[&id, &tree, &world.unit(parent)],
                    )
                    .await
                    .unwrap();
            }
            lineage.sort_unstable();
            lineage.dedup();
            world
                .db
                .execute(
                    "INSERT INTO lineages (unit_id, valid_from, state_id, unit_ids) VALUES ($1, '0001-01-01', $2, $3)",
                    &[&id, &state_id, &lineage],
                )
                .await
                .unwrap();
            lineages.insert(code, lineage);
        }
        world
            .db
            .batch_execute("SELECT setval('units_id_seq', 1000); COMMIT")
            .await
            .unwrap();
        world
    }

    /// The id of a unit.
    #[track_caller]
    pub fn unit(&self, code: &str) -> i32 {
        *self
            .units
            .get(code)
            .unwrap_or_else(|| panic!("the world has no unit {code}"))
    }

    /// A new worker with one grant since ever, signed in.
    pub async fn actor(&self, app: &TestApp, role: Role, unit: &str) -> Actor {
        let actor = self.worker(app, unit).await;
        self.grant(actor.worker_id, role, unit, "2020-01-01", None).await;
        actor
    }

    /// A new worker without a grant, signed in.
    pub async fn worker(&self, app: &TestApp, home: &str) -> Actor {
        let worker_id = self.new_worker(home).await;
        self.sign_in(app, worker_id).await
    }

    /// A new worker without a grant.
    pub async fn new_worker(&self, home: &str) -> i32 {
        let row = self
            .db
            .query_one(
                "INSERT INTO workers (unit_id, name, created_at, updated_at)
                 SELECT $1, 'Worker ' || n, $2, $2 FROM (SELECT count(*) + 1 AS n FROM workers) AS c
                 RETURNING id, (SELECT count(*) + 1 FROM workers)",
                &[&self.unit(home), &noon()],
            )
            .await
            .unwrap();
        let (id, n): (i32, i64) = (row.get(0), row.get(1));
        self.set_phone(id, &format!("+91{}", 9_000_000_000 + n)).await;
        id
    }

    /// Gives a worker a number.
    pub async fn set_phone(&self, worker_id: i32, phone: &str) {
        let keys = data_keys();
        let sealed = keys
            .seal(
                &Place::new("workers", "phone_sealed", worker_id),
                phone.as_bytes(),
            )
            .unwrap();
        let index = phone_index(&keys, phone);
        self.db
            .execute(
                "UPDATE workers SET phone_sealed = $2, phone_index = $3 WHERE id = $1",
                &[&worker_id, &sealed, &index],
            )
            .await
            .unwrap();
    }

    /// The number of a worker.
    pub async fn phone_of(&self, worker_id: i32) -> String {
        phone_of(&self.db, worker_id).await
    }

    /// A session for a worker on a new device.
    pub async fn sign_in(&self, app: &TestApp, worker_id: i32) -> Actor {
        let (device_id, session_id) = self.session(worker_id).await;
        let keys = app.state.access.keys();
        let token = keys
            .sign(WorkerId(worker_id), SessionId(session_id), app.clock.now())
            .unwrap();
        Actor {
            worker_id,
            device_id,
            session_id,
            client: app.with_token(&token),
            token,
        }
    }

    /// A session for a worker on a new device: the ids of both.
    pub async fn session(&self, worker_id: i32) -> (Uuid, Uuid) {
        let (device_id, session_id) = (Uuid::new_v4(), Uuid::new_v4());
        self.db
            .batch_execute(&format!(
                "INSERT INTO devices (id, worker_id, created_at, last_seen_at)
                 VALUES ('{device_id}', {worker_id}, '{at}', '{at}');
                 INSERT INTO sessions (id, worker_id, device_id, strength, created_at, expires_at)
                 VALUES ('{session_id}', {worker_id}, '{device_id}', 'totp', '{at}', '2100-01-01');",
                at = noon().to_rfc3339(),
            ))
            .await
            .unwrap();
        (device_id, session_id)
    }

    /// Gives a role.
    pub async fn grant(&self, worker_id: i32, role: Role, unit: &str, from: &str, to: Option<&str>) -> i32 {
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        self.db
            .query_one(
                "INSERT INTO grants (worker_id, role, unit_id, valid_from, valid_to, created_at)
                 VALUES ($1, $2, $3, $4, $5, $6) RETURNING id",
                &[
                    &worker_id,
                    &role.as_str(),
                    &self.unit(unit),
                    &day(from),
                    &to.map(day),
                    &noon(),
                ],
            )
            .await
            .unwrap()
            .get(0)
    }

    /// A campaign in a unit since 2026-11-01 with two questions, one of them required, and an issue code.
    pub async fn campaign(&self, unit: &str) -> i32 {
        let id: i32 = self
            .db
            .query_one(
                r#"INSERT INTO campaigns (unit_id, name, starts_on, issues, created_at, updated_at)
                   VALUES ($1, 'Sampark Abhiyan', '2026-11-01', '[{"code": "water", "labels": {"en": "Water"}}]', $2, $2)
                   RETURNING id"#,
                &[&self.unit(unit), &noon()],
            )
            .await
            .unwrap()
            .get(0);
        self.db
            .execute(
                r#"INSERT INTO campaign_questions (campaign_id, version, questions, created_at) VALUES ($1, 1, '[
                     {"key": "heard", "type": "bool", "required": false, "labels": {"en": "Heard of us?"}},
                     {"key": "need", "type": "choice", "options": ["road", "water"], "required": false, "labels": {"en": "Need?"}}
                   ]', $2)"#,
                &[&id, &noon()],
            )
            .await
            .unwrap();
        id
    }

    /// A household of a booth.
    pub async fn household(&self, booth: &str) -> Uuid {
        let id = Uuid::new_v4();
        self.db
            .execute(
                "INSERT INTO households (id, state_id, booth_id, label, created_at, updated_at)
                 SELECT $1, state_id, id, '12-A', $3, $3 FROM units WHERE id = $2",
                &[&id, &self.unit(booth), &noon()],
            )
            .await
            .unwrap();
        id
    }
}

/// The number of a worker, opened.
pub async fn phone_of(db: &tokio_postgres::Client, worker_id: i32) -> String {
    let sql = "SELECT phone_sealed FROM workers WHERE id = $1";
    let sealed: Vec<u8> = db.query_one(sql, &[&worker_id]).await.unwrap().get(0);
    let place = Place::new("workers", "phone_sealed", worker_id);
    String::from_utf8(data_keys().open_sealed(&place, &sealed).unwrap()).unwrap()
}

//! Imports of units: whole or not at all, every bad row named, the same file twice changes nothing.

use std::path::PathBuf;

use sampark::access::Role;
use serde_json::{Value, json};

use crate::exactness::assert_exact;
use crate::moves::assert_lineages_follow_placements;
use crate::support::{Actor, Answer, Client, TestApp, World};

const HEADER: &str =
    "code,level,name,name_local,organisation_parent,electorate_parent,electors,doors,lat,lon,valid_from\n";

struct Setting {
    app: TestApp,
    world: World,
    admin: Actor,
}

impl Setting {
    async fn new() -> Self {
        let app = TestApp::start().await;
        let world = World::build(&app).await;
        let admin = world.actor(&app, Role::NationalAdmin, "IN").await;
        Self { app, world, admin }
    }

    async fn import(&self, rows: &str) -> Answer {
        post(&self.admin.client, "", &format!("{HEADER}{rows}")).await
    }

    async fn count(&self, sql: &str) -> i64 {
        self.world.db.query_one(sql, &[]).await.unwrap().get(0)
    }

    async fn unit(&self, code: &str) -> Value {
        let list = self
            .admin
            .client
            .get(&format!("/v1/units?code={code}"))
            .await
            .expect(200);
        list.json["items"][0].clone()
    }
}

async fn post(client: &Client, query: &str, file: &str) -> Answer {
    let body = Some(("text/csv; charset=utf-8", file.as_bytes().to_vec()));
    client
        .send("POST", &format!("/v1/imports/units{query}"), body)
        .await
}

fn done(created: i64, updated: i64, moved: i64, unchanged: i64) -> Value {
    let rows = created + updated + moved + unchanged;
    json!({"rows": rows, "created": created, "updated": updated, "moved": moved, "unchanged": unchanged, "dry_run": false})
}

/// (line, column, code) of every error.
fn errors(answer: &Answer) -> Vec<(u64, String, String)> {
    let errors = answer.json["errors"].as_array().unwrap();
    errors
        .iter()
        .map(|error| {
            assert!(!error["reason"].as_str().unwrap().is_empty());
            assert_eq!(error["reason"], error["detail"]);
            let text = |key: &str| error[key].as_str().unwrap().to_owned();
            (error["line"].as_u64().unwrap(), text("column"), text("code"))
        })
        .collect()
}

const FILE: &str = "S1-SK1,shakti_kendra,Kendra,,S1-M1,,,,,,
S1-B7,booth,\"School, \"\"East\"\"\",पूर्व,S1-SK1,S1-AC1,912,230,26.8467,80.9462,
S1-B6,booth,School,,S1-SK1,S1-AC1,,,,,2026-01-01
";

#[actix_web::test]
async fn a_file_is_imported_and_the_same_file_again_changes_nothing() {
    let s = Setting::new().await;
    assert_eq!(s.import(FILE).await.expect(200).json, done(3, 0, 0, 0));
    let unit = s.unit("S1-B7").await;
    let id = unit["id"].as_i64().unwrap();
    let kendra = s.unit("S1-SK1").await["id"].clone();
    assert_eq!(
        unit,
        json!({
            "id": id, "code": "S1-B7", "level": "booth", "name": "School, \"East\"", "name_local": "पूर्व",
            "state_id": s.world.unit("S1"), "parents": {"organisation": kendra, "electorate": s.world.unit("S1-AC1")},
            "electors": 912, "doors": 230, "location": {"lat": 26.8467, "lon": 80.9462}, "version": 1,
        })
    );
    assert_lineages_follow_placements(&s.world.db).await;
    let journal = "SELECT (SELECT count(*) FROM journal) + (SELECT count(*) FROM journal_inbox)";
    let before = s.count(journal).await;
    assert_eq!(s.import(FILE).await.expect(200).json, done(0, 0, 0, 3));
    assert_eq!(s.count(journal).await, before);
    assert_eq!(s.unit("S1-B7").await, unit);
}

#[actix_web::test]
async fn one_entry_a_state_names_the_units_of_a_file() {
    let s = Setting::new().await;
    let file = format!("{FILE}S2-B2,booth,School,,S2-M1,S2-AC1,,,,,\n");
    s.import(&file).await.expect(200);
    let sql = "SELECT count(*) FROM (SELECT action, subject, subject_ids, unit_ids FROM journal_inbox
                                 UNION ALL SELECT action, subject, subject_ids, unit_ids FROM journal) j
               WHERE action = 'unit.import' AND subject = 'unit' AND cardinality(subject_ids) IN (3, 1)
                 AND unit_ids @> subject_ids AND unit_ids <@ subject_ids";
    assert_eq!(s.count(sql).await, 2);
}

#[actix_web::test]
async fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    let s = Setting::new().await;
    let file = format!("{HEADER}{FILE}S1-B1,booth,Renamed,,S1-M2,,,,,,2026-11-20\n");
    let mut expected = done(3, 0, 0, 0);
    expected["rows"] = 4.into();
    expected["updated"] = 1.into();
    expected["moved"] = 1.into();
    expected["dry_run"] = true.into();
    let answer = post(&s.admin.client, "?dry_run=true", &file).await.expect(200);
    assert_eq!(answer.json, expected);
    assert_eq!(s.count("SELECT count(*) FROM units").await, 19);
    assert_eq!(s.unit("S1-B1").await["name"], "Unit S1-B1");
    post(
        &s.admin.client,
        "?dry_run=true",
        &format!("{HEADER}X,booth,,,,,,,,,\n"),
    )
    .await
    .expect(422);
}

#[actix_web::test]
async fn every_bad_row_is_named_with_line_and_column_and_nothing_is_stored() {
    let s = Setting::new().await;
    let answer = s
        .import(
            "GOOD,booth,Good,,S1-M1,S1-AC1,,,,,
A,booth,A,,S1-M1,S1-AC1,many,1.5,95,181,2026-13-01
B,village,B,,S1-M1,,,,,,
C,booth,,,S1-M1,,,,,,
D,booth,D,,,,,,,,
E,booth,E,,NOWHERE,S1-AC1,,,,,
F,booth,F,,S1-AC1,,,,,,
G,booth,G,,S1-M1,S2-AC1,,,,,
GOOD,booth,Twice,,S1-M1,,,,,,
S1-M1,booth,M,,,,,,,,
S1-B1,,,,S2-M1,,,,,,
N,nation,N,,,,,,,,
H,mandal,H,,I,,,,,,
I,booth,I,,H,,,,,,
J,booth,J,,S1-M1,,,,12,,
,booth,K,,S1-M1,,,,,,
L,booth,L
M,booth,\u{7}bell,,S1-M1,,,,,,
",
        )
        .await
        .expect(422);
    assert_eq!(answer.json["code"], "import_rejected");
    let is = |line: u64, column: &str, code: &str| (line, column.to_owned(), code.to_owned());
    assert_eq!(
        errors(&answer),
        [
            is(3, "electors", "bad_number"),
            is(3, "doors", "bad_number"),
            is(3, "lat", "bad_number"),
            is(3, "lon", "bad_number"),
            is(3, "valid_from", "bad_day"),
            is(4, "level", "unknown_level"),
            is(5, "name", "missing"),
            is(6, "organisation_parent", "missing"),
            is(7, "organisation_parent", "unknown_parent"),
            is(8, "organisation_parent", "wrong_level"),
            is(9, "electorate_parent", "other_state"),
            is(10, "code", "duplicate"),
            is(11, "level", "level_fixed"),
            is(12, "organisation_parent", "other_state"),
            is(13, "level", "one_nation"),
            is(14, "organisation_parent", "wrong_level"),
            is(16, "lon", "missing"),
            is(17, "code", "missing"),
            is(18, "", "wrong_width"),
            is(19, "name", "control_character"),
        ]
    );
    assert_eq!(answer.json["error_count"], 20);
    assert_eq!(s.count("SELECT count(*) FROM units").await, 19);
}

#[actix_web::test]
async fn lines_are_counted_as_an_editor_counts_them() {
    let s = Setting::new().await;
    // A byte order mark, columns in another order, lines ended as Windows does, an empty line, a quoted line break.
    let file = "\u{feff}name,level,code,organisation_parent\r\nA,booth,A,S1-M1\r\n\r\nB,booth,B,NOWHERE\r\n\"two\nlines\",booth,C,S1-M1\r\nD,booth,D,ELSEWHERE";
    let answer = post(&s.admin.client, "", file).await.expect(422);
    let lines: Vec<_> = errors(&answer)
        .into_iter()
        .map(|(line, column, _)| (line, column))
        .collect();
    let is = |line: u64, column: &str| (line, column.to_owned());
    assert_eq!(
        lines,
        [
            is(4, "organisation_parent"),
            is(5, "name"),
            is(7, "organisation_parent")
        ]
    );
    let file = "\u{feff}name,level,code,organisation_parent\r\nA,booth,A,S1-M1\r\n\r\n B ,booth,B,S1-M2";
    assert_eq!(
        post(&s.admin.client, "", file).await.expect(200).json,
        done(2, 0, 0, 0)
    );
    assert_eq!(s.unit("B").await["name"], "B");
}

#[actix_web::test]
async fn a_file_without_its_columns_is_refused() {
    let s = Setting::new().await;
    for (file, column, code) in [
        ("", "", "no_header"),
        ("code,level\nA,booth\n", "name", "missing_column"),
        ("code,level,name,party\n", "party", "unknown_column"),
        ("code,level,name,code\n", "code", "duplicate_column"),
    ] {
        let answer = post(&s.admin.client, "", file).await.expect(422);
        assert_eq!(
            errors(&answer),
            [(1, column.to_owned(), code.to_owned())],
            "{file:?}"
        );
    }
    let only_header = post(&s.admin.client, "", HEADER).await.expect(200);
    assert_eq!(only_header.json, done(0, 0, 0, 0));
}

#[actix_web::test]
async fn of_very_many_errors_the_first_thousand_are_listed_and_all_counted() {
    let s = Setting::new().await;
    let rows: String = (0..1500)
        .map(|n| format!("X{n},booth,X,,NOWHERE,,x,,,,\n"))
        .collect();
    let answer = s.import(&rows).await.expect(422);
    assert_eq!(answer.json["error_count"], 3000);
    let errors = errors(&answer);
    assert_eq!(errors.len(), 1000);
    assert!(errors.is_sorted_by_key(|(line, _, _)| *line));
}

#[actix_web::test]
async fn an_empty_cell_leaves_what_is_stored() {
    let s = Setting::new().await;
    s.import("S1-B1,booth,Named,नाम,,,950,,1.5,2.5,\n")
        .await
        .expect(200);
    let answer = s.import("S1-B1,,,,,,,120,,,\n").await.expect(200);
    assert_eq!(answer.json, done(0, 1, 0, 0));
    let unit = s.unit("S1-B1").await;
    assert_eq!(
        (
            &unit["name"],
            &unit["name_local"],
            &unit["electors"],
            &unit["doors"],
            &unit["version"]
        ),
        (
            &json!("Named"),
            &json!("नाम"),
            &json!(950),
            &json!(120),
            &json!(3)
        )
    );
    assert_eq!(unit["location"], json!({"lat": 1.5, "lon": 2.5}));
    assert_eq!(unit["parents"]["organisation"], s.world.unit("S1-M1"));
}

#[actix_web::test]
async fn a_file_that_changes_parents_moves_units_and_totals_stay_exact() {
    let s = Setting::new().await;
    let campaign = s.world.campaign("IN").await;
    for booth in ["S1-B1", "S1-B2", "S1-B5"] {
        for day in ["2026-11-18", "2026-11-21", "2026-11-23"] {
            let visit = json!({
                "id": uuid::Uuid::new_v4(), "campaign_id": campaign, "booth_id": s.world.unit(booth),
                "visited_at": format!("{day}T10:00:00+05:30"), "outcome": "met", "people_met": 1,
            });
            s.admin.client.post("/v1/visits", visit).await.expect(201);
        }
    }
    // Two booths go to a new mandal under a new district, one of them from a day on, one since ever; a mandal follows.
    let file = "S1-D9,district,Ninth,,S1,,,,,,
S1-M9,mandal,Ninth,,S1-D9,,,,,,
S1-B1,,,,S1-M9,,,,,,2026-11-20
S1-B2,,,,S1-M9,,,,,,
S1-M2,,,,S1-D9,,,,,,2026-11-22
";
    assert_eq!(s.import(file).await.expect(200).json, done(2, 0, 3, 0));
    assert_lineages_follow_placements(&s.world.db).await;
    assert_exact(&s.world.db, "an import that moves units").await;
    let moved = "SELECT count(*) FROM (SELECT action, subject_ids FROM journal UNION ALL SELECT action, subject_ids FROM journal_inbox) j
                 WHERE action = 'unit.place' AND cardinality(subject_ids) = 3";
    assert_eq!(s.count(moved).await, 1);
    assert_eq!(s.import(file).await.expect(200).json, done(0, 0, 0, 5));
    // An older list without days does not undo the dated move, nor does a list of today rewrite the past.
    let lists = "S1-B1,,,,S1-M1,,,,,,\nS1-M2,,,,S1-D9,,,,,,\n";
    assert_eq!(s.import(lists).await.expect(200).json, done(0, 0, 0, 2));
}

#[actix_web::test]
async fn a_state_admin_imports_into_his_state_alone() {
    let s = Setting::new().await;
    let admin = s.world.actor(&s.app, Role::StateAdmin, "S1").await;
    let file = format!("{HEADER}S1,,Renamed,,IN,IN,,,,,\n{FILE}");
    assert_eq!(
        post(&admin.client, "", &file).await.expect(200).json,
        done(3, 1, 0, 0)
    );
    let file = format!(
        "{HEADER}S2-B1,,Mine,,,,,,,,\nS2-B9,booth,X,,S2-M1,,,,,,\nS3,state,X,,IN,IN,,,,,\nS1-B9,booth,X,,S2-M1,S1-AC1,,,,,\n"
    );
    let answer = post(&admin.client, "", &file).await.expect(422);
    let is = |line: u64, column: &str, code: &str| (line, column.to_owned(), code.to_owned());
    let found = errors(&answer);
    for error in [
        is(2, "code", "taken"),
        is(3, "organisation_parent", "unknown_parent"),
        is(4, "organisation_parent", "unknown_parent"),
        is(5, "organisation_parent", "unknown_parent"),
    ] {
        assert!(found.contains(&error), "{error:?} in {found:?}");
    }
    let coordinator = s.world.actor(&s.app, Role::DistrictCoordinator, "S1-D1").await;
    post(&coordinator.client, "", &file).await.expect(403);
    post(&s.app.anonymous(), "", &file).await.expect(401);
}

#[actix_web::test]
async fn the_same_key_gets_the_first_answer_and_another_file_under_it_is_refused() {
    let s = Setting::new().await;
    let client = s.admin.client.header("Idempotency-Key", "file-1");
    let file = format!("{HEADER}{FILE}");
    let first = post(&client, "", &file).await.expect(200);
    let again = post(&client, "", &file).await.expect(200);
    assert_eq!(again.body, first.body);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    post(&client, "", HEADER).await.expect(422);
}

#[actix_web::test]
async fn a_compressed_file_is_read_and_another_kind_of_body_is_not() {
    let s = Setting::new().await;
    let mut packed = gzip(format!("{HEADER}{FILE}").as_bytes());
    let body = Some(("text/csv", packed.clone()));
    let zipped = s.admin.client.header("Content-Encoding", "gzip");
    let answer = zipped.send("POST", "/v1/imports/units", body).await.expect(200);
    assert_eq!(answer.json, done(3, 0, 0, 0));
    packed.truncate(packed.len() / 2);
    let answer = zipped
        .send("POST", "/v1/imports/units", Some(("text/csv", packed)))
        .await;
    assert!((400..500).contains(&answer.status), "{}", answer.status);
    s.admin
        .client
        .post("/v1/imports/units", json!({}))
        .await
        .expect(415);
}

/// A gzip file of stored (uncompressed) blocks.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    let length = u16::try_from(bytes.len()).unwrap();
    out.extend(length.to_le_bytes());
    out.extend((!length).to_le_bytes());
    out.extend(bytes);
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    out.extend((!crc).to_le_bytes());
    out.extend(u32::from(length).to_le_bytes());
    out
}

#[actix_web::test]
async fn two_imports_of_one_file_at_once_make_its_units_once() {
    let s = Setting::new().await;
    let file = format!("{HEADER}{FILE}");
    let (a, b) = tokio::join!(post(&s.admin.client, "", &file), post(&s.admin.client, "", &file));
    let (a, b) = (a.expect(200).json, b.expect(200).json);
    let sum = |key: &str| a[key].as_i64().unwrap() + b[key].as_i64().unwrap();
    assert_eq!((sum("created"), sum("unchanged")), (3, 3));
    assert_eq!(
        s.count("SELECT count(*) FROM units WHERE code = 'S1-B7'").await,
        1
    );
}

/// Real files, which are not part of the project: `SAMPARK_REFERENCE_DATA`, or `shared/data` beside it.
fn reference(name: &str) -> Option<Vec<u8>> {
    #[expect(
        clippy::disallowed_methods,
        reason = "tests are told by the environment where the data is"
    )]
    let given = std::env::var_os("SAMPARK_REFERENCE_DATA").map(PathBuf::from);
    let folder = given.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data"));
    let file = std::fs::read(folder.join(name)).ok();
    if file.is_none() {
        eprintln!("SKIPPED: {name} is not in {}", folder.display());
    }
    file
}

#[actix_web::test]
async fn the_nation_and_its_largest_state_are_imported_and_read_back() {
    let (Some(india), Some(state)) = (reference("units_india.csv"), reference("units_uttar_pradesh.csv"))
    else {
        return;
    };
    use sampark::features::units::import::{Import, import_units};
    use sampark::features::units::{UnitImportView, import::Progress};
    let app = TestApp::start().await;
    let db = app.database.connect().await;
    let import = async |file: Vec<u8>| -> UnitImportView {
        let how = Import::by_program(&app.state.db, &app.clock, false)
            .await
            .unwrap();
        let source = futures_util::stream::iter([Ok(file.into())]);
        let reply = import_units(&app.state.db, how, source, |_: Progress| {})
            .await
            .unwrap();
        serde_json::from_slice(&reply.body).unwrap()
    };
    assert_eq!(import(india).await.created, 5395);
    assert_eq!(import(state.clone()).await.created, 140_886);
    let again = import(state).await;
    assert_eq!(
        (again.created, again.updated, again.moved, again.unchanged),
        (0, 0, 0, 140_886)
    );
    let one = async |sql: &str| -> i64 { db.query_one(sql, &[]).await.unwrap().get(0) };
    let under = "SELECT count(*) FROM lineages l JOIN units b ON b.id = l.unit_id AND b.level = 'booth'
                 JOIN units s ON s.code = 'S24' AND s.id = ANY (l.unit_ids)";
    assert_eq!(one(under).await, 138_771);
    assert_eq!(
        one(
            "SELECT count(*) FROM units u WHERE NOT EXISTS (SELECT 1 FROM lineages l WHERE l.unit_id = u.id)"
        )
        .await,
        0
    );
    let booth = "SELECT array_to_string(array_agg(u.code ORDER BY u.code), ' ') FROM lineages l JOIN units b ON b.id = l.unit_id
                 JOIN units u ON u.id = ANY (l.unit_ids) WHERE b.code = 'S24-AC001-B0001'";
    let lineage: String = db.query_one(booth, &[]).await.unwrap().get(0);
    assert_eq!(
        lineage,
        "IN S24 S24-AC001 S24-AC001-B0001 S24-AC001-M1 S24-D-saharanpur S24-PC01"
    );
}

//! Results of elections, and target seats made from them.

use sampark::access::Role;
use serde_json::{Value, json};

use crate::support::{Answer, Client, TestApp, World};

const FILE: &str = "election,constituency,candidate,party,votes\n\
    LS2014,S1-PC1,A. Kumar,Example Party,410846\n\
    LS2014,S1-PC1,B. Devi,Other Party,412345\n\
    LS2014,S1-PC1,C. Khan,Independent,9000\n\
    LS2014,S1-PC1,C. Khan,Independent,700\n\
    LS2014,S1-PC1,NOTA,NOTA,413000\n\
    LS2014,S2-PC1,D. Rao,EP,500000\n\
    LS2014,S2-PC1,E. Bai,Other  party,100000\n";

async fn import(client: &Client, path: &str, file: &str) -> Answer {
    client
        .send("POST", path, Some(("text/csv", file.as_bytes().to_vec())))
        .await
}

async fn scene() -> (TestApp, World, Client) {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let admin = world.actor(&app, Role::NationalAdmin, "IN").await.client;
    import(&admin, "/v1/imports/results", FILE).await.expect(200);
    (app, world, admin)
}

async fn seats(client: &Client, filter: &str) -> Value {
    client
        .get(&format!("/v1/elections/LS2014/seats?{filter}"))
        .await
        .expect(200)
        .json
}

fn codes(page: &Value) -> Vec<&str> {
    let items = page["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["unit"]["code"].as_str().unwrap())
        .collect()
}

async fn entries(world: &World, action: &str) -> i64 {
    let row = world
        .db
        .query_one(
            "SELECT (SELECT count(*) FROM journal WHERE action = $1) + (SELECT count(*) FROM journal_inbox WHERE action = $1)",
            &[&action],
        )
        .await
        .unwrap();
    row.get(0)
}

#[actix_web::test]
async fn results_are_imported_once_however_often_they_are_sent() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let admin = world.actor(&app, Role::NationalAdmin, "IN").await.client;
    let checked = import(&admin, "/v1/imports/results?dry_run=true", FILE)
        .await
        .expect(200);
    let wanted = json!({"rows": 7, "seats": 2, "seats_created": 2, "seats_replaced": 0, "elections_created": 1,
                        "party_names_created": 5, "dry_run": true});
    assert_eq!(checked.json, wanted);
    admin.get("/v1/elections/LS2014").await.expect(404);
    let done = import(&admin, "/v1/imports/results", FILE).await.expect(200);
    assert_eq!(
        (&done.json["seats_created"], &done.json["dry_run"]),
        (&json!(2), &json!(false))
    );
    let again = import(&admin, "/v1/imports/results", FILE).await.expect(200);
    let counts = [
        "seats",
        "seats_created",
        "seats_replaced",
        "elections_created",
        "party_names_created",
    ]
    .map(|name| again.json[name].as_i64().unwrap());
    assert_eq!(counts, [2, 0, 0, 0, 0]);
    // One a state, and none for what changed nothing.
    assert_eq!(entries(&world, "election.import").await, 2);
    let corrected = FILE.replace("500000", "500001");
    let done = import(&admin, "/v1/imports/results", &corrected)
        .await
        .expect(200);
    assert_eq!(done.json["seats_replaced"], 1);
    let path = format!("/v1/elections/LS2014/seats/{}", world.unit("S2-PC1"));
    let seat = admin.get(&path).await.expect(200).json;
    assert_eq!(seat["candidates"].as_array().unwrap().len(), 2);
    assert_eq!(
        (&seat["votes"], &seat["candidates"][0]["votes"]),
        (&json!(600_001), &json!(500_001))
    );
}

#[actix_web::test]
async fn a_file_with_errors_changes_nothing_and_names_line_column_and_reason() {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let admin = world.actor(&app, Role::StateAdmin, "S1").await.client;
    let file = "election,constituency,candidate,party,votes\n\
        LS2014,S1-PC1,A. Kumar,Example Party,410846\n\
        LS2014,S2-PC1,B. Devi,Other Party,1\n\
        LS2014,S1-M1,B. Devi,Other Party,1\n\
        ,S1-PC1,,Other Party,-1\n\
        LS2014,S1-PC1,X,Y\n";
    let answer = import(&admin, "/v1/imports/results", file).await.expect(422);
    let errors = answer.json["errors"].as_array().unwrap();
    let found: Vec<(i64, &str, &str)> = errors
        .iter()
        .map(|error| {
            let text = |name: &str| error[name].as_str().unwrap();
            (error["line"].as_i64().unwrap(), text("column"), text("code"))
        })
        .collect();
    assert_eq!(found, [(6, "", "wrong_width")]);
    let file = file.replace("LS2014,S1-PC1,X,Y\n", "");
    let answer = import(&admin, "/v1/imports/results", &file).await.expect(422);
    let errors = answer.json["errors"].as_array().unwrap();
    let found: Vec<(i64, &str)> = errors
        .iter()
        .map(|error| (error["line"].as_i64().unwrap(), error["column"].as_str().unwrap()))
        .collect();
    // Another state's seat and what is no seat are told alike: as if they did not exist.
    assert_eq!(
        found,
        [
            (3, "constituency"),
            (4, "constituency"),
            (5, "election"),
            (5, "candidate"),
            (5, "votes")
        ]
    );
    assert_eq!(errors[0]["reason"], errors[1]["reason"]);
    admin.get("/v1/elections/LS2014").await.expect(404);
    assert_eq!(entries(&world, "election.import").await, 0);
}

#[actix_web::test]
async fn deficit_is_the_partys_own_and_margin_the_seats() {
    let (_app, world, admin) = scene().await;
    let all = seats(&admin, "").await;
    assert_eq!(
        (codes(&all), &all["count"]),
        (vec!["S1-PC1", "S2-PC1"], &json!(2))
    );
    let seat = &all["items"][0];
    assert_eq!(seat["votes"], 410_846 + 412_345 + 9000 + 700 + 413_000);
    // NOTA has the most votes and cannot win.
    assert_eq!(
        (&seat["winner"]["candidate"], &seat["runner_up"]["place"]),
        (&json!("B. Devi"), &json!(2))
    );
    assert_eq!((&seat["margin"], &seat["party"]), (&json!(1499), &Value::Null));
    let lost = seats(&admin, "party=example%20PARTY&won=false").await;
    assert_eq!(codes(&lost), ["S1-PC1"]);
    assert_eq!(
        lost["items"][0]["party"],
        json!({"candidate": "A. Kumar", "votes": 410_846, "place": 2, "won": false, "deficit": 1499})
    );
    // The independents lost by far more than the seat's margin: one file, two meanings.
    assert_eq!(
        codes(&seats(&admin, "party=Independent&margin_below=1500").await),
        ["S1-PC1"]
    );
    assert_eq!(
        seats(&admin, "party=Independent&deficit_below=1500").await["count"],
        0
    );
    assert_eq!(
        seats(&admin, "party=Independent").await["items"][0]["party"]["votes"],
        9000
    );
    assert_eq!(
        seats(&admin, "party=Example%20Party&deficit_below=1499").await["count"],
        0
    );
    assert_eq!(
        seats(&admin, "party=Example%20Party&deficit_below=1500").await["count"],
        1
    );
    assert_eq!(codes(&seats(&admin, "margin_below=1500").await), ["S1-PC1"]);
    let won = seats(&admin, "party=Other%20Party&won=true").await;
    assert_eq!(won["items"][0]["party"]["deficit"], Value::Null);
    assert_eq!(
        codes(&seats(&admin, &format!("under={}", world.unit("S2"))).await),
        ["S2-PC1"]
    );
    for (filter, pointer) in [
        ("won=true", "/won"),
        ("deficit_below=5", "/deficit_below"),
        ("party=Nobody", "/party"),
        ("margin_below=0", "/margin_below"),
        ("sort=votes", "/sort"),
        ("sort=deficit", "/sort"),
        ("level=mandal", "/level"),
    ] {
        let answer = admin
            .get(&format!("/v1/elections/LS2014/seats?{filter}"))
            .await
            .expect(422);
        assert_eq!(answer.json["errors"][0]["pointer"], pointer, "{filter}");
    }
}

#[actix_web::test]
async fn pages_of_seats_in_any_order_hold_each_once() {
    let (_app, _world, admin) = scene().await;
    for (sort, wanted) in [
        ("code", ["S1-PC1", "S2-PC1"]),
        ("margin", ["S1-PC1", "S2-PC1"]),
        ("-margin", ["S2-PC1", "S1-PC1"]),
    ] {
        let first = seats(&admin, &format!("limit=1&sort={sort}")).await;
        let cursor = first["next_cursor"].as_str().unwrap();
        let second = seats(&admin, &format!("limit=1&sort={sort}&cursor={cursor}")).await;
        assert_eq!([codes(&first)[0], codes(&second)[0]], wanted, "{sort}");
        assert_eq!(
            (&second["next_cursor"], &second["count"]),
            (&Value::Null, &json!(2))
        );
    }
}

#[actix_web::test]
async fn names_of_a_party_are_joined_and_parted_without_touching_a_result() {
    let (app, world, admin) = scene().await;
    assert_eq!(seats(&admin, "party=EP").await["count"], 1);
    let party = admin.get("/v1/parties?q=example").await.expect(200).json["items"][0].clone();
    let path = format!("/v1/parties/{}/names", party["id"]);
    let state = world.actor(&app, Role::StateAdmin, "S1").await.client;
    state.post(&path, json!({"name": "EP"})).await.expect(403);
    let joined = admin.post(&path, json!({"name": " ep "})).await.expect(201).json;
    assert_eq!(joined["name"], "Example Party");
    assert_eq!(joined["names"][1]["name"], "EP");
    for name in ["EP", "Example%20Party"] {
        assert_eq!(
            seats(&admin, &format!("party={name}")).await["count"],
            2,
            "{name}"
        );
    }
    // A name nobody has used yet is ready for the next file.
    admin.post(&path, json!({"name": "Example P."})).await.expect(201);
    let name = format!("{path}/{}", joined["names"][1]["id"]);
    state.delete(&name).await.expect(403);
    let parted = admin.delete(&name).await.expect(200).json;
    assert_eq!(parted["name"], "EP");
    assert_eq!(seats(&admin, "party=Example%20Party").await["count"], 1);
    let only = format!("/v1/parties/{}/names/{}", parted["id"], parted["names"][0]["id"]);
    admin.delete(&only).await.expect(409);
    admin.delete(&name).await.expect(404);
    assert_eq!(
        (
            entries(&world, "party.join").await,
            entries(&world, "party.part").await
        ),
        (2, 1)
    );
}

#[actix_web::test]
async fn a_state_sees_its_own_seats_and_others_as_if_they_did_not_exist() {
    let (app, world, admin) = scene().await;
    let state = world.actor(&app, Role::StateAdmin, "S1").await.client;
    let page = seats(&state, "").await;
    assert_eq!((codes(&page), &page["count"]), (vec!["S1-PC1"], &json!(1)));
    let foreign = format!("/v1/elections/LS2014/seats/{}", world.unit("S2-PC1"));
    state.get(&foreign).await.expect(404);
    admin.get(&foreign).await.expect(200);
    state
        .get(&format!("/v1/elections/LS2014/seats?under={}", world.unit("S2")))
        .await
        .expect(404);
    let worker = world.actor(&app, Role::BoothWorker, "S1-B1").await.client;
    worker.get("/v1/elections/LS2014/seats").await.expect(403);
}

#[actix_web::test]
async fn an_election_is_named_by_the_nation() {
    let (app, world, admin) = scene().await;
    let path = "/v1/elections/LS2014";
    assert_eq!(admin.get(path).await.expect(200).json["name"], "LS2014");
    let patch = json!({"name": "Lok Sabha 2014", "held_on": "2014-05-16"});
    let named = admin
        .header("If-Match", "\"1\"")
        .patch(path, patch.clone())
        .await
        .expect(200);
    assert_eq!(
        (&named.json["version"], &named.json["held_on"]),
        (&json!(2), &json!("2014-05-16"))
    );
    admin
        .header("If-Match", "\"1\"")
        .patch(path, patch.clone())
        .await
        .expect(412);
    let state = world.actor(&app, Role::StateAdmin, "S1").await.client;
    state
        .header("If-Match", "\"2\"")
        .patch(path, patch)
        .await
        .expect(403);
    assert_eq!(entries(&world, "election.write").await, 1);
}

/// The known answers of the public results of 2014, where they are at hand.
#[actix_web::test]
async fn the_known_answers_of_2014_come_out() {
    let data = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let (units, results) = (data.join("units_india.csv"), data.join("results_ls2014.csv"));
    if !units.exists() || !results.exists() {
        eprintln!(
            "SKIPPED: the public results of 2014 are not at {}",
            data.display()
        );
        return;
    }
    let app = TestApp::start().await;
    let nobody = World {
        units: std::collections::BTreeMap::new(),
        db: app.database.connect().await,
    };
    nobody
        .db
        .batch_execute(
            "INSERT INTO units (id, code, level, name, state_id, created_at, updated_at)
             VALUES (1, 'IN', 'nation', 'India', 1, now(), now());
             INSERT INTO lineages (unit_id, valid_from, state_id, unit_ids) VALUES (1, '0001-01-01', 1, '{1}');
             SELECT setval('units_id_seq', 1000)",
        )
        .await
        .unwrap();
    let world = World {
        units: [("IN".to_owned(), 1)].into(),
        db: nobody.db,
    };
    let admin = world.actor(&app, Role::NationalAdmin, "IN").await.client;
    let units = std::fs::read_to_string(units).unwrap();
    import(&admin, "/v1/imports/units", &units).await.expect(200);
    let results = std::fs::read_to_string(results).unwrap();
    let done = import(&admin, "/v1/imports/results", &results)
        .await
        .expect(200)
        .json;
    assert_eq!((&done["rows"], &done["seats"]), (&json!(8794), &json!(543)));
    let bjp = "party=Bharatiya%20Janata%20Party";
    let count = async |filter: &str| seats(&admin, &format!("{bjp}{filter}")).await["count"].clone();
    assert_eq!(count("").await, 428);
    assert_eq!(count("&won=false").await, 146);
    assert_eq!(count("&won=true").await, 282);
    let narrow = seats(&admin, &format!("{bjp}&deficit_below=5000&sort=deficit")).await;
    let found: Vec<(&str, &str, i64)> = narrow["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|seat| {
            let text = |name: &str| seat["unit"][name].as_str().unwrap();
            (
                text("code"),
                text("name"),
                seat["party"]["deficit"].as_i64().unwrap(),
            )
        })
        .collect();
    assert_eq!(narrow["count"], 2);
    assert_eq!((found[0].0, found[0].2), ("S10-PC06", 1499));
    assert_eq!((found[1].0, found[1].2), ("S10-PC01", 3003));
    let rule = json!({"election": "LS2014", "party": "Bharatiya Janata Party", "won": false});
    let set = json!({"name": "Seats to win", "unit_id": 1, "level": "parliamentary_constituency",
                     "version": {"valid_from": "2026-11-23", "reason": "Lost in 2014", "rule": rule}});
    let made = admin.post("/v1/target-sets", set).await.expect(201).json;
    assert_eq!(made["current"]["member_count"], 146);
}

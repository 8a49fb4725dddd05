//! A draw made anew from its record, by code that shares nothing with the program's: from docs/auditing.md alone.

use std::collections::BTreeMap;
use std::process::Command;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Scene, scene};

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// JSON without spaces, keys in order.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            let fields = keys
                .iter()
                .map(|key| format!("{}:{}", json!(key), canonical(&map[*key])));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        }
        other => other.to_string(),
    }
}

/// The ids of the drawn visits in order, with the digest and the seed that lead to them.
fn remade(draw: &Value, frame: &[Value]) -> (Vec<String>, String, String) {
    let outcomes: Vec<String> = draw["outcomes"].as_array().unwrap().iter().map(text).collect();
    let outcomes = if outcomes.is_empty() {
        "every".to_owned()
    } else {
        outcomes.join(",")
    };
    let mut lines = format!(
        "sampark draw 1\nunit {}\ncampaign {}\ndays {} {}\noutcomes {outcomes}\nstrata {}\nsize {}\ndecision_number {}\n\
         unconfirmed {}\ncompare {}\nvisits {}\n",
        draw["unit_id"],
        draw["campaign_id"],
        text(&draw["from"]),
        text(&draw["to"]),
        text(&draw["strata"]),
        draw["size"],
        draw["decision_number"],
        text(&draw["unconfirmed"]),
        canonical(&draw["compare"]),
        frame.len(),
    );
    for item in frame {
        lines += &format!(
            "{} {} {} {}\n",
            text(&item["visit_id"]),
            item["version"],
            item["booth_id"],
            item["worker_id"]
        );
    }
    let frame_digest = digest(&SHA256, lines.as_bytes());
    let head = &draw["seed"]["head"];
    let decoded = |value: &Value| STANDARD.decode(value.as_str().unwrap()).unwrap();
    let id = u32::try_from(draw["id"].as_u64().unwrap()).unwrap();
    let parts = [
        decoded(&head["root"]),
        decoded(&head["signature"]),
        id.to_be_bytes().to_vec(),
        frame_digest.as_ref().to_vec(),
    ];
    let seed = digest(&SHA256, &parts.concat());
    let key = hmac::Key::new(hmac::HMAC_SHA256, seed.as_ref());
    let lot = |what: &str, of: &[u8]| {
        hmac::sign(&key, &[what.as_bytes(), of].concat())
            .as_ref()
            .to_vec()
    };

    let mut strata: BTreeMap<u32, Vec<(Vec<u8>, String)>> = BTreeMap::new();
    for item in frame {
        let stratum = match draw["strata"].as_str().unwrap() {
            "none" => 0,
            by => u32::try_from(item[format!("{by}_id")].as_u64().unwrap()).unwrap(),
        };
        let visit: Uuid = item["visit_id"].as_str().unwrap().parse().unwrap();
        strata
            .entry(stratum)
            .or_default()
            .push((lot("visit", visit.as_bytes()), visit.to_string()));
    }
    let all = frame.len() as u128;
    let size = u128::from(draw["size"].as_u64().unwrap());
    let start = lot("start", &[])[..8]
        .iter()
        .fold(0_u128, |sum, byte| sum * 256 + u128::from(*byte))
        % all;
    // Every point is looked at, one by one.
    let points: Vec<u128> = (0..=size).map(|k| start + k * all).collect();
    let mut order: Vec<u32> = strata.keys().copied().collect();
    order.sort_by_key(|stratum| lot("stratum", &stratum.to_be_bytes()));
    let (mut begin, mut drawn) = (0, Vec::new());
    for stratum in order {
        let lots = strata.get_mut(&stratum).unwrap();
        lots.sort();
        let share = size * lots.len() as u128;
        let end = begin + share % all;
        let more = points
            .iter()
            .filter(|point| begin <= **point && **point < end)
            .count();
        begin = end;
        let seats = usize::try_from(share / all).unwrap() + more;
        drawn.extend(lots.iter().take(seats).cloned());
    }
    drawn.sort();
    let ids = drawn.into_iter().map(|(_, id)| id).collect();
    (ids, STANDARD.encode(frame_digest), STANDARD.encode(seed))
}

fn on_record(draw: &Value) -> (Vec<String>, String, String) {
    let ids = draw["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| text(&item["visit_id"]));
    (
        ids.collect(),
        text(&draw["frame_digest"]),
        text(&draw["seed"]["seed"]),
    )
}

/// Draws of every kind over booths of very different sizes: their records.
async fn records(s: &Scene) -> Vec<(Value, Vec<Value>)> {
    for (booth, count) in [(0, 23), (1, 9), (2, 2)] {
        s.record(booth, count).await;
    }
    let mut records = Vec::new();
    for changes in [
        json!({"strata": "none"}),
        json!({"strata": "booth", "plan": {"size": 3, "decision_number": 1}, "outcomes": ["met", "refused"]}),
        json!({"strata": "worker", "plan": {"size": 11, "decision_number": 3}, "unconfirmed": "left_out"}),
        json!({"strata": "booth", "plan": {"size": 50, "decision_number": 9},
               "compare": {"outcome": "exact", "day_within": null, "people_met_within": 1, "answers": {"need": {"rule": "ignored"}}}}),
    ] {
        let path = s.request(changes).await;
        s.seed(&path).await;
        s.close(&path).await;
        records.push((s.read(&path).await, s.pages(&format!("{path}/frame")).await));
    }
    records
}

#[actix_web::test]
async fn a_draw_made_anew_from_its_record_is_the_same() {
    let s = scene().await;
    for (draw, frame) in records(&s).await {
        assert_eq!(remade(&draw, &frame), on_record(&draw), "{draw}");
        // A record that was tampered with leads elsewhere.
        for (pointer, value) in [("/decision_number", json!(99)), ("/seed/head/size", json!(99))] {
            let mut other = draw.clone();
            *other.pointer_mut(pointer).unwrap() = value;
            let differs = remade(&other, &frame) != on_record(&draw);
            assert_eq!(
                differs,
                pointer != "/seed/head/size",
                "the size is in the signed text, not in the seed"
            );
        }
        let mut other = frame.clone();
        other.swap(0, 1);
        assert_ne!(remade(&draw, &other).1, on_record(&draw).1);
    }
}

#[actix_web::test]
async fn the_written_script_makes_a_draw_anew() {
    let s = scene().await;
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("SKIPPED: there is no python3 here, so docs/redraw.py was not run");
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/redraw.py");
    let run = |draw: &Value, frame: &[Value]| {
        let (draw_file, frame_file) = (
            s.app.database.scratch_file("draw.json"),
            s.app.database.scratch_file("frame.json"),
        );
        std::fs::write(&draw_file, draw.to_string()).unwrap();
        std::fs::write(&frame_file, json!(frame).to_string()).unwrap();
        Command::new("python3")
            .arg(script)
            .args([draw_file, frame_file])
            .output()
            .unwrap()
    };
    for (draw, frame) in records(&s).await {
        let done = run(&draw, &frame);
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(
            done.status.success(),
            "{said}{}",
            String::from_utf8_lossy(&done.stderr)
        );
        assert_eq!(said.matches("as on record").count(), 3, "{said}");
        let mut other = draw.clone();
        other["items"][0]["visit_id"] = other["items"][1]["visit_id"].clone();
        assert!(!run(&other, &frame).status.success());
    }
}

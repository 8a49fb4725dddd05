//! The picture in docs/auditing.md: drawn from what the program answers about a made-up mandal, so that it stays true.

use serde_json::Value;

use super::recount::{Row, insert};
use super::{Scene, day};
use crate::openapi::compare;

/// Twelve workers with 80 visits each; the twelfth makes his up.
async fn fill(s: &Scene) {
    let mut rows = Vec::new();
    for worker in 1..=12 {
        let invents = worker == 12;
        for n in 0..80 {
            let met = if invents {
                n < 78
            } else {
                n * 7 % 40 < 15 + worker % 6
            };
            let took = if invents {
                22 + n % 3
            } else {
                150 + worker * 17 % 90 + n * 13 % 60
            };
            let answers = if invents {
                1
            } else {
                1 + (n / 2 * 3 + worker * n / 7) % (3 + worker % 3)
            };
            rows.push(Row {
                booth: s.world.unit("S1-B1"),
                worker,
                met,
                at: (1 + u32::try_from(n).unwrap() % 20, 600),
                duration_s: Some(took),
                answers: u8::try_from(answers).unwrap(),
                ..Row::plain()
            });
        }
    }
    insert(&s.world, s.campaign, &rows).await;
}

const WIDTH: f64 = 720.0;
const LEFT: f64 = 170.0;
const RIGHT: f64 = 690.0;

/// One indicator: its name for people, its key, the end of its scale, and how a number is written.
const STRIPS: [(&str, &str, f64, &str); 3] = [
    ("contact rate", "contact_rate", 1.0, "%"),
    ("median duration", "median_duration_s", 280.0, " s"),
    ("repeated answers", "repeated_answers", 1.0, "%"),
];

fn number(value: f64, unit: &str) -> String {
    let shown = if unit == "%" { value * 100.0 } else { value };
    format!("{shown:.0}{unit}")
}

fn strip(items: &[Value], top: f64, (name, key, end, unit): (&str, &str, f64, &str)) -> String {
    let x = |value: f64| LEFT + (RIGHT - LEFT) * (value / end).clamp(0.0, 1.0);
    let middle = top + 34.0;
    let spread = &items[0]["indicators"][key]["spread"];
    let at = |part: &str| spread[part].as_f64().unwrap();
    let (median, first, third) = (at("median"), at("first_quartile"), at("third_quartile"));
    let reach = 3.5 * at("mad").max(if unit == "%" { 0.01 } else { 2.0 }) / 0.6745;
    let band = |low: f64, high: f64, class: &str, half: f64| {
        format!(
            "<rect class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>\n",
            x(low),
            middle - half,
            x(high) - x(low),
            half * 2.0
        )
    };
    let mut out = format!(
        "<text class=\"name\" x=\"10\" y=\"{:.1}\">{name}</text>\n",
        middle + 4.0
    );
    out += &band((median - reach).max(0.0), median + reach, "near", 17.0);
    out += &band(first, third, "half", 17.0);
    out += &format!(
        "<line class=\"median\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{1:.1}\" y2=\"{2:.1}\"/>\n",
        x(median),
        middle - 20.0,
        middle + 20.0
    );
    out += &format!(
        "<text class=\"scale\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\n",
        x(median),
        middle - 24.0,
        number(median, unit)
    );
    out += &format!(
        "<line class=\"axis\" x1=\"{LEFT:.1}\" x2=\"{RIGHT:.1}\" y1=\"{0:.1}\" y2=\"{0:.1}\"/>\n",
        middle + 20.0
    );
    for tick in 0..=4 {
        let value = end * f64::from(tick) / 4.0;
        out += &format!(
            "<text class=\"scale\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\n",
            x(value),
            middle + 34.0,
            number(value, unit)
        );
    }
    // In the order of their numbers, a little apart, so that equal values show.
    let mut peers: Vec<(i64, f64, f64)> = items
        .iter()
        .map(|item| {
            let figure = &item["indicators"][key];
            (
                item["worker_id"].as_i64().unwrap(),
                figure["value"].as_f64().unwrap(),
                figure["robust_z"].as_f64().unwrap(),
            )
        })
        .collect();
    peers.sort_by_key(|peer| peer.0);
    for (worker, value, z) in peers {
        let y = middle + ((worker % 5) as f64 - 2.0) * 5.0;
        let class = if z.abs() > 3.5 { "far" } else { "peer" };
        out += &format!(
            "<circle class=\"{class}\" cx=\"{:.1}\" cy=\"{y:.1}\" r=\"4\"/>\n",
            x(value)
        );
        if z.abs() > 3.5 {
            let place = if value > end / 2.0 {
                ("end", -9.0)
            } else {
                ("start", 9.0)
            };
            out += &format!(
                "<text class=\"told\" text-anchor=\"{}\" x=\"{:.1}\" y=\"{:.1}\">worker {worker}: {}, z {z:+.1}</text>\n",
                place.0,
                x(value) + place.1,
                y + 4.0,
                number(value, unit)
            );
        }
    }
    out
}

fn picture(items: &[Value]) -> String {
    let height = 40.0 + 100.0 * STRIPS.len() as f64 + 20.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-label=\"Twelve workers of a mandal by three indicators; one of them lies far from the others in each\">\n\
         <style>text{{font:12px sans-serif;fill:#222}}.name{{font-weight:bold}}.scale{{font-size:10px;text-anchor:middle;fill:#666}}\
         .told{{fill:#b00020}}.near{{fill:#eef2f6}}.half{{fill:#cfdbe6}}.median{{stroke:#44607c;stroke-width:2}}\
         .axis{{stroke:#999}}.peer{{fill:#44607c}}.far{{fill:#b00020}}</style>\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"10\" y=\"20\">A mandal's workers: each dot is one of them. Dark band: the middle half. Light band: within z 3.5.</text>\n"
    );
    for (n, what) in STRIPS.iter().enumerate() {
        out += &strip(items, 40.0 + 100.0 * n as f64, *what);
    }
    out + "</svg>\n"
}

#[actix_web::test]
async fn written_picture_of_indicators_is_what_the_program_answers() {
    let s = Scene::build().await;
    assert_eq!(day(23), s.app.clock.today());
    fill(&s).await;
    let items = s.list("S1-M1", "worker", 500).await;
    assert_eq!(
        (items.len(), &items[0]["worker_id"]),
        (12, &serde_json::json!(12))
    );
    for (_, key, ..) in STRIPS {
        let far = items
            .iter()
            .filter(|item| item["indicators"][key]["robust_z"].as_f64().unwrap().abs() > 3.5);
        assert_eq!(far.count(), 1, "{key}");
    }
    compare("docs/pictures/audit-indicators.svg", &picture(&items));
}

//! The rows of what the direction is told by: measures and strength.

use serde_json::{Value, json};

use super::{Ask, Kind, Scene};

impl Scene {
    /// The row of an operation of these features.
    pub(super) async fn measure_row(&self, operation: &str) -> Option<(Kind, Ask)> {
        let (booth, state) = (self.world.unit("S1-B1"), self.world.unit("S1"));
        let ask = |method, path: String| Ask {
            method,
            path,
            body: None,
            tag: None,
        };
        let with = |mut ask: Ask, body: Value| {
            ask.body = Some(("application/json", body.to_string()));
            ask
        };
        let row = match operation {
            "list_indicators" => (Kind::Public, ask("GET", "/v1/indicators".into())),
            "list_targets" => (Kind::At, ask("GET", format!("/v1/units/{booth}/targets"))),
            "set_target" => {
                let body = json!({"indicator": "contact_rate", "level": "booth", "value": 50, "valid_from": "2026-11-23",
                                  "reason": "As decided"});
                (
                    Kind::At,
                    with(ask("POST", format!("/v1/units/{booth}/targets")), body),
                )
            }
            "list_shortfalls" => {
                let path = format!("/v1/units/{booth}/shortfalls?level=booth");
                (Kind::At, ask("GET", path))
            }
            "list_shortfall_snapshots" => {
                let path = format!("/v1/units/{booth}/shortfalls/snapshots");
                (Kind::At, ask("GET", path))
            }
            "take_shortfall_snapshot" | "get_shortfall_snapshot" | "compare_shortfall_snapshot" => {
                let path = format!("/v1/units/{booth}/shortfalls/snapshots");
                let body = json!({"name": "Review", "asked": {"level": "booth"}});
                if operation == "take_shortfall_snapshot" {
                    return Some((Kind::At, with(ask("POST", path), body)));
                }
                let made = self.admin.post(&path, body).await.expect(201).json;
                let path = format!("/v1/shortfall-snapshots/{}", made["snapshot"]["id"]);
                let tail = if operation == "get_shortfall_snapshot" {
                    ""
                } else {
                    "/comparison"
                };
                (Kind::At, ask("GET", format!("{path}{tail}")))
            }
            "get_strength" => (Kind::At, ask("GET", format!("/v1/units/{booth}/strength"))),
            "list_grade_changes" => (
                Kind::At,
                ask("GET", format!("/v1/units/{booth}/strength/changes")),
            ),
            "get_grade_history" => (
                Kind::At,
                ask("GET", format!("/v1/units/{booth}/strength/history")),
            ),
            "list_strength_rules" => (Kind::At, ask("GET", format!("/v1/units/{booth}/strength/rules"))),
            "make_strength_rule" => {
                let body = json!({"reason": "As decided", "rule": {"days": 30, "grades": {"a": 80, "b": 50, "c": 20},
                    "parts": [{"indicator": "contact_rate", "weight": 1, "full": 50}]}});
                (
                    Kind::At,
                    with(ask("POST", format!("/v1/units/{state}/strength/rules")), body),
                )
            }
            "request_grading" => (
                Kind::At,
                ask("POST", format!("/v1/units/{state}/strength/grading")),
            ),
            _ => return None,
        };
        Some(row)
    }
}

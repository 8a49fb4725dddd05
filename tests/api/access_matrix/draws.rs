//! The rows of draws and back-checks.

use chrono::{NaiveDate, TimeDelta};
use serde_json::{Value, json};

use super::{Ask, Kind, Scene, draw_of};

impl Scene {
    /// The row of an operation if it is about draws.
    pub(super) async fn draw_row(&self, operation: &str, n: u32) -> Option<(Kind, Ask)> {
        let draw = &self.draw;
        let booth = self.world.unit("S1-B1");
        let ask = |method, path: String, body: Option<Value>| Ask {
            method,
            path,
            body: body.map(|body| ("application/json", body.to_string())),
            tag: None,
        };
        let get = |path: String| ask("GET", path, None);
        let post = |path: String, body: Value| ask("POST", path, Some(body));
        Some(match operation {
            "list_draws" => (Kind::List, get("/v1/draws?limit=500".into())),
            "get_draw" => (Kind::At, get(draw.clone())),
            "list_draw_frame" => (Kind::At, get(format!("{draw}/frame"))),
            "list_back_checks" => (Kind::At, get(format!("{draw}/back-checks"))),
            "seed_draw" => (Kind::At, post(format!("{draw}/seed"), json!({}))),
            "assign_draw" => {
                let path = format!("{draw}/assignments");
                (Kind::At, post(path, json!({"spread_among": []})))
            }
            "create_draw" => (Kind::At, post("/v1/draws".into(), self.new_draw(n))),
            "close_draw" => {
                let made = self.admin.post("/v1/draws", self.new_draw(n)).await.expect(201);
                let path = made.header("location").unwrap().to_owned();
                self.admin
                    .post(&format!("{path}/seed"), json!({}))
                    .await
                    .expect(200);
                let why = json!({"reason": "The verifier fell ill"});
                (Kind::At, post(format!("{path}/close"), why))
            }
            "list_my_back_checks" => (Kind::SignedIn, get("/v1/me/back-checks".into())),
            // Of a visit that was given to nobody; that a verifier may is told in draws.rs.
            "record_back_check" => {
                let check = crate::draws::only(draw, 1, "refused");
                (Kind::At, post("/v1/back-checks".into(), check))
            }
            "get_audited_totals" => (Kind::At, get(format!("/v1/units/{booth}/audited-totals"))),
            "list_audited_children" => {
                let path = format!("/v1/units/{booth}/audited-totals/children");
                (Kind::At, get(path))
            }
            _ => return None,
        })
    }

    /// A draw of days of its own.
    fn new_draw(&self, n: u32) -> Value {
        let first: NaiveDate = "2026-10-31".parse().unwrap();
        let from = first - TimeDelta::days(n.into());
        draw_of(&self.world, self.campaign, &from.to_string())
    }
}

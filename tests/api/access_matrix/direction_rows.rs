//! The rows of what directs the work: tasks and tours.

use sampark::access::Role;
use serde_json::{Value, json};

use super::{Ask, Kind, Scene};
use crate::pravas;
use crate::support::Actor;
use crate::tasks::{report, task};

fn ask(method: &'static str, path: String) -> Ask {
    Ask {
        method,
        path,
        body: None,
        tag: None,
    }
}

fn with(ask: Ask, body: &Value) -> Ask {
    Ask {
        body: Some(("application/json", body.to_string())),
        ..ask
    }
}

impl Scene {
    /// The row of an operation, if it is one of these.
    pub(super) async fn direction_row(
        &self,
        operation: &str,
        n: u32,
        actor: Option<&Actor>,
    ) -> Option<(Kind, Ask)> {
        let booth = self.world.unit("S1-B1");
        let (state, worker) = (self.world.unit("S1"), self.worker_id);
        let own = format!("/v1/tasks/{}", self.task);
        let ask = match operation {
            "list_tasks" => return Some((Kind::List, ask("GET", "/v1/tasks?limit=500".into()))),
            "create_task" => with(ask("POST", "/v1/tasks".into()), &task(booth, "booth")),
            "get_task" => ask("GET", own),
            "update_task" => {
                let change = json!({"title": format!("Task {n}"), "reason": "Better said"});
                Ask {
                    tag: self.tag(&own).await,
                    ..with(ask("PATCH", own), &change)
                }
            }
            "list_task_versions" => ask("GET", format!("{own}/versions")),
            "list_task_units" => ask("GET", format!("{own}/units")),
            "get_task_standing" => ask("GET", format!("{own}/units/{booth}")),
            "record_task_report" => {
                let report = report(&json!(self.task), booth, "accepted");
                with(ask("POST", "/v1/task-reports".into()), &report)
            }
            "give_task_verdict" => {
                let task = self.admin.post("/v1/tasks", task(booth, "booth")).await;
                let task = &task.expect(201).json["id"];
                let report = report(task, booth, "done");
                self.admin
                    .post("/v1/task-reports", report.clone())
                    .await
                    .expect(201);
                let verdict = json!({"report_id": report["id"], "verdict": "verified"});
                with(
                    ask("POST", format!("/v1/tasks/{task}/units/{booth}/verdict")),
                    &verdict,
                )
            }
            "list_unit_tasks" => ask("GET", format!("/v1/units/{booth}/tasks")),
            "get_task_counts" => ask("GET", format!("/v1/units/{booth}/task-counts")),
            "list_task_counts_of_children" => ask("GET", format!("/v1/units/{booth}/task-counts/children")),
            "list_overdue_tasks" => ask("GET", format!("/v1/units/{booth}/overdue-tasks")),
            "list_worker_posts" => ask("GET", format!("/v1/workers/{worker}/posts")),
            "list_unit_posts" => ask("GET", format!("/v1/units/{booth}/posts")),
            "list_my_posts" => return Some((Kind::SignedIn, ask("GET", "/v1/me/posts".into()))),
            // What it does is told in cadre.rs: here the post is over, which is 409.
            "confirm_post" => {
                let id = match actor {
                    Some(actor) => {
                        let (role, days) = (Role::BoothWorker, ("2020-01-01", Some("2020-01-31")));
                        let past = self.world.grant(actor.worker_id, role, "S1-B1", days.0, days.1);
                        past.await
                    }
                    None => 1,
                };
                let path = format!("/v1/me/posts/{id}/confirmation");
                return Some((Kind::Refused, ask("POST", path)));
            }
            "get_committees" => ask("GET", format!("/v1/units/{booth}/committees")),
            "list_committees" => {
                let path = format!("/v1/units/{booth}/committees/children?level=booth");
                ask("GET", path)
            }
            "list_vacancies" => ask("GET", format!("/v1/units/{booth}/vacancies")),
            "list_committee_rules" => ask("GET", format!("/v1/units/{booth}/committee-rules")),
            "make_committee_rule" => {
                let body = json!({"posts": [{"post": "president", "count": 1}], "reason": "As decided"});
                let path = format!("/v1/units/{state}/committee-rules");
                with(ask("POST", path), &body)
            }
            "count_entrants" => ask("GET", format!("/v1/units/{booth}/entrants")),
            "list_entrants" => ask("GET", format!("/v1/units/{booth}/entrants/list")),
            _ => return self.pravas_row(operation, n).await,
        };
        Some((Kind::At, ask))
    }

    async fn pravas_row(&self, operation: &str, n: u32) -> Option<(Kind, Ask)> {
        let booth = self.world.unit("S1-B1");
        let tour = format!("/v1/pravas/{}", self.pravas["pravas"]["id"]);
        let stop = format!("{tour}/stops/{}", self.pravas["stops"][0]["id"]);
        let ask = match operation {
            "list_pravas" => return Some((Kind::List, ask("GET", "/v1/pravas?limit=500".into()))),
            "create_pravas" => with(
                ask("POST", "/v1/pravas".into()),
                &pravas::tour(booth, self.worker_id),
            ),
            "get_pravas" => ask("GET", tour),
            "update_pravas" => Ask {
                tag: self.tag(&tour).await,
                ..with(ask("PATCH", tour), &json!({"title": format!("Tour {n}")}))
            },
            "create_pravas_stop" => with(ask("POST", format!("{tour}/stops")), &pravas::stop(booth)),
            "get_pravas_stop" => ask("GET", stop),
            "update_pravas_stop" => Ask {
                tag: self.tag(&stop).await,
                ..with(ask("PATCH", stop), &json!({"purpose": format!("Meeting {n}")}))
            },
            "record_stop_report" => with(ask("POST", format!("{stop}/reports")), &pravas::report()),
            "list_pravas_reviews" => ask("GET", format!("{tour}/reviews")),
            "create_pravas_review" => with(
                ask("POST", format!("{tour}/reviews")),
                &json!({"held_on": "2026-11-23", "summary": "Reviewed"}),
            ),
            "list_pravas_seats" => ask("GET", format!("/v1/units/{booth}/pravas/seats")),
            "list_pravas_leaders" => ask("GET", format!("/v1/units/{booth}/pravas/leaders")),
            "list_unit_stops" => ask("GET", format!("/v1/units/{booth}/pravas/stops")),
            "list_missing_stop_reports" => ask("GET", format!("/v1/units/{booth}/pravas/missing-reports")),
            _ => return self.measure_row(operation).await,
        };
        Some((Kind::At, ask))
    }
}

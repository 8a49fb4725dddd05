//! The rows: for each operation, what it is and a request that succeeds if it is allowed.

use chrono::{NaiveDate, TimeDelta};
use sampark::access::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Ask, Kind, Scene};
use crate::support::Actor;

impl Scene {
    /// The number of the first entry at a booth, once it is posted and in the tree.
    async fn posted_at(&self, booth: i32) -> i64 {
        let sql = "SELECT min(j.number) FROM journal j JOIN journal_heads h USING (state_id)
                   WHERE j.unit_id = $1 AND j.number <= h.tree_size";
        loop {
            let row = self.world.db.query_one(sql, &[&booth]).await.unwrap();
            match row.get(0) {
                Some(number) => return number,
                None => tokio::task::yield_now().await,
            }
        }
    }

    /// The row of an operation: what it is, and a request that succeeds if it is allowed.
    pub(super) async fn row(&self, operation: &str, actor: Option<&Actor>) -> (Kind, Ask) {
        let (booth, state) = (self.world.unit("S1-B1"), self.world.unit("S1"));
        let (campaign, worker, visit) = (self.campaign, self.worker_id, &self.visit);
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
        let csv = |path: &str, text: String| Ask {
            body: Some(("text/csv", text)),
            ..ask("POST", path.to_owned())
        };
        let n = self.fresh();
        if let Some(row) = self.draw_row(operation, n).await {
            return row;
        }
        match operation {
            "get_health" => (Kind::Open, ask("GET", "/healthz".into())),
            "get_readiness" => (Kind::Open, ask("GET", "/readyz".into())),
            "get_metrics" => (Kind::Open, ask("GET", "/metrics".into())),
            "get_problem" => (Kind::Open, ask("GET", "/problems/not_found".into())),
            "get_keys" => (Kind::Open, ask("GET", "/.well-known/jwks.json".into())),
            "request_code" => (
                Kind::Open,
                with(
                    ask("POST", "/v1/auth/otp".into()),
                    json!({"phone": "+919999999999"}),
                ),
            ),
            // Without a code nobody gets in; that with one he does is told in sessions.rs.
            "issue_token" => (
                Kind::Open,
                with(
                    ask("POST", "/v1/auth/token".into()),
                    json!({"grant_type": "password"}),
                ),
            ),
            "get_me" => (Kind::SignedIn, ask("GET", "/v1/me".into())),
            "list_devices" => (Kind::SignedIn, ask("GET", "/v1/auth/devices".into())),
            "log_out" => (Kind::SignedIn, ask("POST", "/v1/auth/logout".into())),
            "log_out_everywhere" => (Kind::SignedIn, ask("DELETE", "/v1/auth/devices".into())),
            "create_second_factor" => (Kind::SignedIn, ask("POST", "/v1/auth/second-factor".into())),
            // What it does is told in sign_in.rs: here no secret waits, which is 409.
            "confirm_second_factor" => (
                Kind::Refused,
                with(
                    ask("POST", "/v1/auth/second-factor/confirm".into()),
                    json!({"totp": "000000"}),
                ),
            ),
            "read_out_code" => (
                Kind::At,
                ask("POST", format!("/v1/workers/{worker}/sign-in-code")),
            ),
            "unlock_worker" => (Kind::At, ask("POST", format!("/v1/workers/{worker}/unlock"))),
            "reset_second_factor" => {
                let other = self.world.new_worker("S1-B1").await;
                (
                    Kind::At,
                    ask("DELETE", format!("/v1/workers/{other}/second-factor")),
                )
            }
            "end_worker_sessions" => {
                let other = self.world.new_worker("S1-B1").await;
                (Kind::At, ask("DELETE", format!("/v1/workers/{other}/sessions")))
            }
            "revoke_device" => {
                let device = actor.map_or(Uuid::nil(), |actor| actor.device_id);
                (
                    Kind::SignedIn,
                    ask("DELETE", format!("/v1/auth/devices/{device}")),
                )
            }
            "list_units" => (Kind::List, ask("GET", "/v1/units?limit=500".into())),
            "create_unit" => {
                let unit = json!({"code": format!("S1-K{n}"), "level": "shakti_kendra", "name": "Kendra",
                                  "parents": {"organisation": self.world.unit("S1-M1")}});
                (Kind::At, with(ask("POST", "/v1/units".into()), unit))
            }
            "get_unit" => (Kind::At, ask("GET", format!("/v1/units/{booth}"))),
            "update_unit" => {
                let path = format!("/v1/units/{booth}");
                let tag = self.tag(&path).await;
                (
                    Kind::At,
                    with(
                        Ask {
                            tag,
                            ..ask("PATCH", path)
                        },
                        json!({"doors": n}),
                    ),
                )
            }
            "place_unit" => {
                let body = json!({"tree": "organisation", "parent_id": self.world.unit("S1-M1"), "valid_from": "2027-01-01"});
                (
                    Kind::At,
                    with(ask("POST", format!("/v1/units/{booth}/placements")), body),
                )
            }
            "get_unit_lineage" => (Kind::At, ask("GET", format!("/v1/units/{booth}/lineage"))),
            "import_units" => {
                let text =
                    format!("code,level,name,organisation_parent\nS1-I{n},shakti_kendra,Kendra,S1-M1\n");
                (Kind::At, csv("/v1/imports/units", text))
            }
            "get_totals" => (Kind::At, ask("GET", format!("/v1/units/{booth}/totals"))),
            "get_feed" => (Kind::List, ask("GET", "/v1/feed?limit=500".into())),
            "stream_feed" => (Kind::List, ask("GET", "/v1/feed/stream".into())),
            "list_services" => (Kind::List, ask("GET", "/v1/services".into())),
            "create_service" => (
                Kind::At,
                with(ask("POST", "/v1/services".into()), self.new_service()),
            ),
            "get_service" | "update_service" | "create_service_secret" | "revoke_service_secret" => {
                let made = self
                    .admin
                    .post("/v1/services", self.new_service())
                    .await
                    .expect(201)
                    .json;
                let path = format!("/v1/services/{}", made["service"]["id"]);
                let ask = match operation {
                    "get_service" => ask("GET", path),
                    "update_service" => with(
                        Ask {
                            tag: Some("\"1\"".to_owned()),
                            ..ask("PATCH", path)
                        },
                        json!({"contact": "The IT cell"}),
                    ),
                    "create_service_secret" => ask("POST", format!("{path}/secrets")),
                    _ => {
                        let secret = made["secret"]["id"].as_str().unwrap();
                        ask("DELETE", format!("{path}/secrets/{secret}"))
                    }
                };
                (Kind::At, ask)
            }
            "list_totals_children" => (Kind::At, ask("GET", format!("/v1/units/{booth}/totals/children"))),
            "check_totals" => (Kind::At, ask("GET", format!("/v1/units/{booth}/totals/check"))),
            "list_workers" => (Kind::List, ask("GET", "/v1/workers?limit=500".into())),
            "create_worker" => {
                let body = json!({"name": "Asha", "phone": format!("+9198{n:08}"), "unit_id": booth});
                (Kind::At, with(ask("POST", "/v1/workers".into()), body))
            }
            "get_worker" => (Kind::At, ask("GET", format!("/v1/workers/{worker}"))),
            "update_worker" => {
                let path = format!("/v1/workers/{worker}");
                let tag = self.tag(&path).await;
                (
                    Kind::At,
                    with(
                        Ask {
                            tag,
                            ..ask("PATCH", path)
                        },
                        json!({"name": format!("Asha {n}")}),
                    ),
                )
            }
            "create_grant" => {
                let other = self.world.new_worker("S1-B1").await;
                let body = json!({"role": "booth_worker", "unit_id": booth, "valid_from": "2026-11-23"});
                (
                    Kind::At,
                    with(ask("POST", format!("/v1/workers/{other}/grants")), body),
                )
            }
            "end_grant" => {
                let other = self.world.new_worker("S1-B1").await;
                let grant = self
                    .world
                    .grant(other, Role::BoothWorker, "S1-B1", "2026-11-01", None)
                    .await;
                (
                    Kind::At,
                    ask("DELETE", format!("/v1/workers/{other}/grants/{grant}")),
                )
            }
            "hand_over_grant" => {
                let (other, next) = (
                    self.world.new_worker("S1-B1").await,
                    self.world.new_worker("S1-B1").await,
                );
                let grant = self
                    .world
                    .grant(other, Role::BoothWorker, "S1-B1", "2026-11-01", None)
                    .await;
                let path = format!("/v1/workers/{other}/grants/{grant}/handover");
                let body = json!({"to_worker_id": next, "from": "2026-11-23"});
                (Kind::At, with(ask("POST", path), body))
            }
            "import_workers" => {
                let text = format!("phone,name,unit_code\n+9197{n:08},Asha,S1-B1\n");
                (Kind::At, csv("/v1/imports/workers", text))
            }
            "list_campaigns" => (Kind::List, ask("GET", "/v1/campaigns?limit=500".into())),
            "create_campaign" => {
                let body = json!({"name": "Abhiyan", "unit_id": booth, "starts_on": "2026-11-01"});
                (Kind::At, with(ask("POST", "/v1/campaigns".into()), body))
            }
            "get_campaign" => (Kind::At, ask("GET", format!("/v1/campaigns/{campaign}"))),
            "update_campaign" => {
                let path = format!("/v1/campaigns/{campaign}");
                let tag = self.tag(&path).await;
                (
                    Kind::At,
                    with(
                        Ask {
                            tag,
                            ..ask("PATCH", path)
                        },
                        json!({"name": format!("Abhiyan {n}")}),
                    ),
                )
            }
            "list_households" => (Kind::At, ask("GET", format!("/v1/booths/{booth}/households"))),
            "put_household" => {
                let body = json!({"booth_id": booth, "label": format!("{n}")});
                (
                    Kind::At,
                    with(ask("PUT", format!("/v1/households/{}", self.household)), body),
                )
            }
            "put_contact" => {
                let path = format!("/v1/contacts/{}", Uuid::new_v4());
                let body = crate::contacts::contact(&self.world, campaign, self.household);
                (Kind::At, with(ask("PUT", path), body))
            }
            "list_contacts" => (Kind::List, ask("GET", "/v1/contacts?limit=500".into())),
            "find_contacts" => (
                Kind::List,
                with(
                    ask("POST", "/v1/contacts/find".into()),
                    json!({"phone": crate::contacts::PHONE}),
                ),
            ),
            "get_contact" => (Kind::At, ask("GET", format!("/v1/contacts/{}", self.contact))),
            "list_contact_reads" => {
                // Its entry is numbered by the poster, which runs.
                let query = "from=2026-11-01T00:00:00Z&to=2026-12-01T00:00:00Z&limit=500";
                (Kind::List, ask("GET", format!("/v1/contact-reads?{query}")))
            }
            "correct_contact" => {
                let path = format!("/v1/contacts/{}", self.contact);
                let tag = self.tag(&path).await;
                let body = json!({"phone": crate::contacts::PHONE});
                (
                    Kind::At,
                    with(
                        Ask {
                            tag,
                            ..ask("PATCH", path)
                        },
                        body,
                    ),
                )
            }
            "withdraw_consent" | "erase_contact" => {
                let id = Uuid::new_v4();
                let body = crate::contacts::contact(&self.world, campaign, self.household);
                self.admin
                    .put(&format!("/v1/contacts/{id}"), body)
                    .await
                    .expect(201);
                let ask = match operation {
                    "erase_contact" => ask("DELETE", format!("/v1/contacts/{id}")),
                    _ => ask("POST", format!("/v1/contacts/{id}/withdrawal")),
                };
                (Kind::At, ask)
            }
            "get_my_data" => (Kind::SignedIn, ask("GET", "/v1/me/data".into())),
            "correct_my_data" => {
                let tag = match actor {
                    Some(actor) => actor
                        .client
                        .get("/v1/me/data")
                        .await
                        .header("etag")
                        .map(str::to_owned),
                    None => Some("\"1\"".to_owned()),
                };
                let body = json!({"name": "Asha Devi"});
                (
                    Kind::SignedIn,
                    with(
                        Ask {
                            tag,
                            ..ask("PATCH", "/v1/me/data".into())
                        },
                        body,
                    ),
                )
            }
            // What it does is told in privacy.rs: here it is another's number, which is 409.
            "erase_me" => (
                Kind::Refused,
                with(
                    ask("POST", "/v1/me/erasure".into()),
                    json!({"phone": "+919999999999"}),
                ),
            ),
            "record_visit" => {
                let body = crate::visits::visit(&self.world, campaign, "S1-B1");
                (Kind::At, with(ask("POST", "/v1/visits".into()), body))
            }
            "record_visits" => {
                let visit = crate::visits::visit(&self.world, campaign, "S1-B1");
                (
                    Kind::List,
                    with(ask("POST", "/v1/visits/batch".into()), json!({"visits": [visit]})),
                )
            }
            "sync" => (
                Kind::List,
                with(ask("POST", "/v1/sync".into()), json!({"limit": 2000})),
            ),
            "list_journal" => (Kind::At, ask("GET", format!("/v1/journal?under={booth}"))),
            "list_heads" => (
                Kind::State,
                ask("GET", format!("/v1/journal/heads?state_id={state}")),
            ),
            "list_latest_heads" => (Kind::Public, ask("GET", "/v1/journal/heads/latest".into())),
            "prove_inclusion" => {
                let number = self.posted_at(booth).await;
                let query = format!("state_id={state}&number={number}&size={number}");
                (
                    Kind::At,
                    ask("GET", format!("/v1/journal/proof/inclusion?{query}")),
                )
            }
            "prove_consistency" => {
                let number = self.posted_at(booth).await;
                let query = format!("state_id={state}&first=1&second={number}");
                (
                    Kind::State,
                    ask("GET", format!("/v1/journal/proof/consistency?{query}")),
                )
            }
            "get_seal_keys" => (Kind::Open, ask("GET", "/.well-known/seal-keys.json".into())),
            "get_receipt" => (Kind::At, ask("GET", format!("/v1/visits/{visit}/receipt"))),
            "list_visits" => (Kind::List, ask("GET", "/v1/visits?limit=500".into())),
            "export_visits" => (Kind::List, ask("GET", "/v1/visits/export?format=ndjson".into())),
            "list_visit_exports" => (Kind::List, ask("GET", "/v1/visit-exports?limit=500".into())),
            "get_visit" => (Kind::At, ask("GET", format!("/v1/visits/{visit}"))),
            "answer_visit_flag" => {
                let body = json!({"text": "It was so"});
                let path = format!("/v1/visits/{visit}/flags/too_short/answer");
                (Kind::At, with(ask("POST", path), body))
            }
            "list_visit_versions" => (Kind::At, ask("GET", format!("/v1/visits/{visit}/versions"))),
            "correct_visit" => {
                let path = format!("/v1/visits/{visit}");
                let tag = self.tag(&path).await;
                (
                    Kind::At,
                    with(
                        Ask {
                            tag,
                            ..ask("PATCH", path)
                        },
                        json!({"people_met": n % 900}),
                    ),
                )
            }
            "void_visit" => {
                let sent = crate::visits::visit(&self.world, campaign, "S1-B1");
                self.admin.post("/v1/visits", sent.clone()).await.expect(201);
                let path = format!("/v1/visits/{}/void", sent["id"].as_str().unwrap());
                (Kind::At, with(ask("POST", path), json!({"reason": "Mistake"})))
            }
            "import_results" => {
                let text =
                    format!("election,constituency,candidate,party,votes\nM{n},S1-B1,A,Example Party,{n}\n");
                (Kind::At, csv("/v1/imports/results", text))
            }
            "list_elections" => (Kind::Public, ask("GET", "/v1/elections".into())),
            "get_election" => (Kind::Public, ask("GET", "/v1/elections/LS2014".into())),
            "update_election" => {
                let path = "/v1/elections/LS2014".to_owned();
                let tag = self.tag(&path).await;
                (
                    Kind::Nation,
                    with(
                        Ask {
                            tag,
                            ..ask("PATCH", path)
                        },
                        json!({"name": format!("Lok Sabha {n}")}),
                    ),
                )
            }
            "list_parties" => (Kind::Public, ask("GET", "/v1/parties".into())),
            "add_party_name" => (
                Kind::Nation,
                with(
                    ask("POST", "/v1/parties/1/names".into()),
                    json!({"name": format!("P{n}")}),
                ),
            ),
            "part_party_name" => {
                let made = self
                    .admin
                    .post("/v1/parties/1/names", json!({"name": format!("P{n}")}))
                    .await
                    .expect(201)
                    .json;
                let id = &made["names"].as_array().unwrap().last().unwrap()["id"];
                (Kind::Nation, ask("DELETE", format!("/v1/parties/1/names/{id}")))
            }
            "list_seats" => (
                Kind::List,
                ask("GET", "/v1/elections/LS2014/seats?level=booth".into()),
            ),
            "get_seat" => (
                Kind::At,
                ask("GET", format!("/v1/elections/LS2014/seats/{booth}")),
            ),
            "list_target_sets" => (Kind::Public, ask("GET", "/v1/target-sets?limit=500".into())),
            "create_target_set" => (
                Kind::At,
                with(ask("POST", "/v1/target-sets".into()), self.new_target_set()),
            ),
            "get_target_set" => (
                Kind::Shared,
                ask("GET", format!("/v1/target-sets/{}", self.target_set)),
            ),
            "list_target_set_members" => (
                Kind::Shared,
                ask("GET", format!("/v1/target-sets/{}/members", self.target_set)),
            ),
            "list_target_set_versions" => (
                Kind::Shared,
                ask("GET", format!("/v1/target-sets/{}/versions", self.target_set)),
            ),
            "list_target_set_changes" => (
                Kind::Shared,
                ask("GET", format!("/v1/target-sets/{}/changes", self.target_set)),
            ),
            "create_target_set_version" => {
                let set = self.new_target_set();
                let body = set["version"].clone();
                let made = self.admin.post("/v1/target-sets", set).await.expect(201).json;
                let path = format!("/v1/target-sets/{}/versions", made["id"]);
                (Kind::At, with(ask("POST", path), body))
            }
            "list_review_queue" => (Kind::At, ask("GET", format!("/v1/units/{booth}/review-queue"))),
            "review_visit" => (
                Kind::At,
                with(
                    ask("POST", format!("/v1/visits/{visit}/review")),
                    json!({"verdict": "verified"}),
                ),
            ),
            "undo_review" => (Kind::At, ask("DELETE", format!("/v1/visits/{visit}/review"))),
            "list_visit_reviews" => (Kind::At, ask("GET", format!("/v1/visits/{visit}/reviews"))),
            "review_visits" => {
                let body = json!({"reviews": [{"visit_id": visit, "verdict": "verified"}]});
                (Kind::List, with(ask("POST", "/v1/reviews".into()), body))
            }
            "list_bulk_voids" => (Kind::At, ask("GET", format!("/v1/units/{booth}/bulk-voids"))),
            "start_bulk_void" => {
                let (path, body) = self.visits_to_void().await;
                (Kind::At, with(ask("POST", path), body))
            }
            "get_bulk_void" | "cancel_bulk_void" | "take_back_bulk_void" => {
                let (path, body) = self.visits_to_void().await;
                let id = self.admin.post(&path, body).await.expect(201).json["id"].clone();
                let path = format!("/v1/bulk-voids/{id}");
                let ask = match operation {
                    "get_bulk_void" => ask("GET", path),
                    "cancel_bulk_void" => ask("POST", format!("{path}/cancel")),
                    _ => {
                        self.admin
                            .post(&format!("{path}/cancel"), json!({}))
                            .await
                            .expect(200);
                        with(
                            ask("POST", format!("{path}/take-back")),
                            json!({"reason": "Not these"}),
                        )
                    }
                };
                (Kind::At, ask)
            }
            "list_worker_indicators" => {
                let period = format!("campaign_id={campaign}&from=2026-11-01&to=2026-11-30");
                let path = format!("/v1/units/{booth}/worker-indicators?{period}");
                (Kind::At, ask("GET", path))
            }
            "list_booth_indicators" => {
                let period = format!("campaign_id={campaign}&from=2026-11-01&to=2026-11-30");
                let path = format!("/v1/units/{booth}/booth-indicators?{period}");
                (Kind::At, ask("GET", path))
            }
            "list_sign_offs" => (Kind::At, ask("GET", format!("/v1/units/{booth}/sign-offs"))),
            "sign_off_week" => {
                let (path, body) = self.week_to_sign(n);
                (Kind::At, with(ask("POST", path), body))
            }
            "get_sign_off" | "reopen_sign_off" => {
                let (path, body) = self.week_to_sign(n);
                let id = self.admin.post(&path, body).await.expect(201).json["id"].clone();
                let path = format!("/v1/sign-offs/{id}");
                if operation == "get_sign_off" {
                    (Kind::At, ask("GET", path))
                } else {
                    let body = json!({"reason": "Not all had uploaded"});
                    (Kind::At, with(ask("POST", format!("{path}/reopen")), body))
                }
            }
            "list_refusals" => (Kind::List, ask("GET", "/v1/refusals?limit=500".into())),
            "list_webhooks" => (Kind::List, ask("GET", "/v1/webhooks?limit=500".into())),
            "create_webhook"
            | "get_webhook"
            | "update_webhook"
            | "delete_webhook"
            | "create_webhook_secret"
            | "list_dead_letters"
            | "replay_dead_letters" => {
                let new = json!({"unit_id": booth, "url": "https://hooks.example/sampark"});
                if operation == "create_webhook" {
                    return (Kind::At, with(ask("POST", "/v1/webhooks".into()), new));
                }
                let made = self.admin.post("/v1/webhooks", new).await.expect(201).json;
                let path = format!("/v1/webhooks/{}", made["webhook"]["id"]);
                let ask = match operation {
                    "get_webhook" => ask("GET", path),
                    "update_webhook" => {
                        let tag = Some("\"1\"".to_owned());
                        with(
                            Ask {
                                tag,
                                ..ask("PATCH", path)
                            },
                            json!({"kinds": ["visit"]}),
                        )
                    }
                    "delete_webhook" => ask("DELETE", path),
                    "create_webhook_secret" => ask("POST", format!("{path}/secrets")),
                    "list_dead_letters" => ask("GET", format!("{path}/dead-letters")),
                    _ => ask("POST", format!("{path}/dead-letters/replay")),
                };
                (Kind::At, ask)
            }
            other => self.direction_row(other, n, actor).await.unwrap_or_else(|| {
                panic!("the operation {other} has no row in tests/api/access_matrix: add one")
            }),
        }
    }

    /// An order to void visits of booth S1-B1, of which there is one at least.
    async fn visits_to_void(&self) -> (String, Value) {
        let sent = crate::visits::visit(&self.world, self.campaign, "S1-B1");
        let made = self.admin.post("/v1/visits", sent).await.expect(201).json;
        let path = format!("/v1/units/{}/bulk-voids", self.world.unit("S1-B1"));
        (path, json!({"worker_id": made["worker_id"], "reason": "Made up"}))
    }

    /// Where booth S1-B1's mandal signs, and a week that it has not signed yet.
    fn week_to_sign(&self, n: u32) -> (String, Value) {
        let monday: NaiveDate = "2026-11-16".parse().unwrap();
        let week = (monday - TimeDelta::weeks(n.into())).format("%G-W%V");
        let path = format!("/v1/units/{}/sign-offs", self.world.unit("S1-M1"));
        (path, json!({"week": week.to_string()}))
    }
}

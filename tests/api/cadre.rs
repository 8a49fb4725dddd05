//! Posts and who holds them, committees on paper and whole, entrants.

mod counts;

use chrono::TimeDelta;
use sampark::access::Role;
use sampark::platform::ids::{SessionId, WorkerId};
use serde_json::{Value, json};

use crate::support::{Actor, Client, TestApp, World};

pub struct Scene {
    pub app: TestApp,
    pub world: World,
    admin: Actor,
}

pub async fn scene() -> Scene {
    let app = TestApp::start().await;
    let world = World::build(&app).await;
    let admin = world.actor(&app, Role::NationalAdmin, "IN").await;
    Scene { app, world, admin }
}

impl Scene {
    /// The administrator, with a token of this moment.
    pub fn admin(&self) -> Client {
        let (worker, session) = (WorkerId(self.admin.worker_id), SessionId(self.admin.session_id));
        let keys = self.app.state.access.keys();
        self.app
            .with_token(&keys.sign(worker, session, self.app.clock.now()).unwrap())
    }

    /// A POST by the administrator; sent again while the server is too busy, as a client would.
    pub async fn post(&self, path: &str, body: Value) -> crate::support::Answer {
        loop {
            let answer = self.admin().post(path, body.clone()).await;
            if answer.status != 503 {
                return answer;
            }
        }
    }

    pub async fn rule(&self, unit: &str, campaign: Option<i32>, posts: &[(&str, i32)]) -> Value {
        let posts: Vec<Value> = posts
            .iter()
            .map(|(post, count)| json!({"post": post, "count": count}))
            .collect();
        let body = json!({"campaign_id": campaign, "posts": posts, "reason": "As decided"});
        let path = format!("/v1/units/{}/committee-rules", self.world.unit(unit));
        self.post(&path, body).await.expect(201).json
    }

    /// Gives a new worker a post in a booth.
    pub async fn member(&self, booth: &str, post: Option<&str>) -> (Actor, i64) {
        let actor = self.world.worker(&self.app, booth).await;
        let id = self.give(&actor, booth, post, "2026-11-01", None).await;
        (actor, id)
    }

    pub async fn give(
        &self,
        actor: &Actor,
        booth: &str,
        post: Option<&str>,
        from: &str,
        to: Option<&str>,
    ) -> i64 {
        let body = json!({"role": "booth_worker", "unit_id": self.world.unit(booth), "post": post,
                          "valid_from": from, "valid_to": to});
        let path = format!("/v1/workers/{}/grants", actor.worker_id);
        self.post(&path, body).await.expect(201).json["id"]
            .as_i64()
            .unwrap()
    }

    pub async fn committees(&self, unit: &str) -> Value {
        let path = format!("/v1/units/{}/committees", self.world.unit(unit));
        self.admin().get(&path).await.expect(200).json
    }
}

pub async fn confirm(actor: &Actor, post: i64) -> crate::support::Answer {
    let path = format!("/v1/me/posts/{post}/confirmation");
    actor.client.post(&path, json!({})).await
}

fn figures(view: &Value) -> Vec<i64> {
    [
        "committees",
        "complete",
        "on_paper",
        "posts",
        "filled",
        "confirmed",
        "vacant",
    ]
    .map(|name| view[name].as_i64().unwrap())
    .to_vec()
}

#[actix_web::test]
async fn a_member_counts_only_when_he_has_confirmed_his_post() {
    let s = scene().await;
    s.rule("S1", None, &[("president", 1), ("booth_worker", 2)]).await;
    assert_eq!(figures(&s.committees("S1-M1").await), [3, 0, 0, 9, 0, 0, 9]);
    let mut members = Vec::new();
    for post in [Some("president"), None, None] {
        members.push(s.member("S1-B1", post).await);
    }
    // On paper the committee stands.
    for unit in ["S1-B1", "S1-M1", "S1-AC1", "S1-PC1", "S1-D1", "S1", "IN"] {
        let view = s.committees(unit).await;
        let got = figures(&view);
        assert_eq!((got[1], got[2], got[4], got[5]), (0, 1, 3, 0), "{unit}: {view}");
    }
    for (n, (actor, post)) in members.iter().enumerate() {
        let confirmed = confirm(actor, *post).await.expect(200).json;
        assert_eq!(confirmed["confirmed_at"], "2026-11-23T06:30:00Z");
        let got = figures(&s.committees("S1").await);
        let whole = i64::from(n == 2);
        assert_eq!(
            (got[1], got[2], got[5]),
            (whole, 1 - whole, i64::try_from(n).unwrap() + 1)
        );
    }
    // A fourth member is welcome and fills no post; a second confirmation changes nothing.
    let (more, post) = s.member("S1-B1", None).await;
    confirm(&more, post).await.expect(200);
    confirm(&more, post).await.expect(200);
    assert_eq!(figures(&s.committees("S1-B1").await), [1, 1, 0, 3, 3, 3, 0]);
    // Who becomes inactive holds nothing.
    s.world
        .db
        .execute(
            "UPDATE workers SET active = false WHERE id = $1",
            &[&members[0].0.worker_id],
        )
        .await
        .unwrap();
    assert_eq!(figures(&s.committees("S1-B1").await), [1, 0, 0, 3, 2, 2, 1]);
}

#[actix_web::test]
async fn a_post_is_confirmed_by_its_holder_alone_by_a_code_sent_to_him_since_it_began() {
    let s = scene().await;
    let (holder, post) = s.member("S1-B1", Some("president")).await;
    let (other, _) = s.member("S1-B1", None).await;
    let foreign = confirm(&other, post).await.expect(404);
    let absent = confirm(&other, 999_999).await.expect(404);
    let without_id = |answer: &crate::support::Answer| {
        answer
            .text()
            .replace(answer.json["request_id"].as_str().unwrap(), "")
    };
    assert_eq!(without_id(&foreign), without_id(&absent));
    // A code that somebody read out proves nothing, nor does a session older than the post.
    for change in [
        "strength = 'read_out'",
        "strength = 'program'",
        "strength = 'code', created_at = '2026-10-31T00:00Z'",
    ] {
        let again = s.world.sign_in(&s.app, holder.worker_id).await;
        let sql = format!("UPDATE sessions SET {change} WHERE id = $1");
        s.world.db.execute(&sql, &[&again.session_id]).await.unwrap();
        confirm(&again, post).await.expect(403);
    }
    let coming = s.give(&other, "S1-B2", None, "2026-11-24", None).await;
    confirm(&other, coming).await.expect(409);
    let by_code = s.world.sign_in(&s.app, holder.worker_id).await;
    s.world
        .db
        .execute(
            "UPDATE sessions SET strength = 'code' WHERE id = $1",
            &[&by_code.session_id],
        )
        .await
        .unwrap();
    confirm(&by_code, post).await.expect(200);
    let path = format!("/v1/workers/{}/grants/{post}", holder.worker_id);
    s.admin().delete(&path).await.expect(204);
    confirm(&other, post).await.expect(404);
    let entries = "SELECT count(*) FROM (SELECT action, subject_ids FROM journal UNION ALL SELECT action, subject_ids FROM journal_inbox) j
                   WHERE action = 'post.confirm' AND subject_ids = ARRAY[$1::int, $2::int]";
    let post = i32::try_from(post).unwrap();
    let row = s
        .world
        .db
        .query_one(entries, &[&holder.worker_id, &post])
        .await
        .unwrap();
    assert_eq!(row.get::<_, i64>(0), 1);
}

#[actix_web::test]
async fn the_history_of_a_post_and_of_its_holders_is_told() {
    let s = scene().await;
    let (first, post) = s.member("S1-B1", Some("president")).await;
    let next = s.world.worker(&s.app, "S1-B1").await;
    let path = format!("/v1/workers/{}/grants/{post}/handover", first.worker_id);
    let body = json!({"to_worker_id": next.worker_id, "from": "2026-11-25"});
    s.admin().post(&path, body).await.expect(201);
    let unit = format!("/v1/units/{}/posts", s.world.unit("S1-B1"));
    let history = s
        .admin()
        .get(&format!("{unit}?post=president"))
        .await
        .expect(200)
        .json;
    let told: Vec<(i64, &str, &Value, bool)> = history["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            (
                item["worker_id"].as_i64().unwrap(),
                item["valid_from"].as_str().unwrap(),
                &item["valid_to"],
                item["holds"].as_bool().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (i64::from(next.worker_id), "2026-11-25", &Value::Null, false),
            (
                i64::from(first.worker_id),
                "2026-11-01",
                &json!("2026-11-24"),
                true
            ),
        ]
    );
    let on = |day: &str| format!("{unit}?post=president&on={day}");
    for (day, holder) in [("2026-11-24", first.worker_id), ("2026-11-25", next.worker_id)] {
        let page = s.admin().get(&on(day)).await.expect(200).json;
        assert_eq!(page["items"].as_array().unwrap().len(), 1, "{day}");
        assert_eq!(page["items"][0]["worker_id"], holder, "{day}");
    }
    assert_eq!(
        s.admin().get(&on("2026-10-31")).await.expect(200).json["items"],
        json!([])
    );
    let path = format!("/v1/workers/{}/posts", first.worker_id);
    let his = s.admin().get(&path).await.expect(200).json;
    assert_eq!(
        (his["items"][0]["id"].as_i64(), &his["items"][0]["post"]),
        (Some(post), &json!("president"))
    );
    let own = first.client.get("/v1/me/posts").await.expect(200).json;
    assert_eq!(own["items"], his["items"]);
    // A coordinator elsewhere is told of neither.
    let elsewhere = s
        .world
        .actor(&s.app, Role::MandalCoordinator, "S1-M2")
        .await
        .client;
    elsewhere.get(&path).await.expect(404);
    elsewhere.get(&unit).await.expect(404);
    // A worker of another mandal who holds a post in this one is told with that post alone.
    s.give(&first, "S1-B4", None, "2026-11-01", None).await;
    let seen = elsewhere.get(&path).await.expect(200).json;
    let units: Vec<_> = seen["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| &item["unit_id"])
        .collect();
    assert_eq!(units, [&json!(s.world.unit("S1-B4"))]);
}

#[actix_web::test]
async fn vacancies_are_listed_booth_by_booth() {
    let s = scene().await;
    s.rule("IN", None, &[("president", 1), ("booth_worker", 1)]).await;
    for booth in ["S1-B1", "S1-B2"] {
        for post in [Some("president"), None] {
            let (actor, id) = s.member(booth, post).await;
            if booth == "S1-B1" {
                confirm(&actor, id).await.expect(200);
            }
        }
    }
    s.member("S1-B3", Some("president")).await;
    let list = async |unit: &str, query: &str| {
        let path = format!("/v1/units/{}/vacancies?{query}", s.world.unit(unit));
        let page = s.admin().get(&path).await.expect(200).json;
        let items = page["items"].as_array().unwrap().clone();
        items
            .iter()
            .map(|item| {
                let posts = item["posts"].as_array().unwrap().iter();
                let posts: Vec<_> = posts.map(|post| post["post"].as_str().unwrap()).collect();
                format!("{} {}", item["code"].as_str().unwrap(), posts.join(" "))
            })
            .collect::<Vec<_>>()
    };
    for _ in 0..2 {
        assert_eq!(list("S1-M1", "").await, ["S1-B3 booth_worker"]);
        assert_eq!(
            list("S1-M1", "unconfirmed=true").await,
            ["S1-B2 booth_worker president", "S1-B3 booth_worker president"]
        );
        assert_eq!(list("S2", "").await, ["S2-B1 booth_worker president"]);
        // The same from what was counted as from what changed since.
        sampark::features::cadre::recount_all(&s.app.state.db, &s.app.clock)
            .await
            .unwrap();
    }
    let mut codes = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/units/{}/vacancies?limit=1{cursor}", s.world.unit("IN"));
        let page = s.admin().get(&path).await.expect(200).json;
        for item in page["items"].as_array().unwrap() {
            codes.push(item["code"].as_str().unwrap().to_owned());
        }
        let Some(next) = page["next_cursor"].as_str() else {
            break;
        };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(codes, ["S1-B3", "S1-B4", "S1-B5", "S2-B1"]);
}

#[actix_web::test]
async fn a_states_rule_comes_before_the_nations_and_a_campaigns_counts_where_it_is_asked_for() {
    let s = scene().await;
    let campaign = s.world.campaign("S1").await;
    s.rule("IN", None, &[("booth_worker", 5)]).await;
    assert_eq!(s.committees("IN").await["posts"], 30);
    s.rule("S1", None, &[("booth_worker", 2)]).await;
    assert_eq!(
        (
            &s.committees("S1").await["posts"],
            &s.committees("IN").await["posts"]
        ),
        (&json!(10), &json!(15))
    );
    s.rule("S1", Some(campaign), &[("booth_worker", 3)]).await;
    let asked = async |unit: &str| {
        let path = format!("/v1/units/{}/committees?campaign={campaign}", s.world.unit(unit));
        s.admin().get(&path).await.expect(200).json["posts"].clone()
    };
    for _ in 0..2 {
        assert_eq!(
            (asked("S1").await, asked("IN").await),
            (json!(15), json!(20)),
            "S2 has none of the campaign's"
        );
        assert_eq!(s.committees("S1").await["posts"], 10);
        sampark::features::cadre::recount_all(&s.app.state.db, &s.app.clock)
            .await
            .unwrap();
    }
    let rules = format!("/v1/units/{}/committee-rules", s.world.unit("S1-B1"));
    let listed = s.admin().get(&rules).await.expect(200).json;
    let counting: Vec<_> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| (&rule["unit_id"], &rule["campaign_id"], &rule["counts"]))
        .collect();
    let (nation, state) = (json!(s.world.unit("IN")), json!(s.world.unit("S1")));
    let (none, of_campaign) = (json!(null), json!(campaign));
    assert_eq!(
        counting,
        [
            (&nation, &none, &json!(false)),
            (&state, &none, &json!(true)),
            (&state, &of_campaign, &json!(true))
        ]
    );
    let path = format!("/v1/units/{}/committee-rules", s.world.unit("S1-M1"));
    let body = json!({"posts": [], "reason": "None"});
    s.admin().post(&path, body).await.expect(422);
    let bad = json!({"posts": [{"post": "President", "count": 0}, {"post": "x", "count": 1}, {"post": "x", "count": 1}],
                     "reason": " ", "more": 1});
    let path = format!("/v1/units/{}/committee-rules", s.world.unit("S1"));
    s.admin().post(&path, bad.clone()).await.expect(422);
    let mut known = bad;
    known.as_object_mut().unwrap().remove("more");
    let refused = s.admin().post(&path, known).await.expect(422).json;
    let pointers: Vec<_> = refused["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].as_str().unwrap())
        .collect();
    assert_eq!(
        pointers,
        ["/reason", "/posts/0/post", "/posts/0/count", "/posts/2/post"]
    );
    let foreign = s.world.campaign("S2").await;
    let body = json!({"campaign_id": foreign, "posts": [], "reason": "None"});
    s.admin().post(&path, body).await.expect(422);
}

#[actix_web::test]
async fn what_has_become_of_entrants_is_told_by_party_time_and_unit() {
    let s = scene().await;
    let party = "election,constituency,candidate,party,votes\nLS2014,S1-PC1,A,Example Party,9\n";
    let file = Some(("text/csv", party.as_bytes().to_vec()));
    s.admin()
        .send("POST", "/v1/imports/results", file)
        .await
        .expect(200);
    s.admin()
        .post("/v1/parties/1/names", json!({"name": "Ex. P."}))
        .await
        .expect(201);
    let mut ids = Vec::new();
    for (n, (booth, party, joined)) in [
        ("S1-B1", "Example Party", Some("2026-10-01")),
        ("S1-B1", "EX.  P.", Some("2026-02-01")),
        ("S1-B4", "Other Party", Some("2023-01-01")),
        ("S1-M1", "Other Party", None),
        ("S2-B1", "Other Party", Some("2026-11-01")),
    ]
    .into_iter()
    .enumerate()
    {
        let body = json!({"name": format!("Entrant {n}"), "phone": format!("+919800000{n:03}"),
            "unit_id": s.world.unit(booth), "origin": {"party": party, "joined_on": joined}});
        let made = s.admin().post("/v1/workers", body).await.expect(201).json;
        ids.push(i32::try_from(made["id"].as_i64().unwrap()).unwrap());
    }
    let holder = s.world.sign_in(&s.app, ids[1]).await;
    let post = s
        .give(&holder, "S1-B1", Some("secretary"), "2026-11-01", None)
        .await;
    let path = format!("/v1/units/{}/entrants", s.world.unit("S1"));
    let told = s.admin().get(&path).await.expect(200).json;
    assert_eq!(
        (
            &told["total"]["entrants"],
            &told["total"]["holding"],
            &told["total"]["confirmed"],
            &told["total"]["without_post"],
            &told["total"]["share_holding"]
        ),
        (&json!(4), &json!(1), &json!(0), &json!(3), &json!(0.25))
    );
    confirm(&holder, post).await.expect(200);
    let told = s.admin().get(&path).await.expect(200).json;
    assert_eq!(told["total"]["confirmed"], 1);
    let groups = |name: &str| {
        let groups = told[name].as_array().unwrap().iter();
        groups
            .map(|group| {
                (
                    group["name"].as_str().unwrap().to_owned(),
                    group["counts"]["entrants"].as_i64().unwrap(),
                )
            })
            .collect::<Vec<_>>()
    };
    let wanted = |pairs: &[(&str, i64)]| {
        pairs
            .iter()
            .map(|(name, n)| ((*name).to_owned(), *n))
            .collect::<Vec<_>>()
    };
    // The second name means the first party.
    assert_eq!(
        groups("by_party"),
        wanted(&[("Example Party", 2), ("Other Party", 2)])
    );
    assert_eq!(
        groups("by_time"),
        wanted(&[
            ("under_6_months", 1),
            ("6_to_12_months", 1),
            ("over_2_years", 1),
            ("unknown", 1)
        ])
    );
    assert_eq!(told["children"][0]["name"], "Unit S1-D1");
    let list = async |query: &str| {
        let page = s
            .admin()
            .get(&format!("{path}/list?{query}"))
            .await
            .expect(200)
            .json;
        let items = page["items"].as_array().unwrap().clone();
        items
            .iter()
            .map(|item| i32::try_from(item["worker_id"].as_i64().unwrap()).unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(list("with_post=false").await, [ids[0], ids[2], ids[3]]);
    assert_eq!(list("party=example%20party").await, [ids[0], ids[1]]);
    assert_eq!(
        list("joined_from=2026-01-01&joined_to=2026-02-01").await,
        [ids[1]]
    );
    // A post is over when its days are.
    s.app.clock.advance(TimeDelta::days(1));
    let elsewhere = s
        .world
        .actor(&s.app, Role::MandalCoordinator, "S1-M2")
        .await
        .client;
    elsewhere.get(&path).await.expect(404);
    let own = format!("/v1/units/{}/entrants/list", s.world.unit("S1-M2"));
    let seen = elsewhere.get(&own).await.expect(200).json;
    assert_eq!(seen["items"].as_array().unwrap().len(), 1);
}

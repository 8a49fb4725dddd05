//! Answers to flags, draws with their back-checks, tasks, committees and exports, held against the journal.

use sampark::access::Role;
use serde_json::{Value, json};

use super::rows::{Alteration, assert_found};
use super::{Scene, told};
use crate::draws::confirms;
use crate::support::Actor;
use crate::tasks::{report, task};
use crate::visits::visit;

struct People {
    admin: Actor,
    district: Actor,
    verifier: Actor,
    member: Actor,
}

/// One of each kind, over HTTP, posted and sealed.
async fn written(s: &Scene) {
    let people = People {
        admin: s.world.actor(&s.app, Role::NationalAdmin, "IN").await,
        district: s.world.actor(&s.app, Role::DistrictCoordinator, "S1-D1").await,
        verifier: s.world.actor(&s.app, Role::MandalWorker, "S1-M1").await,
        member: s.world.worker(&s.app, "S1-B2").await,
    };
    s.settle().await;
    flagged(s).await;
    drawn(s, &people).await;
    reported(s, &people).await;
    committee(s, &people).await;
    s.coordinator.get("/v1/visits/export").await.expect(200);
    s.seal().await;
}

/// Two visits with a flag, of which one is answered.
async fn flagged(s: &Scene) {
    for n in 0..2 {
        let mut sent = visit(&s.world, s.campaign, "S1-B1");
        sent["duration_s"] = json!(9);
        s.worker.post("/v1/visits", sent.clone()).await.expect(201);
        if n == 0 {
            let path = format!(
                "/v1/visits/{}/flags/too_short/answer",
                sent["id"].as_str().unwrap()
            );
            let text = json!({"text": "He was about to leave"});
            s.worker.post(&path, text).await.expect(200);
        }
    }
}

/// A draw of both, of which one was checked when it was closed.
async fn drawn(s: &Scene, people: &People) {
    let district = &people.district.client;
    let wanted = json!({"unit_id": s.world.unit("S1-M1"), "campaign_id": s.campaign, "from": "2026-11-01", "to": "2026-11-23",
                        "plan": {"size": 2, "decision_number": 1}, "unconfirmed": "left_out"});
    let made = district.post("/v1/draws", wanted).await.expect(201);
    let path = made.header("location").unwrap().to_owned();
    district
        .post(&format!("{path}/seed"), json!({}))
        .await
        .expect(200);
    let spread = json!({"spread_among": [people.verifier.worker_id]});
    s.coordinator
        .post(&format!("{path}/assignments"), spread)
        .await
        .expect(200);
    people
        .verifier
        .client
        .post("/v1/back-checks", confirms(&path, 1))
        .await
        .expect(201);
    let close = json!({"reason": "The verifier fell ill"});
    district.post(&format!("{path}/close"), close).await.expect(200);
}

async fn reported(s: &Scene, people: &People) {
    let admin = &people.admin.client;
    let booth = s.world.unit("S1-B1");
    let new = task(s.world.unit("S1-M1"), "booth");
    let set: Value = admin.post("/v1/tasks", new).await.expect(201).json;
    let path = format!("/v1/tasks/{}", set["id"]);
    admin
        .header("If-Match", "\"1\"")
        .patch(&path, json!({"due_on": "2026-12-05", "reason": "Rain"}))
        .await
        .expect(200);
    let sent = report(&set["id"], booth, "done");
    s.worker.post("/v1/task-reports", sent.clone()).await.expect(201);
    let verdict = json!({"report_id": sent["id"], "verdict": "verified"});
    s.coordinator
        .post(&format!("{path}/units/{booth}/verdict"), verdict)
        .await
        .expect(200);
}

async fn committee(s: &Scene, people: &People) {
    let admin = &people.admin.client;
    let rule = json!({"posts": [{"post": "president", "count": 1}], "reason": "As decided"});
    let path = format!("/v1/units/{}/committee-rules", s.world.unit("S1"));
    admin.post(&path, rule).await.expect(201);
    let post = json!({"role": "booth_worker", "unit_id": s.world.unit("S1-B2"), "valid_from": "2026-11-01", "post": "president"});
    let path = format!("/v1/workers/{}/grants", people.member.worker_id);
    let grant = admin.post(&path, post).await.expect(201).json["id"].clone();
    let path = format!("/v1/me/posts/{grant}/confirmation");
    people.member.client.post(&path, json!({})).await.expect(200);
}

#[actix_web::test]
async fn an_alteration_of_an_answer_draw_back_check_task_committee_or_export_is_found() {
    let s = Scene::build().await;
    written(&s).await;
    let whole = s.verify_as_it_is(Vec::new(), false).await;
    assert_eq!(told(&whole), Vec::<String>::new());
    assert_eq!((whole.audits, whole.draws), (2, 1));
    let alterations: &[Alteration] = &[
        (
            "UPDATE flag_answers SET code = 'mock_location'",
            "visit.answer_flag",
            "an answer to a flag that it gave is not what was written",
        ),
        (
            "UPDATE flag_answers SET answered_at = answered_at - interval '1 day'",
            "visit.answer_flag",
            "an answer to a flag that it gave is not what was written",
        ),
        (
            "UPDATE flag_answers SET text_sealed = NULL",
            "visit.answer_flag",
            "an answer to a flag that it gave is not what was written",
        ),
        (
            "UPDATE flag_answers SET text_sealed = text_sealed || '\\x00'",
            "visit.answer_flag",
            "an answer to a flag that it gave is not what was written",
        ),
        ("DELETE FROM flag_answers", "visit.answer_flag", "is gone"),
        (
            "INSERT INTO flag_answers SELECT (jsonb_populate_record(a, '{\"number\": 2}')).* FROM flag_answers a",
            "",
            "no entry gave answer 2",
        ),
        (
            "UPDATE back_checks SET finding = 'mismatch'",
            "back_check.record",
            "a back-check that it stored is not what was written",
        ),
        (
            "UPDATE back_checks SET observed = '{\"outcome\": \"not_home\"}'",
            "back_check.record",
            "a back-check that it stored is not what was written",
        ),
        (
            "UPDATE back_checks SET verifier_id = 1",
            "back_check.record",
            "a back-check that it stored is not what was written",
        ),
        (
            "DELETE FROM back_checks",
            "back_check.record",
            "a back-check that it stored is gone",
        ),
        (
            "INSERT INTO back_checks SELECT (jsonb_populate_record(c, jsonb_build_object('id', gen_random_uuid(), 'number', 2))).* FROM back_checks c",
            "",
            "no entry stored back-check",
        ),
        (
            "UPDATE draw_frames SET visit_id = gen_random_uuid() WHERE place = 1",
            "draw.request",
            "what could be drawn is not what was frozen",
        ),
        (
            "UPDATE draw_frames SET worker_id = worker_id + 1 WHERE place = 2",
            "draw.request",
            "what could be drawn is not what was frozen",
        ),
        (
            "DELETE FROM draw_frames WHERE place = 2",
            "draw.request",
            "what could be drawn is not what was frozen",
        ),
        (
            "UPDATE draw_frames SET visited_on = visited_on - 1 WHERE place = 2",
            "draw.request",
            "doors or days of what could be drawn are not those of the visits",
        ),
        (
            "UPDATE draws SET decision_number = 2",
            "draw.request",
            "what could be drawn is not what was frozen",
        ),
        (
            "UPDATE draws SET decision_number = 2",
            "draw.close",
            "draw 1 is not what was written",
        ),
        (
            "UPDATE draws SET seed = sha256('chosen')",
            "draw.request",
            "its seed does not follow from the first head",
        ),
        (
            "UPDATE draws SET verdict = 'rejected'",
            "draw.close",
            "draw 1 is not what was written",
        ),
        (
            "UPDATE draws SET final_matched = 2, final_unfinished = 0",
            "draw.close",
            "draw 1 is not what was written",
        ),
        (
            "UPDATE draw_items SET place = place + 10; UPDATE draw_items SET place = 13 - place",
            "draw.request",
            "what was drawn does not follow from the seed",
        ),
        (
            "UPDATE draw_items SET place = place + 10; UPDATE draw_items SET place = 13 - place",
            "draw.assign",
            "draw_item 1/1 is not what was written",
        ),
        (
            "UPDATE draw_items SET verifier_id = 1 WHERE number = 2",
            "draw.assign",
            "draw_item 1/2 is not what was written",
        ),
        (
            "UPDATE draw_booths SET visits = visits + 1",
            "draw.freeze",
            "is not what was written",
        ),
        ("DELETE FROM draws", "draw.request", "which it requested, is gone"),
        (
            "UPDATE tasks SET due_on = due_on + 1",
            "task.write",
            "task 1 is not what was written",
        ),
        (
            "UPDATE task_versions SET due_on = due_on + 1",
            "",
            "task_version 1/1 is not what was written",
        ),
        (
            "UPDATE task_reports SET status = 'in_progress'",
            "task.report",
            "is not what was written",
        ),
        ("DELETE FROM task_reports", "task.report", "is gone"),
        (
            "UPDATE task_units SET status = 'returned'",
            "task.verify",
            "is not what was written",
        ),
        (
            "UPDATE task_verdicts SET verdict = 'returned', reason = 'Not there'",
            "task.verify",
            "is not what was written",
        ),
        ("DELETE FROM task_verdicts", "task.verify", "is gone"),
        (
            "UPDATE committee_rules SET posts = '[]'",
            "committee.rule",
            "is not what was written",
        ),
        (
            "UPDATE post_confirmations SET confirmed_at = confirmed_at - interval '1 day'",
            "post.confirm",
            "is not what was written",
        ),
        ("DELETE FROM post_confirmations", "post.confirm", "is gone"),
        (
            "UPDATE visit_exports SET exported_by = 1",
            "visit.export_end",
            "is not what was written",
        ),
        ("DELETE FROM visit_exports", "visit.export_end", "is gone"),
    ];
    assert_found(&s, alterations).await;
}

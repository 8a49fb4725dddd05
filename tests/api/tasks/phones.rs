//! What a phone learns of its units' tasks by sync.

use chrono::TimeDelta;
use sampark::access::Role;
use serde_json::json;

use super::{report, scene, send, task, verdict};
use crate::support::Phone;

#[actix_web::test]
async fn a_phone_holds_the_open_tasks_of_its_units_and_how_they_stand() {
    let s = scene().await;
    let worker = s.world.actor(&s.app, Role::BoothWorker, "S1-B1").await;
    let booth = s.world.unit("S1-B1");
    let mut phone = Phone::fresh(&worker.client).await;
    assert!(phone.of("tasks").is_empty());
    let id = s.set(task(s.world.unit("S1"), "booth")).await;
    s.set(task(s.world.unit("S1-M2"), "booth")).await;
    let pages = phone.sync(&worker.client, 1).await;
    assert_eq!(
        pages.last().unwrap()["tasks"][0]["units"],
        json!([{"unit_id": booth, "status": "open", "report_id": null, "reason": null}])
    );
    assert_eq!(phone.of("tasks").len(), 1, "the other mandal's is not his");
    let done = report(&id, booth, "done");
    send(&worker.client, "/v1/task-reports", &done).await.expect(201);
    verdict(&s.admin, &done, "returned", Some("Nine members only"))
        .await
        .expect(200);
    phone.sync(&worker.client, 1000).await;
    let held = phone.of("tasks")[&id.to_string()].clone();
    assert_eq!(
        (&held["units"][0]["status"], &held["units"][0]["reason"]),
        (&json!("returned"), &json!("Nine members only"))
    );
    phone.assert_holds_the_same(&Phone::fresh(&worker.client).await, "a verdict");
    // Of what is lost by mistake the server learns by the hash.
    phone.items.get_mut("tasks").unwrap().clear();
    let pages = phone.sync(&worker.client, 1000).await;
    assert_eq!(pages[0]["reset"], json!(["tasks"]));
    assert_eq!(phone.of("tasks").len(), 1);
    // Moved into the other mandal, the booth has that one's task as well; cancelled, the state's is gone.
    let body =
        json!({"tree": "organisation", "parent_id": s.world.unit("S1-M2"), "valid_from": "2026-11-23"});
    s.admin
        .post(&format!("/v1/units/{booth}/placements"), body)
        .await
        .expect(201);
    phone.sync(&worker.client, 1000).await;
    assert_eq!(phone.of("tasks").len(), 2);
    let cancel = json!({"cancelled": true, "reason": "Held over"});
    s.admin
        .header("If-Match", "\"1\"")
        .patch(&format!("/v1/tasks/{id}"), cancel)
        .await
        .expect(200);
    let pages = phone.sync(&worker.client, 1000).await;
    assert_eq!(pages[0]["gone"]["tasks"], json!([id]));
    // What is not done stays, however late it is.
    s.app.clock.advance(TimeDelta::days(80));
    let worker = s.world.sign_in(&s.app, worker.worker_id).await;
    phone.sync(&worker.client, 1000).await;
    assert_eq!(phone.of("tasks").len(), 1);
    phone.assert_holds_the_same(&Phone::fresh(&worker.client).await, "eighty days");
}

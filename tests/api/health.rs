use crate::support::TestApp;

#[actix_web::test]
async fn a_fresh_server_is_alive_and_ready() {
    let app = TestApp::start().await;
    assert_eq!(app.anonymous().get("/healthz").await.status, 200);
    let ready = app.anonymous().get("/readyz").await;
    assert_eq!((ready.status, &ready.json["status"]), (200, &"ready".into()));
}

#[actix_web::test]
async fn what_is_not_served_is_a_problem_document() {
    let app = TestApp::start().await;
    let missing = app.anonymous().get("/nowhere").await;
    assert_eq!(
        (missing.status, &missing.json["code"]),
        (404, &"not_found".into())
    );
    assert_eq!(missing.header("content-type"), Some("application/problem+json"));
    assert_eq!(
        missing.json["request_id"].as_str(),
        missing.header("x-request-id")
    );
    let refused = app.anonymous().delete("/healthz").await;
    assert_eq!((refused.status, refused.header("allow")), (405, Some("GET")));
}

#[actix_web::test]
async fn the_docs_page_needs_nothing_from_elsewhere() {
    let app = TestApp::start().await;
    let page = app.anonymous().get("/docs").await.expect(200);
    assert!(
        page.header("content-security-policy")
            .unwrap()
            .contains("default-src 'none'")
    );
    let mut parts = 0;
    for part in page.text().split('"').filter(|part| part.starts_with("/docs/")) {
        let part = app.anonymous().get(part).await.expect(200);
        assert!(!part.text().contains("http://") && !part.text().contains("https://"));
        parts += 1;
    }
    assert_eq!(parts, 2);
    assert!(
        !page.text().contains("<script>") && !page.text().contains("style="),
        "nothing inline"
    );
}

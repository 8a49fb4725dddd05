//! The page at `/docs`: reads `/openapi.json` and lets one try it. Served from the program itself: nothing from a CDN, and
//! no script or style in the page, so that the strictest policy holds.

use actix_web::http::header;
use actix_web::{HttpResponse, Resource, guard, web};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const PAGE: &str = "/docs";
const SCRIPT: &str = "/docs/docs.js";
const STYLE: &str = "/docs/docs.css";

/// What is served here.
pub const PAGES: [&str; 3] = [PAGE, SCRIPT, STYLE];

/// The page and its parts.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .service(page_at(PAGE).to(|| page("text/html; charset=utf-8", include_str!("index.html"))))
        .service(page_at(SCRIPT).to(|| page("text/javascript; charset=utf-8", include_str!("docs.js"))))
        .service(page_at(STYLE).to(|| page("text/css; charset=utf-8", include_str!("docs.css"))));
}

/// A page that is only read: what is sent there by other methods goes on to the default service, which knows how to refuse it.
pub fn page_at(path: &str) -> Resource {
    web::resource(path).guard(guard::Any(guard::Get()).or(guard::Head()))
}

async fn page(kind: &'static str, text: &'static str) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(kind)
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .body(text)
}

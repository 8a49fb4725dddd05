//! The page at `/docs`: reads `/openapi.json` and lets one try it. Served from the program itself: nothing from a CDN, and
//! no script or style in the page, so that the strictest policy holds.

use actix_web::http::header;
use actix_web::{HttpResponse, web};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page and its parts.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route(
            "/docs",
            web::get().to(|| page("text/html; charset=utf-8", include_str!("index.html"))),
        )
        .route(
            "/docs/docs.js",
            web::get().to(|| page("text/javascript; charset=utf-8", include_str!("docs.js"))),
        )
        .route(
            "/docs/docs.css",
            web::get().to(|| page("text/css; charset=utf-8", include_str!("docs.css"))),
        );
}

async fn page(kind: &'static str, text: &'static str) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(kind)
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .body(text)
}

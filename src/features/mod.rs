//! UPPER FLOORS: one folder a feature. A feature uses only those before it in this order, through their `mod.rs` alone.
//!
//! Order: health, units, workers, services, sessions, elections, target_sets, indicators, tasks, pravas, campaigns,
//! households, contacts, signoffs, visits, reviews, bulk_voids, draws, audit_indicators, totals, cadre, seals,
//! measures, strength, feed, sync, refusals, webhooks, privacy.

use utoipa::openapi::security::{
    ClientCredentials, Flow, Http, HttpAuthScheme, OAuth2, Scopes, SecurityScheme,
};
use utoipa::openapi::{ComponentsBuilder, Info, OpenApi, OpenApiBuilder};
use utoipa_actix_web::service_config::ServiceConfig;

pub mod audit_indicators;
pub mod bulk_voids;
pub mod cadre;
pub mod campaigns;
pub mod contacts;
pub mod draws;
pub mod elections;
pub mod feed;
pub mod health;
pub mod households;
pub mod indicators;
pub mod measures;
pub mod pravas;
pub mod privacy;
pub mod refusals;
pub mod reviews;
pub mod seals;
pub mod services;
pub mod sessions;
pub mod signoffs;
pub mod strength;
pub mod sync;
pub mod target_sets;
pub mod tasks;
pub mod totals;
pub mod units;
pub mod visits;
pub mod webhooks;
pub mod workers;

/// The routes of every feature. A request is held against one after another until one fits, so those that phones ask for all
/// day come first.
pub fn routes(config: &mut ServiceConfig<'_>) {
    visits::routes(config);
    sync::routes(config);
    totals::routes(config);
    health::routes(config);
    units::routes(config);
    workers::routes(config);
    services::routes(config);
    sessions::routes(config);
    elections::routes(config);
    target_sets::routes(config);
    indicators::routes(config);
    tasks::routes(config);
    pravas::routes(config);
    campaigns::routes(config);
    households::routes(config);
    contacts::routes(config);
    signoffs::routes(config);
    reviews::routes(config);
    bulk_voids::routes(config);
    draws::routes(config);
    audit_indicators::routes(config);
    cadre::routes(config);
    seals::routes(config);
    measures::routes(config);
    strength::routes(config);
    feed::routes(config);
    refusals::routes(config);
    webhooks::routes(config);
    privacy::routes(config);
}

/// The head of the OpenAPI document; the paths come from the handlers.
#[must_use]
pub fn document() -> OpenApi {
    let mut info = Info::new("Sampark", env!("CARGO_PKG_VERSION"));
    info.description = Some(
        "Outreach visits of a cadre organisation, exact totals at every level. Conventions: docs/api.md. \
         The names under `security` are the action that an operation needs."
            .to_owned(),
    );
    let bearer = Http::builder()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .build();
    let service = OAuth2::with_description(
        [Flow::ClientCredentials(ClientCredentials::new(
            "/v1/auth/token",
            Scopes::new(),
        ))],
        "Other programs, registered as services; their actions are fixed at registration, so no scopes are asked for.",
    );
    OpenApiBuilder::new()
        .info(info)
        .components(Some(
            ComponentsBuilder::new()
                .security_scheme("bearer", SecurityScheme::Http(bearer))
                .security_scheme("service", SecurityScheme::OAuth2(service))
                .build(),
        ))
        .build()
}

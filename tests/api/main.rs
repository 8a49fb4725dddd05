//! The integration tests: one binary, one module a feature, over HTTP against a real server on a real PostgreSQL.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::print_stderr,
    reason = "tests"
)]

mod support;

mod access_matrix;
mod architecture;
mod campaigns;
mod contacts;
mod draws;
mod elections;
mod embedded;
mod exactness;
mod feed;
mod feed_following;
mod feed_guide;
mod flag_order;
mod flag_plans;
mod flags;
mod gateway;
mod handover;
mod health;
mod households;
mod imports;
mod kills;
mod limits;
mod migrations;
mod model_phone;
mod moves;
mod notices;
mod openapi;
mod privacy;
mod retention;
mod reviews;
mod revocation;
mod rosters;
mod rotation;
mod seals;
mod services;
mod sessions;
mod sign_in;
mod signoffs;
mod storms;
mod sync;
mod target_sets;
mod tokens;
mod totals;
mod units;
mod visits;
mod webhooks;
mod workers;

//! The integration tests: one binary, one module a feature, over HTTP against a real server on a real PostgreSQL.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::print_stderr,
    reason = "tests"
)]

mod refusals;
mod scopes;
mod sight;
mod support;

mod access_matrix;
mod architecture;
mod bounds;
mod bulk_voids;
mod cadre;
mod campaigns;
mod contacts;
mod database_tls;
mod direction;
mod draws;
mod edge;
mod elections;
mod embedded;
mod exactness;
mod exports;
mod faults;
mod feed;
mod feed_following;
mod feed_guide;
mod flag_answers;
mod flag_order;
mod flag_plans;
mod flags;
mod foreign_ids;
mod gateway;
mod handover;
mod health;
mod hostile_input;
mod households;
mod imports;
mod indicators;
mod journal_coverage;
mod limits;
mod measures;
mod migrations;
mod model_phone;
mod moves;
mod notices;
mod openapi;
mod pravas;
mod privacy;
mod read_plans;
mod retention;
mod reviews;
mod revocation;
mod rosters;
mod rotation;
mod seals;
mod security_document;
mod services;
mod sessions;
mod sign_in;
mod signoffs;
mod storms;
mod strength;
mod sync;
mod sync_guide;
mod sync_receipts;
mod tables;
mod target_sets;
mod tasks;
mod tasks_exactness;
mod telltale;
mod tokens;
mod totals;
mod units;
mod visits;
mod wall;
mod webhooks;
mod workers;

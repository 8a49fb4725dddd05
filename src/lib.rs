//! Sampark ("contact, outreach"): the mobile backend on which a cadre organisation runs its polling booths.
//!
//! # The plan of the house, floor by floor
//! * [`platform`], ground floor: configuration, clock, database, errors; knows nothing of visits.
//! * [`journal`], first floor: every write is journalled; the poster carries journal entries into the ledgers.
//! * [`access`], second floor: who is calling and what he may do.
//! * [`features`], upper floors: one folder a feature, request > api > rules > queries > row > wire.
//! * [`app`]: the one builder of the application, used by `main` and by the tests.
//! * [`docs`]: the page at `/docs`.
//! * [`demo`]: a made-up state, made by the features' own functions.
//!
//! A floor uses only floors below it; a feature uses only features named before it in `features/mod.rs`
//! (tests/architecture.rs). ARCHITECTURE.md tells the journey of a visit through it.

#![forbid(unsafe_code)]

pub mod access;
pub mod app;
pub mod demo;
pub mod docs;
pub mod features;
pub mod journal;
pub mod platform;

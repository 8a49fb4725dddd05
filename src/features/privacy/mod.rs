//! Privacy: what is kept of people is sealed, kept as long as it is needed, and shown, corrected and erased on request.
//!
//! Invariants: no phone and no note stands in the database in the plain once the program has started on it; every step
//! of its own work is bounded, can be interrupted anywhere and is journalled.

mod queries;
mod sealing;

pub use sealing::seal_waiting;

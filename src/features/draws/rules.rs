//! What can be decided from values alone: how many are drawn and what rejects (`plan`), which are drawn (`select`), what
//! a back-check says of a visit (`compare`), what follows for the error rate (`rate`), and who checks (`spread`).

pub mod compare;
pub mod plan;
pub mod rate;
pub mod select;
pub mod spread;

//! Fields that not everyone sees who sees the thing they belong to. This is the one table; docs/roles.md is printed from it
//! by a test.
//!
//! A field is shown whole to its author, and to whoever holds one of its roles over the place. Anyone else who may
//! read the thing gets it without the field, or with a coarse one.
//!
//! Two things are shown whole from wherever one comes: the place of a back-check, to the one verifier who was given it, since
//! he has to find the door; and notes on tasks, which tell of the cadre's work and are its evidence.

use Role::{BoothWorker, MandalCoordinator, MandalWorker};

use super::caller::Caller;
use super::roles::Role;
use crate::platform::ids::UnitId;

/// Such a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrivateField {
    /// What an author noted of a visit, or said to its flags.
    VisitNote,
    /// Where the phone was.
    VisitPlace,
    /// Where a household is.
    HouseholdPlace,
}

/// What is shown instead to those who are not near.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FromAfar {
    Nothing,
    /// To three decimals, about 100 m.
    Coarse,
}

/// Who works at the doors, up to the mandal.
const NEAR: &[Role] = &[BoothWorker, MandalWorker, MandalCoordinator];

#[rustfmt::skip]
const TABLE: &[(PrivateField, &str, &[Role], FromAfar)] = &[
    (PrivateField::VisitNote, "note of a visit, answers to its flags", NEAR, FromAfar::Nothing),
    (PrivateField::VisitPlace, "location of a visit", NEAR, FromAfar::Coarse),
    (PrivateField::HouseholdPlace, "location of a household", NEAR, FromAfar::Coarse),
];

impl PrivateField {
    /// Every one, with what people call it and what is shown of it from afar.
    pub fn all() -> impl Iterator<Item = (Self, &'static str, FromAfar)> {
        TABLE.iter().map(|(field, name, _, afar)| (*field, *name, *afar))
    }

    /// Whether this role shows it whole.
    #[must_use]
    pub fn is_shown_to(self, role: Role) -> bool {
        TABLE
            .iter()
            .any(|(field, _, near, _)| *field == self && near.contains(&role))
    }

    /// The units under which it is shown whole to the caller.
    #[must_use]
    pub fn roots(self, caller: &Caller) -> Vec<UnitId> {
        let near = caller.grants().filter(|grant| self.is_shown_to(grant.role));
        near.map(|grant| grant.unit_id).collect()
    }
}

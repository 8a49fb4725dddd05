//! Roles are sets of actions. This is the one table; docs/roles.md is printed from it by a test.

use serde::{Deserialize, Serialize};

use super::actions::ActionName;
use super::actions::ActionName::*;

/// A role that a worker can hold at a unit.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    BoothWorker,
    MandalWorker,
    MandalCoordinator,
    DistrictCoordinator,
    ConstituencyCoordinator,
    StateAdmin,
    NationalAdmin,
    Auditor,
    Service,
}

/// What a field worker may do in his booths.
const FIELD: &[ActionName] = &[
    UnitRead,
    CampaignRead,
    HouseholdRead,
    HouseholdWrite,
    VisitRecord,
    VisitReadOwn,
    VisitCorrectOwn,
    TotalsRead,
    SyncRead,
    ContactWrite,
    ContactReadOwn,
    ContactCorrectOwn,
];

/// What who answers for field workers may do.
const COORDINATION: &[ActionName] = &[
    UnitRead,
    CampaignRead,
    HouseholdRead,
    HouseholdWrite,
    VisitRecord,
    VisitReadOwn,
    VisitCorrectOwn,
    TotalsRead,
    WorkerRead,
    WorkerWrite,
    GrantWrite,
    VisitRead,
    VisitCorrect,
    VisitVoid,
    ReviewWrite,
    SignoffRead,
    SignoffWrite,
    VisitExport,
    TotalsCheck,
    ElectionRead,
    TargetSetRead,
    FeedRead,
    SyncRead,
    ContactWrite,
    ContactReadOwn,
    ContactRead,
    ContactCorrectOwn,
    ContactCorrect,
    JournalRead,
];

/// What who answers for mandals may do: the same, and reopen what they signed.
const SUPERVISION: &[ActionName] = &[
    UnitRead,
    CampaignRead,
    HouseholdRead,
    HouseholdWrite,
    VisitRecord,
    VisitReadOwn,
    VisitCorrectOwn,
    TotalsRead,
    WorkerRead,
    WorkerWrite,
    GrantWrite,
    VisitRead,
    VisitCorrect,
    VisitVoid,
    ReviewWrite,
    SignoffRead,
    SignoffWrite,
    SignoffReopen,
    VisitExport,
    TotalsCheck,
    ElectionRead,
    TargetSetRead,
    FeedRead,
    SyncRead,
    ContactWrite,
    ContactReadOwn,
    ContactRead,
    ContactCorrectOwn,
    ContactCorrect,
    JournalRead,
];

/// What who only looks may do; of contacts, who read them, not the numbers.
const READING: &[ActionName] = &[
    UnitRead,
    WorkerRead,
    CampaignRead,
    HouseholdRead,
    VisitReadOwn,
    VisitRead,
    VisitExport,
    SignoffRead,
    TotalsRead,
    TotalsCheck,
    ElectionRead,
    TargetSetRead,
    FeedRead,
    ContactAudit,
    JournalRead,
];

/// What who answers for a seat may do: read everything under it, and direct the work there.
const SEAT: &[ActionName] = &[
    UnitRead,
    WorkerRead,
    CampaignRead,
    HouseholdRead,
    VisitReadOwn,
    VisitRead,
    VisitExport,
    TotalsRead,
    TotalsCheck,
    ElectionRead,
    TargetSetRead,
    TargetSetWrite,
    FeedRead,
    JournalRead,
];

/// Everything.
const ALL: &[ActionName] = &[
    UnitRead,
    UnitWrite,
    UnitImport,
    WorkerRead,
    WorkerWrite,
    GrantWrite,
    CampaignRead,
    CampaignWrite,
    HouseholdRead,
    HouseholdWrite,
    VisitRecord,
    VisitReadOwn,
    VisitRead,
    VisitCorrectOwn,
    VisitCorrect,
    VisitVoid,
    ReviewWrite,
    SignoffRead,
    SignoffWrite,
    SignoffReopen,
    VisitExport,
    TotalsRead,
    TotalsCheck,
    JournalRead,
    ServiceRead,
    ServiceWrite,
    WebhookRead,
    WebhookWrite,
    ElectionRead,
    ElectionImport,
    ElectionWrite,
    TargetSetRead,
    TargetSetWrite,
    FeedRead,
    SyncRead,
    ContactWrite,
    ContactReadOwn,
    ContactRead,
    ContactCorrectOwn,
    ContactCorrect,
    ContactAudit,
];

impl Role {
    /// Every role.
    pub const EVERY: &'static [Self] = &[
        Self::BoothWorker,
        Self::MandalWorker,
        Self::MandalCoordinator,
        Self::DistrictCoordinator,
        Self::ConstituencyCoordinator,
        Self::StateAdmin,
        Self::NationalAdmin,
        Self::Auditor,
        Self::Service,
    ];

    /// The role's name, as in requests and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BoothWorker => "booth_worker",
            Self::MandalWorker => "mandal_worker",
            Self::MandalCoordinator => "mandal_coordinator",
            Self::DistrictCoordinator => "district_coordinator",
            Self::ConstituencyCoordinator => "constituency_coordinator",
            Self::StateAdmin => "state_admin",
            Self::NationalAdmin => "national_admin",
            Self::Auditor => "auditor",
            Self::Service => "service",
        }
    }

    /// The role with this name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::EVERY.iter().copied().find(|role| role.as_str() == name)
    }

    /// What it may do.
    #[must_use]
    pub const fn actions(self) -> &'static [ActionName] {
        match self {
            Self::BoothWorker | Self::MandalWorker => FIELD,
            Self::MandalCoordinator => COORDINATION,
            Self::DistrictCoordinator => SUPERVISION,
            Self::ConstituencyCoordinator => SEAT,
            Self::Auditor => READING,
            Self::StateAdmin | Self::NationalAdmin => ALL,
            // A service's actions are those it was registered with.
            Self::Service => &[],
        }
    }

    /// Levels of the units at which it can be held; empty: any.
    #[must_use]
    pub const fn levels(self) -> &'static [&'static str] {
        match self {
            Self::BoothWorker => &["booth", "shakti_kendra"],
            Self::MandalWorker | Self::MandalCoordinator => &["mandal"],
            Self::DistrictCoordinator => &["district"],
            Self::ConstituencyCoordinator => &["assembly_constituency", "parliamentary_constituency"],
            Self::StateAdmin => &["state"],
            Self::NationalAdmin => &["nation"],
            Self::Auditor | Self::Service => &[],
        }
    }

    /// Whether it holds only in a session with a second factor: a code by message alone, which a stolen number gives,
    /// is enough for those who record, not for those who answer for others.
    #[must_use]
    pub const fn needs_second_factor(self) -> bool {
        !matches!(self, Self::BoothWorker | Self::MandalWorker)
    }

    /// Names of the roles that hold without a second factor.
    #[must_use]
    pub fn names_without_second_factor() -> Vec<&'static str> {
        let plain = Self::EVERY.iter().filter(|role| !role.needs_second_factor());
        plain.map(|role| role.as_str()).collect()
    }

    /// Whether it may do this.
    #[must_use]
    pub fn may(self, action: ActionName) -> bool {
        self.actions().contains(&action)
    }

    /// Names of the roles that may do this.
    #[must_use]
    pub fn names_that_may(action: ActionName) -> Vec<&'static str> {
        Self::EVERY
            .iter()
            .filter(|role| role.may(action))
            .map(|role| role.as_str())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_all() {
        for action in ActionName::ALL {
            assert!(Role::NationalAdmin.may(*action), "{}", action.as_str());
        }
    }

    #[test]
    fn who_coordinates_can_give_the_field_roles() {
        for action in Role::MandalWorker.actions() {
            assert!(Role::MandalCoordinator.may(*action), "{}", action.as_str());
        }
    }
}

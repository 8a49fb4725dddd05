//! Roles are sets of actions. This is the one table; docs/roles.md is printed from it by a test.

use serde::{Deserialize, Serialize};

use super::actions::ActionName;
use super::actions::ActionName::*;
use Group::{Coordination, Field, Reading, Seat, Supervision};

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

/// What several roles have in common: who may do an action is told by group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    /// Who records visits.
    Field,
    /// Who answers for field workers.
    Coordination,
    /// Who answers for mandals.
    Supervision,
    /// Who answers for a seat: reads everything under it, and directs the work there.
    Seat,
    /// Who only looks; of contacts, who read them, not the numbers.
    Reading,
}

/// Who may do what, one row an action. Administrators may do everything; a service, what
/// it was registered with.
#[rustfmt::skip]
const TABLE: &[(ActionName, &[Group])] = &[
    (UnitRead, &[Field, Coordination, Supervision, Seat, Reading]),
    (UnitWrite, &[]),
    (UnitImport, &[]),
    (WorkerRead, &[Coordination, Supervision, Seat, Reading]),
    (WorkerWrite, &[Coordination, Supervision]),
    (GrantWrite, &[Coordination, Supervision]),
    (CampaignRead, &[Field, Coordination, Supervision, Seat, Reading]),
    (CampaignWrite, &[]),
    (HouseholdRead, &[Field, Coordination, Supervision, Seat, Reading]),
    (HouseholdWrite, &[Field, Coordination, Supervision]),
    (ContactWrite, &[Field, Coordination, Supervision]),
    (ContactReadOwn, &[Field, Coordination, Supervision]),
    (ContactRead, &[Coordination, Supervision]),
    (ContactCorrectOwn, &[Field, Coordination, Supervision]),
    (ContactCorrect, &[Coordination, Supervision]),
    (ContactAudit, &[Reading]),
    (VisitRecord, &[Field, Coordination, Supervision]),
    (VisitReadOwn, &[Field, Coordination, Supervision, Seat, Reading]),
    (VisitRead, &[Coordination, Supervision, Seat, Reading]),
    (VisitAnswerOwn, &[Field, Coordination, Supervision]),
    (VisitCorrectOwn, &[Field, Coordination, Supervision]),
    (VisitCorrect, &[Coordination, Supervision]),
    (VisitVoid, &[Coordination, Supervision]),
    (VisitExport, &[Coordination, Supervision, Seat, Reading]),
    (ReviewWrite, &[Coordination, Supervision]),
    (AuditIndicatorRead, &[Coordination, Supervision, Seat, Reading]),
    (SignoffRead, &[Coordination, Supervision, Reading]),
    (SignoffWrite, &[Coordination, Supervision]),
    (SignoffReopen, &[Supervision]),
    (DrawRead, &[Coordination, Supervision, Seat, Reading]),
    (DrawWrite, &[Supervision, Reading]),
    (DrawAssign, &[Coordination, Supervision, Reading]),
    (BackCheckWrite, &[Field, Coordination, Supervision, Reading]),
    (TotalsRead, &[Field, Coordination, Supervision, Seat, Reading]),
    (TotalsCheck, &[Coordination, Supervision, Seat, Reading]),
    (FeedRead, &[Coordination, Supervision, Seat, Reading]),
    (SyncRead, &[Field, Coordination, Supervision]),
    (JournalRead, &[Coordination, Supervision, Seat, Reading]),
    (ServiceRead, &[]),
    (ServiceWrite, &[]),
    (WebhookRead, &[]),
    (WebhookWrite, &[]),
    (ElectionRead, &[Coordination, Supervision, Seat, Reading]),
    (ElectionImport, &[]),
    (ElectionWrite, &[]),
    (TargetSetRead, &[Coordination, Supervision, Seat, Reading]),
    (TargetSetWrite, &[Seat]),
    (PostRead, &[Coordination, Supervision, Seat, Reading]),
    (CommitteeWrite, &[]),
    (TaskRead, &[Field, Coordination, Supervision, Seat, Reading]),
    (TaskWrite, &[Coordination, Supervision, Seat]),
    (TaskReport, &[Field, Coordination, Supervision, Seat]),
    (TaskVerify, &[Coordination, Supervision, Seat]),
    (ShortfallRead, &[Coordination, Supervision, Seat, Reading]),
    (TargetWrite, &[Supervision, Seat]),
    (ShortfallFreeze, &[Supervision, Seat]),
    (StrengthRead, &[Coordination, Supervision, Seat, Reading]),
    (StrengthGrade, &[]),
    (StrengthRule, &[]),
    (PravasRead, &[Coordination, Supervision, Seat, Reading]),
    (PravasWrite, &[Seat]),
    (PravasReport, &[Coordination, Supervision, Seat]),
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

    /// What the role has in common with others; `None`: it may do everything, or what it was registered with.
    const fn group(self) -> Option<Group> {
        match self {
            Self::BoothWorker | Self::MandalWorker => Some(Group::Field),
            Self::MandalCoordinator => Some(Group::Coordination),
            Self::DistrictCoordinator => Some(Group::Supervision),
            Self::ConstituencyCoordinator => Some(Group::Seat),
            Self::Auditor => Some(Group::Reading),
            Self::StateAdmin | Self::NationalAdmin | Self::Service => None,
        }
    }

    /// What it may do.
    pub fn actions(self) -> impl Iterator<Item = ActionName> {
        ActionName::ALL
            .iter()
            .copied()
            .filter(move |action| self.may(*action))
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
        match (self, self.group()) {
            (Self::StateAdmin | Self::NationalAdmin, _) => true,
            (_, Some(group)) => TABLE
                .iter()
                .any(|(name, groups)| *name == action && groups.contains(&group)),
            (_, None) => false,
        }
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
    fn every_action_has_one_row() {
        let mut rows: Vec<_> = TABLE.iter().map(|(action, _)| *action).collect();
        rows.sort_unstable();
        assert_eq!(rows, ActionName::ALL);
    }

    #[test]
    fn who_administers_may_do_everything_and_a_service_nothing_by_its_role() {
        for action in ActionName::ALL {
            assert!(Role::NationalAdmin.may(*action), "{}", action.as_str());
            assert!(Role::StateAdmin.may(*action), "{}", action.as_str());
            assert!(!Role::Service.may(*action), "{}", action.as_str());
        }
    }

    #[test]
    fn who_coordinates_can_give_the_field_roles() {
        for action in Role::MandalWorker.actions() {
            assert!(Role::MandalCoordinator.may(action), "{}", action.as_str());
        }
    }
}

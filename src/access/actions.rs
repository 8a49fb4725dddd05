//! What can be done. The names stand in the OpenAPI document (`security`), in docs/roles.md and in the journal.

/// An action as a type, for [`super::Permit`] and [`super::Scope`].
pub trait Action {
    /// The same action as a value.
    const ACTION: ActionName;
}

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident $text:literal)+) => {
        /// An action as a value.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ActionName { $($(#[$doc])* $name),+ }

        impl ActionName {
            /// Every action.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Its name: `visit.record`.
            #[must_use]
            pub const fn as_str(self) -> &'static str { match self { $(Self::$name => $text),+ } }
        }

        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug)]
            pub struct $name;

            impl Action for $name {
                const ACTION: ActionName = ActionName::$name;
            }
        )+
    };
}

actions! {
    /// See units, their places and lineage.
    UnitRead "unit.read"
    /// Make, change and move units.
    UnitWrite "unit.write"
    /// Import units from a file.
    UnitImport "unit.import"
    /// See workers and their grants.
    WorkerRead "worker.read"
    /// Put workers on the roster, change and deactivate them.
    WorkerWrite "worker.write"
    /// Give and end grants.
    GrantWrite "grant.write"
    /// See campaigns and their questions.
    CampaignRead "campaign.read"
    /// Make and change campaigns.
    CampaignWrite "campaign.write"
    /// See households.
    HouseholdRead "household.read"
    /// Write households.
    HouseholdWrite "household.write"
    /// Record citizens' contacts, with their consent.
    ContactWrite "contact.write"
    /// See the contacts that one recorded oneself.
    ContactReadOwn "contact.read_own"
    /// See all contacts.
    ContactRead "contact.read"
    /// Correct and end the contacts that one recorded oneself.
    ContactCorrectOwn "contact.correct_own"
    /// Correct and end anyone's contacts.
    ContactCorrect "contact.correct"
    /// See who read which contacts, without the numbers.
    ContactAudit "contact.audit"
    /// Record visits.
    VisitRecord "visit.record"
    /// See one's own visits.
    VisitReadOwn "visit.read_own"
    /// See all visits.
    VisitRead "visit.read"
    /// Answer the flags of one's own visits.
    VisitAnswerOwn "visit.answer_own"
    /// Correct one's own visits.
    VisitCorrectOwn "visit.correct_own"
    /// Correct anyone's visits.
    VisitCorrect "visit.correct"
    /// Take visits back.
    VisitVoid "visit.void"
    /// Export visits.
    VisitExport "visit.export"
    /// Give verdicts on visits and take them back.
    ReviewWrite "review.write"
    /// See how workers and booths differ from their peers.
    AuditIndicatorRead "audit_indicator.read"
    /// See who has signed which week.
    SignoffRead "signoff.read"
    /// Sign a mandal's week.
    SignoffWrite "signoff.write"
    /// Reopen a signed week.
    SignoffReopen "signoff.reopen"
    /// See draws, their back-checks and the audited totals.
    DrawRead "draw.read"
    /// Request draws, seed and close them.
    DrawWrite "draw.write"
    /// Give drawn visits to verifiers.
    DrawAssign "draw.assign"
    /// Be given drawn visits to check.
    BackCheckWrite "back_check.write"
    /// See totals.
    TotalsRead "totals.read"
    /// Recount totals.
    TotalsCheck "totals.check"
    /// Follow what happens.
    FeedRead "feed.read"
    /// Keep on a phone what field work needs.
    SyncRead "sync.read"
    /// Read the journal, its heads and proofs.
    JournalRead "journal.read"
    /// See services.
    ServiceRead "service.read"
    /// Register services, change and end them.
    ServiceWrite "service.write"
    /// See webhooks and what could not be delivered to them.
    WebhookRead "webhook.read"
    /// Register webhooks, change and delete them.
    WebhookWrite "webhook.write"
    /// See elections, their results and the names of parties.
    ElectionRead "election.read"
    /// Import results of elections.
    ElectionImport "election.import"
    /// Name elections, join and part the names of parties.
    ElectionWrite "election.write"
    /// See target sets and their members.
    TargetSetRead "target_set.read"
    /// Make target sets and new versions of them.
    TargetSetWrite "target_set.write"
    /// See posts, who holds them, committees and entrants.
    PostRead "post.read"
    /// Say which posts a booth's committee must have.
    CommitteeWrite "committee.write"
    /// See tasks, how units stand to them, and the counts.
    TaskRead "task.read"
    /// Set tasks, change and cancel them.
    TaskWrite "task.write"
    /// Report of tasks for a unit.
    TaskReport "task.report"
    /// Verify what units below reported of tasks, or return it.
    TaskVerify "task.verify"
    /// See who falls short of which target, and reviews that were frozen.
    ShortfallRead "shortfall.read"
    /// Set targets.
    TargetWrite "target.write"
    /// Freeze the figures of a review.
    ShortfallFreeze "shortfall.freeze"
    /// See grades of booths and mandals, and who rose and fell.
    StrengthRead "strength.read"
    /// Have a state graded now.
    StrengthGrade "strength.grade"
    /// Say how booths are graded.
    StrengthRule "strength.rule"
    /// See leaders' tours, their coverage and missing reports.
    PravasRead "pravas.read"
    /// Plan tours, change and review them.
    PravasWrite "pravas.write"
    /// Report of stops.
    PravasReport "pravas.report"
}

impl ActionName {
    /// Whether a service may be given it: reading of what holds no people's data.
    #[must_use]
    pub const fn is_for_services(self) -> bool {
        matches!(
            self,
            Self::UnitRead | Self::CampaignRead | Self::TotalsRead | Self::ElectionRead | Self::FeedRead
        )
    }
}

//! Ids are types: a worker's number cannot be taken for a unit's.

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $inner:ty, $sql:ty) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
            diesel::expression::AsExpression, diesel::deserialize::FromSqlRow, utoipa::ToSchema,
        )]
        #[diesel(sql_type = $sql)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl diesel::serialize::ToSql<$sql, diesel::pg::Pg> for $name {
            fn to_sql<'b>(
                &'b self,
                out: &mut diesel::serialize::Output<'b, '_, diesel::pg::Pg>,
            ) -> diesel::serialize::Result {
                <$inner as diesel::serialize::ToSql<$sql, diesel::pg::Pg>>::to_sql(&self.0, out)
            }
        }

        impl diesel::deserialize::FromSql<$sql, diesel::pg::Pg> for $name {
            fn from_sql(bytes: diesel::pg::PgValue<'_>) -> diesel::deserialize::Result<Self> {
                <$inner as diesel::deserialize::FromSql<$sql, diesel::pg::Pg>>::from_sql(bytes).map(Self)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = <$inner as std::str::FromStr>::Err;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

id!(/// A unit of the organisation.
    UnitId, i32, diesel::sql_types::Integer);
id!(/// A worker.
    WorkerId, i32, diesel::sql_types::Integer);
id!(/// Another program that reads.
    ServiceId, i32, diesel::sql_types::Integer);
id!(/// An address of another program that is sent what happens.
    WebhookId, i32, diesel::sql_types::Integer);
id!(/// A grant of a role.
    GrantId, i32, diesel::sql_types::Integer);
id!(/// A campaign.
    CampaignId, i32, diesel::sql_types::Integer);
id!(/// A task.
    TaskId, i32, diesel::sql_types::Integer);
id!(/// A leader's tour.
    PravasId, i32, diesel::sql_types::Integer);
id!(/// A stop of a tour.
    StopId, i32, diesel::sql_types::Integer);
id!(/// A mandal's signature under a week.
    SignoffId, i32, diesel::sql_types::Integer);
id!(/// An order to void many visits.
    BulkVoidId, i32, diesel::sql_types::Integer);
id!(/// An export of visits.
    ExportId, i32, diesel::sql_types::Integer);
id!(/// A visit; the phone makes it.
    VisitId, uuid::Uuid, diesel::sql_types::Uuid);
id!(/// What a unit reports of a task; the phone makes its id.
    TaskReportId, uuid::Uuid, diesel::sql_types::Uuid);
id!(/// What is reported of a stop; the phone makes its id.
    StopReportId, uuid::Uuid, diesel::sql_types::Uuid);
id!(/// A citizen's contact; the phone makes its id.
    ContactId, uuid::Uuid, diesel::sql_types::Uuid);
id!(/// A household; the phone makes it.
    HouseholdId, uuid::Uuid, diesel::sql_types::Uuid);
id!(/// A phone, by its own id for itself.
    DeviceId, uuid::Uuid, diesel::sql_types::Uuid);
id!(/// One sign-in on one device.
    SessionId, uuid::Uuid, diesel::sql_types::Uuid);

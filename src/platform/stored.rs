//! JSON columns, read straight into what they hold.

use diesel::deserialize::{FromSql, FromSqlRow};
use diesel::pg::{Pg, PgValue};
use diesel::sql_types::Jsonb;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A `jsonb` column, understood as a `T`; what cannot be is an error of the query.
#[derive(Clone, Debug, PartialEq, Eq, FromSqlRow)]
pub struct Stored<T>(pub T);

impl<T: DeserializeOwned> FromSql<Jsonb, Pg> for Stored<T> {
    fn from_sql(bytes: PgValue<'_>) -> diesel::deserialize::Result<Self> {
        let value = <Value as FromSql<Jsonb, Pg>>::from_sql(bytes)?;
        Ok(Self(serde_json::from_value(value)?))
    }
}

//! SQL written out, prepared once.
//!
//! Diesel's `sql_query` is never cached, which costs a round trip to the server each time. A [`Statement`] has a
//! text that never changes, so it may be cached: it is parsed once a connection, and after a few executions PostgreSQL
//! keeps one plan for whatever is bound. Where the best plan hangs on what is bound (filters that are null, a booth or a
//! nation), the statement is [`planned_anew`](Statement::planned_anew). Placeholders are written `$1`, `$2`, … each once
//! and in order, as PostgreSQL shows them.

use std::marker::PhantomData;

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::serialize::ToSql;
use diesel::sql_types::{HasSqlType, Untyped};

/// A constant text and the values bound to its placeholders.
#[derive(Clone, Copy, Debug)]
pub struct Statement<B> {
    sql: &'static str,
    binds: B,
    cached: bool,
}

/// A statement without placeholders; [`Statement::bind`] adds one at a time.
#[must_use]
pub const fn statement(sql: &'static str) -> Statement<()> {
    Statement {
        sql,
        binds: (),
        cached: true,
    }
}

/// A value and the SQL type that it is sent as.
#[derive(Clone, Copy, Debug)]
pub struct Bind<ST, U> {
    value: U,
    sql_type: PhantomData<ST>,
}

impl<B> Statement<B> {
    /// Has it planned at every execution for the values that are bound, which costs a round trip: worth it where a plan
    /// for any value would read what these values rule out.
    #[must_use]
    pub fn planned_anew(self) -> Self {
        Self {
            cached: false,
            ..self
        }
    }

    /// Binds the next placeholder.
    pub fn bind<ST, U>(self, value: U) -> Statement<(B, Bind<ST, U>)> {
        Statement {
            sql: self.sql,
            cached: self.cached,
            binds: (
                self.binds,
                Bind {
                    value,
                    sql_type: PhantomData,
                },
            ),
        }
    }
}

/// The bound values, first to last.
pub trait Binds {
    /// How many there are.
    const COUNT: usize;

    /// Pushes the text up to and including the last placeholder of these values; returns the rest of the text.
    fn push<'b>(&'b self, sql: &'static str, out: AstPass<'_, 'b, Pg>) -> QueryResult<&'static str>;
}

impl Binds for () {
    const COUNT: usize = 0;

    fn push<'b>(&'b self, sql: &'static str, _out: AstPass<'_, 'b, Pg>) -> QueryResult<&'static str> {
        Ok(sql)
    }
}

impl<B, ST, U> Binds for (B, Bind<ST, U>)
where
    B: Binds,
    Pg: HasSqlType<ST>,
    U: ToSql<ST, Pg>,
{
    const COUNT: usize = B::COUNT + 1;

    fn push<'b>(&'b self, sql: &'static str, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<&'static str> {
        let rest = self.0.push(sql, out.reborrow())?;
        let placeholder = format!("${}", Self::COUNT);
        let Some((before, after)) = rest.split_once(placeholder.as_str()) else {
            return Err(diesel::result::Error::QueryBuilderError(
                format!("placeholder {placeholder} is missing or out of order").into(),
            ));
        };
        out.push_sql(before);
        out.push_bind_param::<ST, U>(&self.1.value)?;
        Ok(after)
    }
}

impl<B: Binds> QueryFragment<Pg> for Statement<B> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        if !self.cached {
            out.unsafe_to_cache_prepared();
        }
        let rest = self.binds.push(self.sql, out.reborrow())?;
        out.push_sql(rest);
        Ok(())
    }
}

impl<B> QueryId for Statement<B> {
    type QueryId = ();
    // The text is the key under which the prepared statement is kept.
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<B> Query for Statement<B> {
    type SqlType = Untyped;
}

//! The second wall: row-level security in PostgreSQL, whose scope is laid down when a transaction begins.
//!
//! The first wall are the questions that handlers ask of `access::policy`. This one does not trust them: the server's role
//! (`sampark_server`) owns no table and bypasses nothing, and on tables that hold people's data a policy lets through
//! only what the scope of the transaction covers. No scope, no rows.
//!
//! * A request's scope is its caller: himself, and the units of the grants that hold today. It is noted once, where callers
//!   are recognised, and every transaction of the request begins with it ([`noted`]); a handler can neither forget nor
//!   widen it.
//! * A task of the program itself (recorder, sign-in, commands) works on a [`Db`] that says so by name
//!   (`db.as_program(&RECORDER)`), and reaches the [areas](Program) written down here, no others.
//! * `access::policy` adds the booths for which it gives leave by a grant of an earlier day: a worker who was moved still
//!   uploads what he did before.
//!
//! The settings could be set by any statement: the wall is against a forgotten or wrong condition, not against a program
//! that means to climb it.

use std::cell::RefCell;
use std::future::Future;
use std::sync::Arc;

use chrono::NaiveDate;
use diesel::QueryResult;
use diesel::sql_types::{Array, Bool, Integer, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::db::Db;
use super::error::ApiError;
use super::ids::{UnitId, WorkerId};
use super::statement::statement;

/// For whom a request is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Whose own rows are seen; `None` for a service.
    pub worker_id: Option<WorkerId>,
    /// The units at which he holds a grant.
    pub roots: Vec<UnitId>,
    /// The day on which their lineages are asked.
    pub today: NaiveDate,
}

/// A task of the program itself, with the areas of people's data that it reads and writes: `visits` (visits, their
/// versions and reviews, households, doors), `doors` (doors alone), `contacts`, `roster` (workers), `sign_in` (sessions,
/// codes, devices, notices), `answers` (those kept for Idempotency-Key), `webhooks` (with their secrets and what waits
/// for them), `refusals`; `*` is all of them.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Its name, as `sampark.program` shows it.
    pub name: &'static str,
    /// Sets its scope for the transaction.
    pub(super) enter: &'static str,
}

/// Makes a [`Program`]; the text is constant, so that it travels with BEGIN.
#[macro_export]
macro_rules! program {
    ($name:literal reads $reads:literal writes $writes:literal) => {
        $crate::platform::wall::Program::new(
            $name,
            concat!(
                "; SET LOCAL sampark.program = '",
                $name,
                "'; SET LOCAL sampark.reads = '{",
                $reads,
                "}'; SET LOCAL sampark.writes = '{",
                $writes,
                "}'"
            ),
        )
    };
}

impl Program {
    /// For [`program!`](crate::program) alone.
    #[must_use]
    pub const fn new(name: &'static str, enter: &'static str) -> Self {
        Self { name, enter }
    }
}

/// Writes visits for many workers at once. It compares with whatever is stored, and stores where policy gave leave.
pub const RECORDER: Program = program!("recorder" reads "visits" writes "doors");
/// Numbers entries and adds up tallies; needs nobody's data.
pub const POSTER: Program = program!("poster" reads "" writes "");
/// Recognises callers and watches over what is taken from them.
pub const ACCESS: Program = program!("access" reads "roster,sign_in" writes "");
/// Signs people in: nobody is recognised yet.
pub const SIGN_IN: Program = program!("sign_in" reads "roster,sign_in" writes "sign_in");
/// Counts visits anew; shows figures, not rows.
pub const RECOUNT: Program = program!("recount" reads "visits" writes "");
/// Compares a back-check with its visit, and tells who may check what; shows neither visits nor workers.
pub const AUDIT: Program = program!("audit" reads "visits,roster,sign_in" writes "");
/// Tells what is gone from what lies elsewhere: a visit that the feed does not find was erased, not foreign. Shows ids alone.
pub const FEED: Program = program!("feed" reads "visits" writes "");
/// Looks whether a number is on the roster already; says what the caller may know.
pub const ROSTER: Program = program!("roster" reads "roster" writes "");
/// Lets go of what is over: coordinates, answers, contacts, workers who asked for it.
pub const RETENTION: Program =
    program!("retention" reads "visits,contacts,roster,sign_in" writes "visits,contacts,roster,sign_in");
/// Seals what was not sealed yet, and seals anew under a newer data key.
pub const SEALING: Program = program!("sealing" reads "visits,contacts,roster,answers,webhooks" writes "visits,contacts,roster,answers,webhooks");
/// Voids in bulk what was ordered, step by step.
pub const UNDOING: Program = program!("undoing" reads "visits" writes "visits,doors");
/// Counts the cadre anew; shows figures, not people.
pub const CADRE: Program = program!("cadre" reads "roster" writes "");
/// Grades booths by figures, those of the cadre and of audits among them.
pub const GRADER: Program = program!("grader" reads "roster,visits" writes "");
/// Finds which units an indicator lets meet a task, by the same figures.
pub const MEETER: Program = program!("meeter" reads "roster,visits" writes "");
/// Keeps how units stood to their tasks when a day was over; needs nobody's data.
pub const CLOSER: Program = program!("closer" reads "" writes "");
/// Holds every version of every visit against the journal; tells what does not fit.
pub const VERIFY: Program = program!("verify" reads "visits" writes "");
/// Counts what was refused.
pub const REFUSALS: Program = program!("refusals" reads "refusals" writes "refusals");
/// Delivers to webhooks, as the feed would tell it: ids, units and counts.
pub const DELIVERER: Program = program!("deliverer" reads "visits,webhooks" writes "webhooks");
/// The command line: whoever may run it with the database's credentials may do everything.
pub const COMMAND: Program = program!("command" reads "*" writes "*");
/// What a migration sets for its session: an owner is behind the wall as well.
pub(super) const MIGRATION: &str =
    "SET sampark.program = 'migration'; SET sampark.reads = '{*}'; SET sampark.writes = '{*}'";

tokio::task_local! {
    static NOTED: RefCell<Option<Arc<Scope>>>;
}

/// Runs a request, whose scope is noted once its caller is recognised.
pub async fn around<T>(request: impl Future<Output = T>) -> T {
    NOTED.scope(RefCell::new(None), request).await
}

/// Notes the scope of the request at hand; outside of one there is nothing to note it for.
pub fn note(scope: Scope) {
    let _ = NOTED.try_with(|noted| noted.replace(Some(Arc::new(scope))));
}

/// The scope of the request at hand.
pub fn noted() -> Option<Arc<Scope>> {
    NOTED.try_with(|noted| noted.borrow().clone()).ok().flatten()
}

/// Lays the scope down for the transaction. States are named beside the roots, so that a state's rows are known by their
/// `state_id`, without a look at the lineage of each.
pub(super) async fn lay(tx: &mut AsyncPgConnection, scope: &Scope) -> QueryResult<()> {
    statement(
        "SELECT set_config('sampark.worker', $1, true), set_config('sampark.today', $2, true),
                set_config('sampark.roots', $3::int[]::text, true),
                set_config('sampark.states', (
                    SELECT coalesce(array_agg(s.id), '{}')::text FROM units r
                    JOIN units s ON s.level = 'state' AND (s.id = r.id OR r.level = 'nation')
                    WHERE r.id = ANY ($4) AND r.level IN ('state', 'nation')), true)",
    )
    .bind::<Text, _>(scope.worker_id.map(|id| id.to_string()).unwrap_or_default())
    .bind::<Text, _>(scope.today.to_string())
    .bind::<Array<Integer>, _>(&scope.roots)
    .bind::<Array<Integer>, _>(&scope.roots)
    .execute(tx)
    .await
    .map(|_| ())
}

#[derive(diesel::QueryableByName)]
struct ClosedRow {
    #[diesel(sql_type = Bool)]
    closed: bool,
}

/// Whether the connections cannot leave the server's role: its login is that role, or one that may become no other, and no
/// superuser.
///
/// # Errors
/// 503 when the database cannot be had.
pub async fn is_closed(db: &Db) -> Result<bool, ApiError> {
    let row: ClosedRow = db
        .read(async |tx| {
            let asked = statement(
                "SELECT NOT r.rolsuper AND NOT r.rolbypassrls AND NOT EXISTS (
                     SELECT 1 FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
                       AND pg_has_role(session_user, c.relowner, 'MEMBER')) AS closed
                 FROM pg_roles r WHERE r.rolname = session_user",
            );
            Ok(asked.get_result(tx).await?)
        })
        .await?;
    Ok(row.closed)
}

//! The answers to "may this person?": the only room that makes a [`Permit`] or a [`Scope`].

use std::collections::BTreeMap;
use std::marker::PhantomData;

use chrono::{DateTime, NaiveDate, Utc};
use diesel::sql_types::{Array, BigInt, Bool, Date, Double, Integer, Nullable, Text, Timestamptz};
use diesel::{OptionalExtension, QueryResult};
use diesel_async::RunQueryDsl;

use super::actions::{Action, ActionName, UnitRead};
use super::caller::Caller;
use super::roles::Role;
use crate::journal::Actor;
use crate::platform::db::Tx;
use crate::platform::error::{ApiError, Code};
use crate::platform::ids::{GrantId, UnitId, WorkerId};
use crate::platform::location::Location;
use crate::platform::statement::statement;

/// A role held at a unit from a day to a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub id: GrantId,
    pub role: Role,
    pub unit_id: UnitId,
    pub valid_from: NaiveDate,
    /// Last day; `None`: until ended.
    pub valid_to: Option<NaiveDate>,
    pub ended_at: Option<DateTime<Utc>>,
}

impl Grant {
    /// Whether it holds on this day, today or later.
    #[must_use]
    pub fn holds(&self, today: NaiveDate) -> bool {
        self.ended_at.is_none() && self.valid_from <= today && self.valid_to.is_none_or(|last| today <= last)
    }
}

/// Proof that this caller may do `A` at this unit.
#[derive(Debug)]
pub struct Permit<A> {
    actor: Actor,
    place: Place,
    action: PhantomData<A>,
}

/// A unit with what lies above it on a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub unit_id: UnitId,
    pub state_id: UnitId,
    pub level: String,
    /// The unit and all above it in both trees.
    pub lineage: Vec<UnitId>,
}

impl<A> Permit<A> {
    /// Who acts.
    #[must_use]
    pub const fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Where.
    #[must_use]
    pub const fn unit_id(&self) -> UnitId {
        self.place.unit_id
    }

    /// In which state.
    #[must_use]
    pub const fn state_id(&self) -> UnitId {
        self.place.state_id
    }

    /// The unit's level.
    #[must_use]
    pub fn level(&self) -> &str {
        &self.place.level
    }

    /// The unit and all above it in both trees, on the day that was asked about.
    #[must_use]
    pub fn lineage(&self) -> &[UnitId] {
        &self.place.lineage
    }
}

/// The subtrees in which this caller may do `A`.
#[derive(Clone, Debug)]
pub struct Scope<A> {
    actor: Actor,
    roots: Vec<UnitId>,
    action: PhantomData<A>,
}

impl<A> Scope<A> {
    /// Who asks.
    #[must_use]
    pub const fn actor(&self) -> &Actor {
        &self.actor
    }

    /// The units at the top; whatever has one of them in its lineage is in scope.
    #[must_use]
    pub fn roots(&self) -> &[UnitId] {
        &self.roots
    }
}

/// What the program itself may do from its command line: everything. Whoever can run it with the database's
/// credentials needs no grant.
#[must_use]
pub fn program_scope<A: Action>(actor: Actor, nation: Option<UnitId>) -> Scope<A> {
    Scope {
        actor,
        roots: nation.into_iter().collect(),
        action: PhantomData,
    }
}

/// The same as a permit for one unit.
///
/// # Errors
/// 404 if there is no such unit.
pub async fn program_permit<A: Action>(
    tx: &mut Tx,
    actor: Actor,
    unit_id: UnitId,
    today: NaiveDate,
) -> Result<Permit<A>, ApiError> {
    let place = place_on(tx, unit_id, today)
        .await?
        .ok_or_else(ApiError::not_found)?;
    Ok(Permit {
        actor,
        place,
        action: PhantomData,
    })
}

#[derive(diesel::QueryableByName)]
struct PlaceRow {
    #[diesel(sql_type = Integer)]
    unit_id: UnitId,
    #[diesel(sql_type = Integer)]
    state_id: UnitId,
    #[diesel(sql_type = Text)]
    level: String,
    #[diesel(sql_type = Array<Integer>)]
    unit_ids: Vec<UnitId>,
}

impl PlaceRow {
    fn into_place(self) -> Place {
        Place {
            unit_id: self.unit_id,
            state_id: self.state_id,
            level: self.level,
            lineage: self.unit_ids,
        }
    }
}

/// The unit's place on a day, for the program's own decisions; proves nothing about the caller.
///
/// # Errors
/// What the database says.
async fn place_on(tx: &mut Tx, unit_id: UnitId, day: NaiveDate) -> QueryResult<Option<Place>> {
    let row: Option<PlaceRow> = statement(
        "SELECT u.id AS unit_id, u.state_id, u.level, l.unit_ids
         FROM units u JOIN lineages l ON l.unit_id = u.id
         WHERE u.id = $1 AND l.valid_from <= $2 AND (l.valid_to IS NULL OR l.valid_to > $3)",
    )
    .bind::<Integer, _>(unit_id)
    .bind::<Date, _>(day)
    .bind::<Date, _>(day)
    .get_result(tx)
    .await
    .optional()?;
    Ok(row.map(PlaceRow::into_place))
}

/// Asks for leave to do `A` at many units today, in one statement. What is not granted is not in the answer; [`permit`]
/// tells why.
///
/// # Errors
/// What the database says.
pub async fn permits<A: Action>(
    tx: &mut Tx,
    caller: &Caller,
    units: &[UnitId],
) -> QueryResult<Vec<Permit<A>>> {
    let rows: Vec<PlaceRow> = statement(
        "SELECT u.id AS unit_id, u.state_id, u.level, l.unit_ids
         FROM units u JOIN lineages l ON l.unit_id = u.id
         WHERE u.id = ANY ($1) AND l.valid_from <= $2 AND (l.valid_to IS NULL OR l.valid_to > $3)",
    )
    .bind::<Array<Integer>, _>(units)
    .bind::<Date, _>(caller.today())
    .bind::<Date, _>(caller.today())
    .load(tx)
    .await?;
    let places = rows.into_iter().map(PlaceRow::into_place);
    let permits = places
        .filter(|place| caller.may_at(A::ACTION, &place.lineage))
        .map(|place| Permit {
            actor: *caller.actor(),
            place,
            action: PhantomData,
        });
    Ok(permits.collect())
}

/// Asks for leave to do `A` at a unit today.
///
/// # Errors
/// 404 if the unit does not exist or the caller may not even read it; 403 if he may read it but not do this.
pub async fn permit<A: Action>(tx: &mut Tx, caller: &Caller, unit_id: UnitId) -> Result<Permit<A>, ApiError> {
    let place = place_on(tx, unit_id, caller.today())
        .await?
        .ok_or_else(|| ApiError::not_found().for_unit(unit_id))?;
    if caller.may_at(A::ACTION, &place.lineage) {
        Ok(Permit {
            actor: *caller.actor(),
            place,
            action: PhantomData,
        })
    } else if caller.lacks_factor_at(A::ACTION, &place.lineage) {
        Err(factor_missing().for_unit(unit_id))
    } else if caller.may_at(UnitRead::ACTION, &place.lineage) {
        Err(forbidden(A::ACTION).for_unit(unit_id))
    } else {
        Err(ApiError::not_found().for_unit(unit_id))
    }
}

/// The same for an id that stands in a body rather than in the path: what is not to be seen is a bad field.
///
/// # Errors
/// 422 that names the field, or 403.
pub async fn permit_field<A: Action>(
    tx: &mut Tx,
    caller: &Caller,
    unit_id: UnitId,
    pointer: &str,
) -> Result<Permit<A>, ApiError> {
    permit(tx, caller, unit_id).await.map_err(|error| {
        if error.code() == Code::NotFound {
            ApiError::field(
                pointer,
                "unknown_unit",
                "there is no such unit, or it lies outside your grants",
            )
            .for_unit(unit_id)
        } else {
            error
        }
    })
}

/// The subtrees in which the caller may do `A` today.
///
/// # Errors
/// 403 if there is none.
pub fn scope<A: Action>(caller: &Caller) -> Result<Scope<A>, ApiError> {
    let roots = caller.roots(A::ACTION);
    if roots.is_empty() {
        return Err(refusal(caller, A::ACTION));
    }
    Ok(Scope {
        actor: *caller.actor(),
        roots,
        action: PhantomData,
    })
}

/// The part of the caller's scope that lies under a unit.
///
/// # Errors
/// 404 if the unit does not exist or lies outside; 403 if he may read it but not do this.
pub async fn scope_under<A: Action>(
    tx: &mut Tx,
    caller: &Caller,
    under: UnitId,
) -> Result<Scope<A>, ApiError> {
    let permit = permit::<A>(tx, caller, under).await?;
    Ok(Scope {
        actor: *caller.actor(),
        roots: vec![permit.unit_id()],
        action: PhantomData,
    })
}

/// [`scope_under`] if a unit is given, else [`scope`].
///
/// # Errors
/// As those.
pub async fn scope_within<A: Action>(
    tx: &mut Tx,
    caller: &Caller,
    under: Option<UnitId>,
) -> Result<Scope<A>, ApiError> {
    match under {
        Some(under) => scope_under(tx, caller, under).await,
        None => scope(caller),
    }
}

fn forbidden(action: ActionName) -> ApiError {
    ApiError::new(
        Code::Forbidden,
        format!("none of your grants allows {} here", action.as_str()),
    )
}

/// Why a caller who may not do it anywhere may not.
#[must_use]
pub fn refusal(caller: &Caller, action: ActionName) -> ApiError {
    if caller.lacks_factor(action) {
        factor_missing()
    } else {
        forbidden(action)
    }
}

fn factor_missing() -> ApiError {
    ApiError::new(
        Code::SecondFactorRequired,
        "your grants allow this, but this session has no second factor: sign in with the password of your app",
    )
}

/// May the caller give (or end) this role at this unit? Only one all of whose actions he holds there.
///
/// # Errors
/// 403 naming an action that he lacks.
pub fn check_may_give<A>(caller: &Caller, permit: &Permit<A>, role: Role) -> Result<(), ApiError> {
    if role == Role::Service {
        return Err(ApiError::field(
            "/role",
            "not_for_people",
            "a service is registered, not granted",
        ));
    }
    match role
        .actions()
        .find(|action| !caller.may_at(*action, permit.lineage()))
    {
        None => Ok(()),
        Some(action) => Err(ApiError::new(
            Code::Forbidden,
            format!(
                "you cannot give {} here: you do not hold {} yourself",
                role.as_str(),
                action.as_str()
            ),
        )),
    }
}

/// May the caller give a service these actions at this unit? Only what he holds there.
///
/// # Errors
/// 403 naming an action that he lacks.
pub fn check_holds<A>(caller: &Caller, permit: &Permit<A>, actions: &[ActionName]) -> Result<(), ApiError> {
    match actions
        .iter()
        .find(|action| !caller.may_at(**action, permit.lineage()))
    {
        None => Ok(()),
        Some(action) => Err(forbidden(*action)),
    }
}

/// A question put to [`permits_on_days`]: may this worker do it in this booth, on this day or today?
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    pub actor: Actor,
    pub booth_id: UnitId,
    pub day: NaiveDate,
    /// When it was done, by the phone's clock: a grant ended that day still covers what came before.
    pub at: DateTime<Utc>,
    /// Whether the session has a second factor; without one, only the grants of field workers count.
    pub strong: bool,
}

/// The answer: leave for the booth as it lay on that day.
#[derive(Debug)]
pub struct DatedPermit<A> {
    pub permit: Permit<A>,
    /// Whether a grant held on the day itself; else one holds today.
    pub held_on_day: bool,
    /// Where the booth is, if that is known.
    pub location: Option<Location>,
}

#[derive(diesel::QueryableByName)]
struct DatedRow {
    #[diesel(sql_type = BigInt)]
    n: i64,
    #[diesel(sql_type = Integer)]
    state_id: UnitId,
    #[diesel(sql_type = Text)]
    level: String,
    #[diesel(sql_type = Array<Integer>)]
    unit_ids: Vec<UnitId>,
    #[diesel(sql_type = Nullable<Double>)]
    lat: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    lon: Option<f64>,
    /// Whether a grant that was never ended held on the day.
    #[diesel(sql_type = Bool)]
    held: bool,
    /// When the last of those that held on the day was ended.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    held_until: Option<DateTime<Utc>>,
    #[diesel(sql_type = Bool)]
    holds_today: bool,
}

/// What tells questions apart whose answers differ: a phone asks the same for all visits of a day in a booth, whatever
/// their times.
type Question = (Option<WorkerId>, UnitId, NaiveDate, bool);

/// Asks for many at once, in one statement: for the recorder, which serves many callers together, and for uploads by
/// workers who have moved since. Read in the write's own transaction, for which the second wall then lets the booths
/// through for which leave is given. The answers are in the order of the questions; `None` where the booth does not
/// exist or was never his.
///
/// # Errors
/// What the database says.
pub async fn permits_on_days<A: Action>(
    tx: &Tx,
    asks: &[Ask],
    today: NaiveDate,
) -> QueryResult<Vec<Option<DatedPermit<A>>>> {
    let question = |ask: &Ask| -> Question { (ask.actor.worker_id, ask.booth_id, ask.day, ask.strong) };
    // Of the same question the earliest time gets leave if any of them does.
    let mut questions: BTreeMap<Question, DateTime<Utc>> = BTreeMap::new();
    for ask in asks {
        let first = questions.entry(question(ask)).or_insert(ask.at);
        *first = ask.at.min(*first);
    }
    let asked: Vec<Question> = questions.keys().copied().collect();
    let mut found: BTreeMap<Question, DatedRow> = BTreeMap::new();
    for row in dated_rows(tx, &questions, today, A::ACTION).await? {
        let at = usize::try_from(row.n).ok().and_then(|n| n.checked_sub(1));
        if let Some(question) = at.and_then(|at| asked.get(at)) {
            found.insert(*question, row);
        }
    }
    let permits = asks.iter().map(|ask| {
        let row = found.get(&question(ask))?;
        let held_on_day = row.held || row.held_until.is_some_and(|until| until > ask.at);
        (held_on_day || row.holds_today).then(|| DatedPermit {
            permit: Permit {
                actor: ask.actor,
                place: Place {
                    unit_id: ask.booth_id,
                    state_id: row.state_id,
                    level: row.level.clone(),
                    lineage: row.unit_ids.clone(),
                },
                action: PhantomData,
            },
            held_on_day,
            location: Location::from_columns(row.lat, row.lon),
        })
    });
    Ok(permits.collect())
}

/// A row for each question whose booth exists, by the place of the question from 1; opens the booths for which leave is
/// given at the question's time.
async fn dated_rows(
    mut tx: &Tx,
    questions: &BTreeMap<Question, DateTime<Utc>>,
    today: NaiveDate,
    action: ActionName,
) -> QueryResult<Vec<DatedRow>> {
    statement(
        "WITH answer AS MATERIALIZED (
         SELECT a.n, a.booth_id, a.at, u.state_id, u.level, l.unit_ids, u.lat, u.lon, coalesce(g.held, false) AS held,
                g.held_until, coalesce(g.holds_today, false) AS holds_today
         FROM unnest($1::int[], $2::int[], $3::date[], $4::bool[], $5::timestamptz[]) WITH ORDINALITY
                  AS a (worker_id, booth_id, day, strong, at, n)
         JOIN units u ON u.id = a.booth_id
         JOIN lineages l ON l.unit_id = a.booth_id AND l.valid_from <= a.day
                        AND (l.valid_to IS NULL OR l.valid_to > a.day)
         JOIN lineages t ON t.unit_id = a.booth_id AND t.valid_from <= $6 AND (t.valid_to IS NULL OR t.valid_to > $7)
         LEFT JOIN LATERAL (
             SELECT bool_or(d.on_day AND d.ended_at IS NULL) AS held,
                    max(d.ended_at) FILTER (WHERE d.on_day) AS held_until,
                    bool_or(d.unit_id = ANY (t.unit_ids) AND d.valid_from <= $8
                            AND (d.valid_to IS NULL OR d.valid_to >= $9) AND d.ended_at IS NULL) AS holds_today
             FROM (SELECT g.*, g.unit_id = ANY (l.unit_ids) AND g.valid_from <= a.day
                              AND (g.valid_to IS NULL OR g.valid_to >= a.day) AS on_day
                   FROM grants g WHERE g.worker_id = a.worker_id AND g.role = ANY ($10)
                                   AND (a.strong OR g.role = ANY ($11))) AS d
         ) g ON true
         ), opened AS MATERIALIZED (
             SELECT set_config('sampark.booths', (
                 SELECT array_agg(DISTINCT booth_id)::text FROM answer
                 WHERE held OR held_until > at OR holds_today), true) AS booths
         )
         SELECT n, state_id, level, unit_ids, lat, lon, held, held_until, holds_today FROM answer, opened",
    )
    .bind::<Array<Nullable<Integer>>, _>(questions.keys().map(|ask| ask.0).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(questions.keys().map(|ask| ask.1).collect::<Vec<_>>())
    .bind::<Array<Date>, _>(questions.keys().map(|ask| ask.2).collect::<Vec<_>>())
    .bind::<Array<Bool>, _>(questions.keys().map(|ask| ask.3).collect::<Vec<_>>())
    .bind::<Array<Timestamptz>, _>(questions.values().copied().collect::<Vec<_>>())
    .bind::<Date, _>(today)
    .bind::<Date, _>(today)
    .bind::<Date, _>(today)
    .bind::<Date, _>(today)
    .bind::<Array<Text>, _>(Role::names_that_may(action))
    .bind::<Array<Text>, _>(Role::names_without_second_factor())
    .load(&mut tx)
    .await
}

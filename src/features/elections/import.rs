//! The import of results: all or nothing a file, every bad row named; a seat's results are replaced whole.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::NaiveDate;

use super::queries::import::{
    NewResult, NewSeat, UnitRow, add_elections, add_party_names, add_results, find_elections,
    find_party_names, find_seat_units, hold_imports, replace_seats, seat_digests,
};
use super::rules::{COLUMNS, Line, Seats, party_key, places, read_rows};
use super::wire::{LEVELS, ResultImportView};
use crate::access::Scope;
use crate::access::actions::ElectionImport;
use crate::journal::{Digest, Entry, Record};
use crate::platform::csv::{CellError, read_table, rejection};
use crate::platform::db::Tx;
use crate::platform::error::ApiError;
use crate::platform::ids::UnitId;

/// Most rows of a file.
const MAX_ROWS: usize = 200_000;

/// A seat of the file with where it lies.
struct Found<'a> {
    election: &'a str,
    unit: &'a UnitRow,
    lines: Vec<&'a Line>,
    digest: Digest,
}

/// Imports a file of results.
///
/// # Errors
/// 422 that names every bad row, or what the database says; the transaction must then be rolled back.
pub async fn import_results(
    tx: &mut Tx,
    scope: &Scope<ElectionImport>,
    today: NaiveDate,
    file: &[u8],
    dry_run: bool,
) -> Result<(ResultImportView, Record), ApiError> {
    let table = read_table(file, &COLUMNS, &COLUMNS, MAX_ROWS).map_err(|errors| rejection(&errors))?;
    let mut view = ResultImportView {
        rows: table.len(),
        dry_run,
        ..ResultImportView::default()
    };
    let mut errors = Vec::new();
    let seats = read_rows(table, &mut errors);
    let codes: BTreeSet<&str> = seats.keys().map(|(_, code)| code.as_str()).collect();
    let codes: Vec<&str> = codes.into_iter().collect();
    let units = find_seat_units(tx, scope, today, &codes, &LEVELS).await?;
    let found = find(&seats, &units, &mut errors);
    if !errors.is_empty() {
        errors.sort_by_key(|error| error.line);
        return Err(rejection(&errors));
    }
    view.seats = found.len();
    if !dry_run {
        hold_imports(tx, scope).await?;
    }
    let elections = find_elections(tx, scope, &election_codes(&found)).await?;
    let parties = party_names(&found);
    let keys: Vec<&str> = parties.keys().map(String::as_str).collect();
    let known = find_party_names(tx, scope, &keys).await?;
    view.elections_created = election_codes(&found).len() - elections.len();
    view.party_names_created = keys.len() - known.len();
    let changed = changed(tx, scope, &elections, &found, &mut view).await?;
    if dry_run || changed.is_empty() {
        return Ok((view, Record::nothing()));
    }
    Ok((view, store(tx, scope, &parties, &changed).await?))
}

fn election_codes<'a>(found: &[Found<'a>]) -> Vec<&'a str> {
    let codes: BTreeSet<&str> = found.iter().map(|seat| seat.election).collect();
    codes.into_iter().collect()
}

/// The names of the file's parties, as first written, by key.
fn party_names<'a>(found: &[Found<'a>]) -> BTreeMap<String, &'a str> {
    let mut names = BTreeMap::new();
    for line in found.iter().flat_map(|seat| &seat.lines) {
        names.entry(party_key(&line.party)).or_insert(line.party.as_str());
    }
    names
}

/// The seats of the file that lie in scope; the others are errors.
fn find<'a>(
    seats: &'a Seats,
    units: &'a HashMap<String, UnitRow>,
    errors: &mut Vec<CellError>,
) -> Vec<Found<'a>> {
    let mut found = Vec::new();
    for ((election, code), lines) in seats {
        let Some(unit) = units.get(code) else {
            let reason = "no constituency or booth has this code, or it lies outside your grants";
            let line = lines.first().map_or(1, |(line, _)| *line);
            errors.push(CellError::new(line, "constituency", "unknown_unit", reason));
            continue;
        };
        let lines: Vec<&Line> = lines.iter().map(|(_, line)| line).collect();
        let digest = Digest::of(&lines);
        found.push(Found {
            election,
            unit,
            lines,
            digest,
        });
    }
    found
}

/// The seats that are not stored like this yet.
async fn changed<'a, 'b>(
    tx: &mut Tx,
    scope: &Scope<ElectionImport>,
    elections: &HashMap<String, i32>,
    found: &'b [Found<'a>],
    view: &mut ResultImportView,
) -> Result<Vec<&'b Found<'a>>, ApiError> {
    let ids: Vec<i32> = elections.values().copied().collect();
    let units: Vec<UnitId> = found.iter().map(|seat| seat.unit.id).collect();
    let stored = seat_digests(tx, scope, &ids, &units).await?;
    let mut changed = Vec::new();
    for seat in found {
        let election_id = elections.get(seat.election);
        match election_id.and_then(|id| stored.get(&(*id, seat.unit.id))) {
            Some(digest) if digest.as_slice() == seat.digest.0 => continue,
            Some(_) => view.seats_replaced += 1,
            None => view.seats_created += 1,
        }
        changed.push(seat);
    }
    Ok(changed)
}

async fn store(
    tx: &mut Tx,
    scope: &Scope<ElectionImport>,
    parties: &BTreeMap<String, &str>,
    changed: &[&Found<'_>],
) -> Result<Record, ApiError> {
    let codes: BTreeSet<&str> = changed.iter().map(|seat| seat.election).collect();
    let codes: Vec<&str> = codes.into_iter().collect();
    add_elections(tx, scope, &codes).await?;
    let elections = find_elections(tx, scope, &codes).await?;
    let keys: Vec<&str> = parties.keys().map(String::as_str).collect();
    let names: Vec<&str> = parties.values().copied().collect();
    add_party_names(tx, scope, &keys, &names).await?;
    let party_ids = find_party_names(tx, scope, &keys).await?;
    let (mut seats, mut results) = (Vec::new(), Vec::new());
    for seat in changed {
        let election_id = *elections
            .get(seat.election)
            .ok_or_else(|| ApiError::internal("an election was neither made nor found"))?;
        seats.push(seat.head(election_id));
        results.extend(seat.results(election_id, &party_ids)?);
    }
    replace_seats(tx, scope, &seats).await?;
    add_results(tx, scope, &results).await?;
    Ok(record(&elections, changed))
}

impl Found<'_> {
    fn head(&self, election_id: i32) -> NewSeat {
        let votes: i64 = self.lines.iter().map(|line| i64::from(line.votes)).sum();
        NewSeat {
            state_id: self.unit.state_id,
            election_id,
            unit_id: self.unit.id,
            votes: i32::try_from(votes).unwrap_or(i32::MAX),
            digest: self.digest.0.to_vec(),
        }
    }

    fn results(
        &self,
        election_id: i32,
        parties: &HashMap<String, i32>,
    ) -> Result<Vec<NewResult<'_>>, ApiError> {
        let placed = self.lines.iter().zip(places(&self.lines)).zip(1_i16..);
        let results = placed.map(|((line, place), number)| {
            let party_name_id = parties
                .get(&party_key(&line.party))
                .ok_or_else(|| ApiError::internal("a party was neither made nor found"))?;
            Ok(NewResult {
                state_id: self.unit.state_id,
                election_id,
                unit_id: self.unit.id,
                line: number,
                candidate: &line.candidate,
                party_name_id: *party_name_id,
                votes: line.votes,
                place,
            })
        });
        results.collect()
    }
}

/// An election by its code, a seat, and what was imported of it.
type Named<'a> = (&'a str, UnitId, [u8; 32]);

/// One entry a state, about the elections whose seats changed there.
fn record(elections: &HashMap<String, i32>, changed: &[&Found<'_>]) -> Record {
    let mut states: BTreeMap<UnitId, Vec<Named<'_>>> = BTreeMap::new();
    for seat in changed {
        let seats = states.entry(seat.unit.state_id).or_default();
        seats.push((seat.election, seat.unit.id, seat.digest.0));
    }
    let entries = states.into_iter().map(|(state_id, seats)| {
        let ids: BTreeSet<i32> = seats
            .iter()
            .filter_map(|(code, ..)| elections.get(*code).copied())
            .collect();
        let units: Vec<UnitId> = seats.iter().map(|(_, unit_id, _)| *unit_id).collect();
        Entry::new(
            state_id,
            state_id,
            "election.import",
            "election",
            Digest::of(&seats),
        )
        .at_units(units)
        .of_ids(ids)
    });
    Record {
        entries: entries.collect(),
        tallies: Vec::new(),
    }
}

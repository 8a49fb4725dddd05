//! The import of units, for HTTP and for the command line: streamed into a staging table, checked as a whole, stored as a
//! whole. A file twice changes nothing. An empty cell leaves what is stored; an empty `valid_from` means since ever.
//!
//! A row whose parent is not where the unit stands moves it, from its `valid_from` on. Without one, the row says nothing
//! of days: a unit that stands under that parent now, or that stood under it first, is left alone, so that neither an
//! old file undoes later moves nor a list of today rewrites the past.

use std::collections::BTreeMap;
use std::pin::pin;
use std::rc::Rc;

use actix_web::web::Bytes;
use aws_lc_rs::digest;
use chrono::NaiveDate;
use futures_util::{SinkExt, Stream, StreamExt};
use serde_json::json;

use super::queries::import::{
    COPY, Counts, STAGE, Touched, check, count_changes, find_moves, find_nation, imported_units, moved_units,
    read_errors, renew_statistics, resolve, states_of_file, states_of_moves, store_changes, store_moves,
    store_new, wait_for_turn,
};
use super::queries::lineages::{Hold, hold_lineages};
use super::wire::UnitImportView;
use crate::access::Scope;
use crate::access::actions::UnitImport;
use crate::access::policy::program_scope;
use crate::journal::{Actor, Digest, Entry, Record};
use crate::platform::clock::Clock;
use crate::platform::csv::{CellError, TableReader};
use crate::platform::db::{Db, Mode, Tx, staging_error};
use crate::platform::error::{ApiError, Code, OnConstraint};
use crate::platform::idempotency::IdempotencyKey;
use crate::platform::ids::UnitId;
use crate::platform::reply::Reply;
use row::{COLUMNS, REQUIRED, stage_row};

mod row;

/// Most errors that an answer lists.
const MAX_ERRORS: usize = 1000;
/// Bytes that are read, and sent to the database, at once.
const PIECE: usize = 64 * 1024;
/// Units that one journal entry names at most.
const ENTRY: usize = 5000;

/// On whose authority a file is imported, and how.
#[derive(Debug)]
pub struct Import {
    pub scope: Scope<UnitImport>,
    pub today: NaiveDate,
    pub dry_run: bool,
    /// The Idempotency-Key, and the request that it came with but for its body.
    pub key: Option<(String, String)>,
}

impl Import {
    /// By the program itself, from its command line: everywhere.
    ///
    /// # Errors
    /// 503 when the database cannot be had.
    pub async fn by_program(db: &Db, clock: &Clock, dry_run: bool) -> Result<Self, ApiError> {
        let nation = db.read(async |tx| Ok(find_nation(tx).await?)).await?;
        Ok(Self {
            scope: program_scope(Actor::program(clock.now()), nation),
            today: clock.today(),
            dry_run,
            key: None,
        })
    }
}

/// How far an import is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Bytes read so far.
    Read(u64),
    /// The whole file is being compared with what is stored.
    Checking,
    /// It is being stored.
    Storing { created: i64, changed: i64 },
}

/// What was found while a file was read.
struct Staged {
    errors: Errors,
    digest: [u8; 32],
}

/// The first errors, and how many there are.
#[derive(Debug, Default)]
struct Errors {
    first: Vec<CellError>,
    count: usize,
}

impl Errors {
    fn add(&mut self, errors: impl IntoIterator<Item = CellError>, count: usize) {
        self.first.extend(errors);
        self.count = self.count.saturating_add(count);
    }

    fn rejection(mut self) -> ApiError {
        self.first.sort_by_key(|error| error.line);
        self.first.truncate(MAX_ERRORS);
        let errors: Vec<_> = self
            .first
            .iter()
            .map(|error| {
                json!({
                    "pointer": format!("/{}/{}", error.line, error.column), "code": error.code,
                    "detail": error.reason, "line": error.line, "column": error.column, "reason": error.reason,
                })
            })
            .collect();
        let detail = match self.count {
            1 => "1 error; nothing was imported".to_owned(),
            n => format!("{n} errors; nothing was imported"),
        };
        ApiError::new(Code::ImportRejected, detail)
            .with_member("errors", errors.into())
            .with_member("error_count", self.count.into())
    }
}

/// Imports a file: 200 with a [`UnitImportView`].
///
/// # Errors
/// 422 that names every bad row; 409 when a unit of the file was made by someone else meanwhile; what the source or the
/// database says.
pub async fn import_units(
    db: &Db,
    import: Import,
    source: impl Stream<Item = Result<Bytes, ApiError>>,
    progress: impl Fn(Progress) + 'static,
) -> Result<Reply, ApiError> {
    let progress = Rc::new(progress);
    let stage = async |client: &tokio_postgres::Client| stage(client, source, progress.as_ref()).await;
    let (staged, transaction) = db.begin_staged(Mode::LongWrite, stage).await?;
    let actor = *import.scope.actor();
    let digest = Digest(staged.digest);
    let key = import.key.as_ref().map(|(key, request)| IdempotencyKey {
        key: key.clone(),
        request_digest: Digest::of(&(request, staged.digest)).0,
    });
    let errors = Rc::new(staged.errors);
    let work = async move |tx: &mut Tx| {
        let mut errors = Errors {
            first: errors.first.clone(),
            count: errors.count,
        };
        let (view, record) = run(tx, &import, digest, &mut errors, progress.as_ref()).await?;
        if errors.count > 0 {
            return Err(errors.rejection());
        }
        Ok((Reply::ok(&view)?, record))
    };
    db.write_staged(transaction, &actor, key, work).await
}

/// Copies the rows of a file into the staging table, in bounded memory.
async fn stage(
    client: &tokio_postgres::Client,
    source: impl Stream<Item = Result<Bytes, ApiError>>,
    progress: &impl Fn(Progress),
) -> Result<Staged, ApiError> {
    client.batch_execute(STAGE).await.map_err(staging_error)?;
    let sink = client.copy_in(COPY).await.map_err(staging_error)?;
    let (mut source, mut sink) = (pin!(source), pin!(sink));
    let mut context = digest::Context::new(&digest::SHA256);
    let mut table = TableReader::new(&COLUMNS, &REQUIRED);
    let mut errors = Errors::default();
    let mut out: Vec<u8> = Vec::with_capacity(PIECE);
    let mut read: u64 = 0;
    let mut goes_on = true;
    while let Some(bytes) = source.next().await {
        let bytes = bytes?;
        for piece in bytes.chunks(PIECE) {
            context.update(piece);
            if goes_on {
                goes_on = table.feed(piece, &mut |row| stage_one(row, &mut errors, &mut out));
            }
            if out.len() >= PIECE {
                let full = std::mem::replace(&mut out, Vec::with_capacity(PIECE));
                sink.send(Bytes::from(full)).await.map_err(staging_error)?;
            }
            read = read.saturating_add(u64::try_from(piece.len()).unwrap_or(0));
            progress(Progress::Read(read));
        }
    }
    if goes_on {
        table.finish(&mut |row| stage_one(row, &mut errors, &mut out));
    }
    sink.send(Bytes::from(out)).await.map_err(staging_error)?;
    sink.finish().await.map_err(staging_error)?;
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    Ok(Staged { errors, digest })
}

fn stage_one(
    row: Result<crate::platform::csv::Row, CellError>,
    errors: &mut Errors,
    out: &mut Vec<u8>,
) -> bool {
    let mut found = Vec::new();
    match row {
        Ok(row) => {
            if let Some(row) = stage_row(row, &mut found) {
                row.write_copy(out);
            }
        }
        Err(error) => found.push(error),
    }
    if !found.is_empty() {
        let count = found.len();
        let room = MAX_ERRORS.saturating_sub(errors.first.len());
        errors.add(found.into_iter().take(room), count);
    }
    true
}

/// Checks what was staged and stores it, unless something is wrong or it is a trial.
async fn run(
    tx: &mut Tx,
    import: &Import,
    digest: Digest,
    errors: &mut Errors,
    progress: &impl Fn(Progress),
) -> Result<(UnitImportView, Record), ApiError> {
    if !import.dry_run {
        wait_for_turn(tx).await?;
    }
    progress(Progress::Checking);
    resolve(tx).await?;
    // Shared, so that visits go on being recorded while units are only added; alone where some are moved. Asking for more
    // than one holds cannot lock up: no other import is at it, and nobody else asks twice.
    if import.dry_run {
        find_moves(tx).await?;
    } else {
        let states = states_of_file(tx).await?;
        hold_lineages(tx, &states, Hold::Shared).await?;
        find_moves(tx).await?;
        let states = states_of_moves(tx).await?;
        hold_lineages(tx, &states, Hold::Alone).await?;
    }
    check(tx, &import.scope, import.today).await?;
    let most = i64::try_from(MAX_ERRORS).unwrap_or(i64::MAX);
    let (found, count) = read_errors(tx, most).await?;
    errors.add(found, usize::try_from(count).unwrap_or(usize::MAX));
    let counts = count_changes(tx).await?;
    let view = UnitImportView {
        rows: counts.rows,
        created: counts.created,
        updated: counts.updated,
        moved: counts.moved,
        unchanged: counts.unchanged,
        dry_run: import.dry_run,
    };
    if import.dry_run || errors.count > 0 || counts.rows == counts.unchanged {
        return Ok((view, Record::nothing()));
    }
    progress(Progress::Storing {
        created: counts.created,
        changed: counts.rows - counts.created - counts.unchanged,
    });
    store(tx, import, counts).await?;
    Ok((view, record(tx, digest).await?))
}

async fn store(tx: &mut Tx, import: &Import, counts: Counts) -> Result<(), ApiError> {
    let actor = import.scope.actor();
    let meanwhile = || {
        ApiError::new(
            Code::Conflict,
            "a unit of the file was made by someone else meanwhile; send the file again",
        )
    };
    store_new(tx, actor)
        .await
        .on_constraint("units_code_key", meanwhile)?;
    store_changes(tx, actor).await?;
    store_moves(tx).await?;
    Ok(renew_statistics(tx, counts.created).await?)
}

/// Who was made or changed, and who was moved: entries of bounded length for each state.
async fn record(tx: &mut Tx, digest: Digest) -> Result<Record, ApiError> {
    let mut record = Record::nothing();
    for (action, touched) in [
        ("unit.import", imported_units(tx).await?),
        ("unit.place", moved_units(tx).await?),
    ] {
        let mut states: BTreeMap<UnitId, Vec<i32>> = BTreeMap::new();
        for Touched { state_id, unit_id } in touched {
            states.entry(state_id).or_default().push(unit_id.0);
        }
        for (state_id, ids) in states {
            for some in ids.chunks(ENTRY) {
                let entry = Entry::new(state_id, state_id, action, "unit", digest)
                    .at_units(some.iter().map(|id| UnitId(*id)))
                    .of_ids(some.iter().copied());
                record.entries.push(entry);
            }
        }
    }
    Ok(record)
}

//! How much of a visit the caller sees. A stored visit becomes an answer here and nowhere else, so that no route can forget.

use std::collections::BTreeSet;

use diesel::QueryResult;

use super::queries::{VisitRow, booths_under};
use super::wire::{Position, VisitView, Withheld};
use crate::access::Caller;
use crate::access::actions::{Action, VisitExport, VisitRead};
use crate::access::fields::PrivateField;
use crate::platform::db::Tx;
use crate::platform::ids::{UnitId, WorkerId};
use crate::platform::location::coarse;

/// What the caller sees of some visits that he may read.
#[derive(Debug)]
pub struct Sight {
    own: Option<WorkerId>,
    note: Near,
    place: Near,
    /// In which flags are explained to him.
    language: String,
}

/// Where he is near enough to see a field whole.
#[derive(Clone, Debug)]
enum Near {
    /// Wherever he reads visits.
    Everywhere,
    In(BTreeSet<UnitId>),
}

impl Near {
    async fn of(
        tx: &mut Tx,
        caller: &Caller,
        field: PrivateField,
        booths: &BTreeSet<UnitId>,
    ) -> QueryResult<Self> {
        let near = field.roots(caller);
        let mut reads = caller.roots(VisitRead::ACTION);
        reads.extend(caller.roots(VisitExport::ACTION));
        if near.is_empty() || reads.is_empty() || booths.is_empty() {
            return Ok(Self::In(BTreeSet::new()));
        }
        if reads.iter().all(|unit_id| near.contains(unit_id)) {
            return Ok(Self::Everywhere);
        }
        let booths: Vec<UnitId> = booths.iter().copied().collect();
        let under = booths_under(tx, &booths, &near, caller.today()).await?;
        Ok(Self::In(under.into_iter().collect()))
    }

    fn holds(&self, booth_id: UnitId) -> bool {
        match self {
            Self::Everywhere => true,
            Self::In(booths) => booths.contains(&booth_id),
        }
    }
}

impl Sight {
    /// For visits of these booths, as they lie today.
    ///
    /// # Errors
    /// What the database says.
    pub async fn of(
        tx: &mut Tx,
        caller: &Caller,
        booths: impl IntoIterator<Item = UnitId>,
    ) -> QueryResult<Self> {
        let booths: BTreeSet<UnitId> = booths.into_iter().collect();
        Ok(Self {
            own: caller.actor().worker_id,
            note: Near::of(tx, caller, PrivateField::VisitNote, &booths).await?,
            place: Near::of(tx, caller, PrivateField::VisitPlace, &booths).await?,
            language: caller.language().to_owned(),
        })
    }

    /// For what he made himself, and nothing else.
    pub fn of_author(caller: &Caller) -> Self {
        let nowhere = Near::In(BTreeSet::new());
        Self {
            own: caller.actor().worker_id,
            note: nowhere.clone(),
            place: nowhere,
            language: caller.language().to_owned(),
        }
    }

    /// The visit as he sees it.
    #[must_use]
    pub fn show(&self, row: VisitRow) -> VisitView {
        let own = Some(row.worker_id) == self.own;
        let far = !own && !self.place.holds(row.booth_id);
        let row = if far { blur_distances(row) } else { row };
        let mut view = VisitView::whole(row, &self.language);
        if !own && !self.note.holds(view.booth_id) {
            if view.note.take().is_some() {
                view.withheld.push(Withheld::Note);
            }
            let answers = view.flags.iter_mut().filter_map(|flag| flag.answer.as_mut());
            let texts = answers.filter_map(|answer| answer.text.take());
            if texts.count() > 0 {
                view.withheld.push(Withheld::FlagAnswers);
            }
        }
        if far && view.location.is_some() {
            view.location = view.location.map(from_afar);
            view.withheld.push(Withheld::Location);
        }
        view
    }
}

/// A metre-exact distance from a known place would tell what the coarse location withholds: rounded up to 100 m, as
/// coarse as that, and still above the bound that it passed.
fn blur_distances(mut row: VisitRow) -> VisitRow {
    for flag in row.flags.as_array_mut().into_iter().flatten() {
        let distance = flag["measured"]
            .as_f64()
            .filter(|_| flag["code"] == "far_from_booth");
        if let Some(metres) = distance {
            flag["measured"] = ((metres / 100.0).ceil() * 100.0).into();
        }
    }
    row
}

fn from_afar(position: Position) -> Position {
    Position {
        lat: coarse(position.lat),
        lon: coarse(position.lon),
        ..position
    }
}

/// Visits as the caller sees them, in their order.
///
/// # Errors
/// What the database says.
pub async fn show_all(tx: &mut Tx, caller: &Caller, rows: Vec<VisitRow>) -> QueryResult<Vec<VisitView>> {
    let sight = Sight::of(tx, caller, rows.iter().map(|row| row.booth_id)).await?;
    Ok(rows.into_iter().map(|row| sight.show(row)).collect())
}

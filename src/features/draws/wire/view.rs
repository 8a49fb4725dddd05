use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use serde_json::Value;

use super::audited::RateView;
use super::request::{DrawPlan, Finding, Status, Strata, Unconfirmed};
use crate::features::draws::queries::{DrawRow, FiguresRow, FrameRow, ItemRow};
use crate::features::draws::rules::rate::{Group, combined};
use crate::features::visits::Outcome;
use crate::journal::head::HeadView;
use crate::journal::seal::SignedHead;
use crate::platform::ids::{CampaignId, UnitId, VisitId, WorkerId};

/// A draw. Read by itself, it has all that is needed to make it anew: docs/auditing.md tells how.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct DrawView {
    #[schema(example = 1)]
    pub id: i32,
    #[schema(value_type = i32, example = 6)]
    pub unit_id: UnitId,
    #[schema(value_type = i32, example = 1)]
    pub campaign_id: CampaignId,
    pub from: NaiveDate,
    pub to: NaiveDate,
    /// Empty: every visit.
    pub outcomes: Vec<Outcome>,
    pub strata: Strata,
    pub plan: DrawPlan,
    /// How many the plan draws where there are enough.
    #[schema(example = 32)]
    pub planned_size: i32,
    /// How many are drawn.
    #[schema(example = 32)]
    pub size: i32,
    /// So many mismatches reject.
    #[schema(example = 4)]
    pub decision_number: i32,
    /// Whether there were no more visits than the plan wants, so that all are drawn and nothing is left to chance.
    #[schema(example = false)]
    pub all_drawn: bool,
    pub unconfirmed: Unconfirmed,
    pub status: Status,
    #[schema(value_type = i32, example = 7)]
    pub requested_by: WorkerId,
    pub requested_at: DateTime<Utc>,
    /// How many visits could be drawn.
    #[schema(example = 250)]
    pub frame_size: i32,
    /// SHA-256 over the request and the frame, in base64; the digest of the request's entry in the journal.
    pub frame_digest: String,
    /// By which rules back-checks are compared, for every question.
    #[schema(value_type = super::request::Compare)]
    pub compare: Value,
    /// The verdict, once it is closed.
    pub closed: Option<ClosedView>,
    /// Left out while pending, and in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<SeedView>,
    /// What was found so far; left out in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub figures: Option<FiguresView>,
    /// What was drawn, by number; empty while pending, left out in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<Vec<ItemView>>,
}

/// How a draw ended.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = DrawClosedView)]
pub struct ClosedView {
    /// `accepted` or `rejected`.
    #[schema(example = "accepted")]
    pub verdict: String,
    /// The decision number that applied to what counted; 0: too little was found out to accept anything.
    #[schema(example = 4)]
    pub decision_number: i32,
    pub figures: FiguresView,
    /// Why it was closed with visits left unchecked.
    pub reason: Option<String>,
    #[schema(value_type = i32, example = 7)]
    pub closed_by: WorkerId,
    pub closed_at: DateTime<Utc>,
}

/// What was found.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = DrawFiguresView)]
pub struct FiguresView {
    #[schema(example = 30)]
    pub matched: i32,
    #[schema(example = 2)]
    pub mismatched: i32,
    /// Checked, but nothing could be found out.
    #[schema(example = 0)]
    pub unconfirmed: i32,
    /// Not checked.
    #[schema(example = 0)]
    pub unfinished: i32,
    /// Mismatches among those confirmed or refuted; null where there are none.
    pub error_rate: Option<RateView>,
}

impl FiguresView {
    fn new(frame: i32, row: FiguresRow) -> Self {
        let group = Group {
            frame,
            checked: row.matched + row.mismatched,
            mismatched: row.mismatched,
        };
        Self {
            matched: row.matched,
            mismatched: row.mismatched,
            unconfirmed: row.unconfirmed,
            unfinished: row.unfinished,
            error_rate: combined(&[group]).map(RateView::from),
        }
    }
}

/// The head that seeded the draw.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = DrawSeedView)]
pub struct SeedView {
    /// The number of the request's entry in the journal of the state.
    #[schema(example = 41)]
    pub entry_number: i64,
    /// The first signed head that covers it.
    pub head: HeadView,
    /// SHA-256 over the head's root and signature, the draw's id (32 bits, big-endian) and the frame's digest; in base64.
    pub seed: String,
    pub drawn_at: DateTime<Utc>,
}

/// A visit that was drawn.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = DrawItemView)]
pub struct ItemView {
    /// From 1, in the order of chance.
    #[schema(example = 1)]
    pub number: i32,
    /// Its place in the frame, from 1.
    #[schema(example = 17)]
    pub place: i32,
    #[schema(value_type = uuid::Uuid)]
    pub visit_id: VisitId,
    /// The version that is checked.
    #[schema(example = 1)]
    pub version: i32,
    #[schema(value_type = i32, example = 14)]
    pub booth_id: UnitId,
    /// Its author.
    #[schema(value_type = i32, example = 7)]
    pub worker_id: WorkerId,
    #[schema(value_type = Option<i32>)]
    pub verifier_id: Option<WorkerId>,
    pub assigned_at: Option<DateTime<Utc>>,
    /// Null while it was not checked in time.
    pub finding: Option<Finding>,
    #[schema(value_type = Option<uuid::Uuid>)]
    pub back_check_id: Option<uuid::Uuid>,
}

impl From<ItemRow> for ItemView {
    fn from(row: ItemRow) -> Self {
        Self {
            number: row.number,
            place: row.place,
            visit_id: row.visit_id,
            version: row.version,
            booth_id: row.booth_id,
            worker_id: row.worker_id,
            verifier_id: row.verifier_id,
            assigned_at: row.assigned_at,
            finding: row.finding.as_deref().and_then(Finding::find),
            back_check_id: row.back_check_id,
        }
    }
}

impl From<&DrawRow> for DrawView {
    /// As in lists.
    fn from(row: &DrawRow) -> Self {
        let given = row.acceptable.is_none();
        Self {
            id: row.id,
            unit_id: row.unit_id,
            campaign_id: row.campaign_id,
            from: row.from_on,
            to: row.to_on,
            outcomes: row
                .outcomes
                .iter()
                .filter_map(|word| Outcome::find(word))
                .collect(),
            strata: row.strata(),
            plan: DrawPlan {
                size: given.then_some(row.planned_size),
                decision_number: given.then_some(row.planned_decision),
                acceptable: row.acceptable,
                unacceptable: row.unacceptable,
                producer_risk: row.producer_risk,
                consumer_risk: row.consumer_risk,
            },
            planned_size: row.planned_size,
            size: row.size,
            decision_number: row.decision_number,
            all_drawn: row.all_drawn(),
            unconfirmed: row.unconfirmed(),
            status: match (row.drawn_at, row.closed_at) {
                (None, _) => Status::Pending,
                (Some(_), None) => Status::Open,
                (Some(_), Some(_)) => Status::Closed,
            },
            requested_by: row.requested_by,
            requested_at: row.requested_at,
            frame_size: row.frame_size,
            frame_digest: STANDARD.encode(&row.frame_digest),
            compare: row.compare.clone(),
            closed: closed(row),
            seed: None,
            figures: None,
            items: None,
        }
    }
}

fn closed(row: &DrawRow) -> Option<ClosedView> {
    Some(ClosedView {
        verdict: row.verdict.clone()?,
        decision_number: row.final_decision?,
        figures: FiguresView::new(row.frame_size, row.final_figures()?),
        reason: row.close_reason.clone(),
        closed_by: row.closed_by?,
        closed_at: row.closed_at?,
    })
}

impl DrawView {
    /// From the rows; the head is the one that seeded it.
    #[must_use]
    pub fn new(row: &DrawRow, figures: FiguresRow, head: Option<SignedHead>, items: Vec<ItemRow>) -> Self {
        let seed = head
            .zip(row.seed.as_ref())
            .zip(row.entry_number.zip(row.drawn_at));
        Self {
            seed: seed.map(|((head, seed), (entry_number, drawn_at))| SeedView {
                entry_number,
                head: head.into(),
                seed: STANDARD.encode(seed),
                drawn_at,
            }),
            figures: Some(FiguresView::new(row.frame_size, figures)),
            items: Some(items.into_iter().map(ItemView::from).collect()),
            ..row.into()
        }
    }
}

/// A visit that could be drawn.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = DrawFrameItemView)]
pub struct FrameItemView {
    /// From 1, by visit id.
    #[schema(example = 1)]
    pub place: i32,
    #[schema(value_type = uuid::Uuid)]
    pub visit_id: VisitId,
    #[schema(example = 1)]
    pub version: i32,
    #[schema(value_type = i32, example = 14)]
    pub booth_id: UnitId,
    #[schema(value_type = i32, example = 7)]
    pub worker_id: WorkerId,
}

impl From<FrameRow> for FrameItemView {
    fn from(row: FrameRow) -> Self {
        Self {
            place: row.place,
            visit_id: row.visit_id,
            version: row.version,
            booth_id: row.booth_id,
            worker_id: row.worker_id,
        }
    }
}

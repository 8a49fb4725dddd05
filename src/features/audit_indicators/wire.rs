use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::rules::{Figure, MAX_DAYS, OLDEST, Spread, Subject};
use crate::platform::error::ApiError;
use crate::platform::ids::{CampaignId, UnitId, WorkerId};
use crate::platform::validate::FieldErrors;

/// Whose visits are taken together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Worker,
    Booth,
}

impl By {
    /// The name of the list, for its cursors.
    pub const fn list(self) -> &'static str {
        match self {
            Self::Worker => "worker-indicators",
            Self::Booth => "booth-indicators",
        }
    }
}

/// Which visits.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct IndicatorsQuery {
    #[param(value_type = i32, example = 1)]
    pub campaign_id: CampaignId,
    /// First day of the visits, at most 365 days ago.
    #[param(example = "2026-11-01")]
    pub from: NaiveDate,
    /// Last day of the visits, at most 92 days in all.
    #[param(example = "2026-11-30")]
    pub to: NaiveDate,
    /// 1 to 500, 50 if not given.
    pub limit: Option<String>,
    /// `next_cursor` of the answer before.
    pub cursor: Option<String>,
}

impl IndicatorsQuery {
    /// What is wrong with the period.
    ///
    /// # Errors
    /// 422 with everything that is.
    pub fn check(&self, today: NaiveDate) -> Result<(), ApiError> {
        let mut errors = FieldErrors::default();
        errors.day("/from", self.from);
        errors.day("/to", self.to);
        if self.from > self.to {
            errors.add("/to", "before_from", "must not be before `from`");
        }
        if self.to.signed_duration_since(self.from) >= MAX_DAYS {
            let most = MAX_DAYS.num_days();
            errors.add("/to", "too_long", format!("the period has at most {most} days"));
        }
        if today.signed_duration_since(self.from) > OLDEST {
            let days = OLDEST.num_days();
            errors.add(
                "/from",
                "too_old",
                format!(
                    "must be at most {days} days ago: after that visits lose what indicators are made of"
                ),
            );
        }
        if errors.0.is_empty() {
            Ok(())
        } else {
            Err(ApiError::fields(errors))
        }
    }
}

/// How the values of the peers lie.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
pub struct PeerSpreadView {
    /// How many have a value, this one among them.
    #[schema(example = 12)]
    pub peers: usize,
    #[schema(example = 0.41)]
    pub first_quartile: f64,
    #[schema(example = 0.52)]
    pub median: f64,
    #[schema(example = 0.6)]
    pub third_quartile: f64,
    /// The median of the absolute deviations from the median.
    #[schema(example = 0.09)]
    pub mad: f64,
}

/// One indicator.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
pub struct AuditIndicatorView {
    /// A share from 0 to 1, or seconds; null where the sample is under 20.
    #[schema(example = 0.93)]
    pub value: Option<f64>,
    /// From how many visits it comes.
    #[schema(example = 143)]
    pub sample: i64,
    /// Null under five peers with a value.
    pub spread: Option<PeerSpreadView>,
    /// How far from the peers' median, in median absolute deviations: 0.6745 (value - median) / MAD, where the MAD counts as at
    /// least 0.01 (2 s). Beyond 3.5 either way is unlike them.
    #[schema(example = 3.073)]
    pub robust_z: Option<f64>,
}

impl From<Figure> for AuditIndicatorView {
    fn from(figure: Figure) -> Self {
        Self {
            value: figure.value,
            sample: figure.sample,
            spread: figure.spread.map(PeerSpreadView::from),
            robust_z: figure.robust_z,
        }
    }
}

impl From<Spread> for PeerSpreadView {
    fn from(spread: Spread) -> Self {
        Self {
            peers: spread.peers,
            first_quartile: spread.first_quartile,
            median: spread.median,
            third_quartile: spread.third_quartile,
            mad: spread.mad,
        }
    }
}

/// A worker or booth among its peers.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct PeerView {
    /// Whose visits these are; null by booth.
    #[schema(value_type = Option<i32>, example = 7)]
    pub worker_id: Option<WorkerId>,
    /// Where they were made; null by worker.
    #[schema(value_type = Option<i32>)]
    pub booth_id: Option<UnitId>,
    /// The mandal whose workers or booths are the peers; where there is none, the district or state.
    #[schema(value_type = i32, example = 6)]
    pub mandal_id: UnitId,
    /// Visits, without voided ones.
    #[schema(example = 143)]
    pub visits: i64,
    /// The largest `robust_z`, either way; null where there is none. The list is sorted by it.
    #[schema(example = 3.073)]
    pub unlike: Option<f64>,
    /// By name: `contact_rate`, `median_duration_s`, `outside_hours`, `no_gps`, `repeated_answers`, `flag_rate`,
    /// `mismatch_rate`.
    pub indicators: BTreeMap<&'static str, AuditIndicatorView>,
}

impl PeerView {
    /// As the list shows it.
    pub fn new(subject: Subject, by: By) -> Self {
        let id = subject.counts.subject_id;
        let unlike = subject.unlike();
        Self {
            worker_id: (by == By::Worker).then_some(WorkerId(id)),
            booth_id: (by == By::Booth).then_some(UnitId(id)),
            mandal_id: subject.counts.mandal_id,
            visits: subject.counts.visits,
            unlike,
            indicators: subject
                .figures
                .into_iter()
                .map(|(name, figure)| (name, figure.into()))
                .collect(),
        }
    }
}

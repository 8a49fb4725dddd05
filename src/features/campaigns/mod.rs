//! Campaigns (sampark abhiyan): period, scope, questions, issue codes, targets.
//!
//! Who may do what: a campaign is seen by whoever holds `campaign.read` at a unit that shares a booth with it: above it,
//! below it, or across it (a mandal that reaches into the campaign's constituency). It is written with
//! `campaign.write` at its own unit.
//!
//! Invariants: a change of the questions is a new question version and every old one is kept, since an answer keeps
//! the version it was given under; every change counts `version` up by one, so that who has remembered a campaign can
//! tell by [`versions`] whether it still stands; a campaign never moves to another unit.

use utoipa_actix_web::service_config::ServiceConfig;

mod api;
mod queries;
mod rules;
mod wire;

pub use api::{add_campaign, read_campaigns};
pub use queries::{CampaignFacts, list_current, load_facts, versions, versions_at};
pub use rules::check_answers;
pub use wire::{CampaignView, FlagBounds, Issue, NewCampaign, Question, QuestionType};

/// The routes.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(api::list_campaigns)
        .service(api::create_campaign)
        .service(api::get_campaign)
        .service(api::update_campaign);
}

//! The demo: a made-up state with workers, a campaign and two weeks of visits, made by the same functions that serve real
//! ones, from one seed. It is made once, in an empty database, and stays.

mod names;
mod visits;

use std::fmt::Write as _;
use std::net::SocketAddr;

use chrono::{NaiveDate, TimeDelta};
use diesel::sql_types::{Integer, Text};
use diesel::{QueryResult, QueryableByName};
use diesel_async::RunQueryDsl;
use indicatif::{ProgressBar, ProgressStyle};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use crate::access::Role;
use crate::access::policy::program_permit;
use crate::features::campaigns::{NewCampaign, add_campaign};
use crate::features::units::import::{Import, import_units};
use crate::features::workers::{ImportError, Importer, import_roster, load_worker};
use crate::journal::{Actor, poster};
use crate::platform::clock::Clock;
use crate::platform::config::{Config, OtpSender};
use crate::platform::data_keys::DataKeys;
use crate::platform::db::{Db, Tx};
use crate::platform::error::{ApiError, Code};
use crate::platform::ids::{CampaignId, UnitId, WorkerId};
use crate::platform::statement::statement;
use crate::platform::wall::COMMAND;

/// Makes the same state every time.
const SEED: u64 = 2026;
/// Days of visits.
pub const DAYS: i64 = 14;
const SEATS: usize = 4;
const ASSEMBLIES: usize = 24;
const DISTRICTS: usize = 5;
const MANDALS: usize = 100;
const BOOTHS_A_MANDAL: usize = 20;
/// Doors of a booth that are known as households where somebody works.
pub const HOUSEHOLDS: usize = 25;

/// Somebody to sign in as.
#[derive(Clone, Debug)]
pub struct Person {
    pub role: String,
    pub name: String,
    pub phone: String,
    pub unit: String,
}

/// What can be tried.
#[derive(Clone, Debug)]
pub struct Made {
    pub people: Vec<Person>,
    pub state_id: UnitId,
    pub booth_id: UnitId,
    pub campaign_id: CampaignId,
}

/// Makes the demo if the database is empty; tells what there is.
///
/// # Errors
/// If the database cannot be written, or holds something else.
pub async fn make(url: &str, clock: &Clock, keys: &DataKeys) -> Result<Made, ApiError> {
    let db = Db::new(url, 4, keys.clone())?.as_program(&COMMAND);
    let units: CountRow = count(&db, "SELECT count(*)::int AS n FROM units").await?;
    if units.n == 0 {
        let mut random = StdRng::seed_from_u64(SEED);
        let units = units_csv(&mut random);
        let bar = bar("units", 1);
        let source = futures_util::stream::once(async { Ok(units.into()) });
        import_units(&db, Import::by_program(&db, clock, false).await?, source, |_| {}).await?;
        bar.inc(1);
        bar.finish();
        workers(&db, clock).await?;
        let campaign_id = campaign(&db, clock).await?;
        visits::make(&db, clock, campaign_id, &mut random).await?;
        poster::post_all(&db).await?;
    }
    find(&db, clock.today()).await
}

#[derive(QueryableByName)]
struct CountRow {
    #[diesel(sql_type = Integer)]
    n: i32,
}

async fn count(db: &Db, sql: &'static str) -> Result<CountRow, ApiError> {
    db.read(async |tx| Ok(statement(sql).get_result(tx).await?)).await
}

/// A bar on a terminal, nothing elsewhere.
fn bar(what: &'static str, length: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:>12} {bar:40} {pos}/{len}");
    let bar = ProgressBar::new(length).with_message(what);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// The units as a file to be imported: two trees over 2,000 booths, the mandals not lying inside one constituency each.
fn units_csv(random: &mut StdRng) -> String {
    let mut csv = String::from(
        "code,level,name,name_local,organisation_parent,electorate_parent,electors,doors,lat,lon,valid_from\n",
    );
    let mut row = |code: &str, level: &str, name: &names::Name, parents: (&str, &str), figures: &str| {
        let (organisation, electorate) = parents;
        let _ = writeln!(
            csv,
            "{code},{level},\"{}\",\"{}\",{organisation},{electorate},{figures},",
            name.latin, name.devanagari
        );
    };
    let named = |latin: &str, devanagari: &str| names::Name {
        latin: latin.to_owned(),
        devanagari: devanagari.to_owned(),
    };
    let none = ",,,";
    row("IN", "nation", &named("Bharat", "भारत"), ("", ""), none);
    row("SU", "state", &named("Suryadesh", "सूर्यदेश"), ("IN", "IN"), none);
    for n in 0..SEATS {
        let code = format!("SU-PC{}", n + 1);
        row(
            &code,
            "parliamentary_constituency",
            &names::place(n),
            ("", "SU"),
            none,
        );
    }
    for n in 0..ASSEMBLIES {
        let (code, seat) = (
            format!("SU-AC{:02}", n + 1),
            format!("SU-PC{}", n * SEATS / ASSEMBLIES + 1),
        );
        row(
            &code,
            "assembly_constituency",
            &names::place(n),
            ("", &seat),
            none,
        );
    }
    for n in 0..DISTRICTS {
        row(
            &format!("SU-D{}", n + 1),
            "district",
            &names::place(n * 20),
            ("SU", ""),
            none,
        );
    }
    for n in 0..MANDALS {
        let district = format!("SU-D{}", n * DISTRICTS / MANDALS + 1);
        row(
            &format!("SU-M{:03}", n + 1),
            "mandal",
            &names::place(n),
            (&district, ""),
            none,
        );
    }
    for n in 0..MANDALS * BOOTHS_A_MANDAL {
        let mandal = n / BOOTHS_A_MANDAL;
        let assembly = format!("SU-AC{:02}", n * ASSEMBLIES / (MANDALS * BOOTHS_A_MANDAL) + 1);
        let place = names::place(mandal);
        let electors = random.random_range(600..1200);
        let doors = electors / 4;
        let (lat, lon) = (random.random_range(24.0..27.0), random.random_range(80.0..84.0));
        row(
            &format!("SU-B{:04}", n + 1),
            "booth",
            &names::booth(&place, n % BOOTHS_A_MANDAL),
            (&format!("SU-M{:03}", mandal + 1), &assembly),
            &format!("{electors},{doors},{lat:.5},{lon:.5}"),
        );
    }
    csv
}

/// The n-th person's number: from a range that is given to nobody.
fn phone(n: usize) -> String {
    format!("+91600000{n:04}")
}

/// Sixty workers of every role that a person can hold.
fn roster() -> Vec<(Role, String)> {
    let mut roster = vec![
        (Role::NationalAdmin, "IN".to_owned()),
        (Role::StateAdmin, "SU".to_owned()),
        (Role::Auditor, "SU".to_owned()),
    ];
    roster.extend((1..=SEATS).map(|n| (Role::ConstituencyCoordinator, format!("SU-PC{n}"))));
    roster.extend((1..=DISTRICTS).map(|n| (Role::DistrictCoordinator, format!("SU-D{n}"))));
    roster.extend((1..=12).map(|n| (Role::MandalCoordinator, format!("SU-M{:03}", n * 8))));
    roster.extend((1..=12).map(|n| (Role::MandalWorker, format!("SU-M{:03}", n * 8))));
    roster.extend((1..=24).map(|n| (Role::BoothWorker, format!("SU-B{:04}", n * 80))));
    roster
}

async fn workers(db: &Db, clock: &Clock) -> Result<(), ApiError> {
    let since = since(clock);
    let mut csv = String::from("phone,name,unit_code,role,language,valid_from\n");
    let roster = roster();
    for (n, (role, unit)) in roster.iter().enumerate() {
        let _ = writeln!(
            csv,
            "{},{},{unit},{},hi,{since}",
            phone(n),
            names::person(n),
            role.as_str()
        );
    }
    let bar = bar("workers", u64::try_from(roster.len()).unwrap_or(0));
    let actor = Actor::program(clock.now());
    let (today, keys) = (clock.today(), db.keys().clone());
    db.write(&actor, async move |tx| {
        let nation: UnitRow = statement("SELECT id FROM units WHERE level = 'nation'")
            .get_result(tx)
            .await?;
        let importer = Importer::program(actor, nation.id, today);
        let done = import_roster(tx, &keys, &importer, &["+91".to_owned()], csv.as_bytes(), false).await;
        done.map_err(|error| match error {
            ImportError::Rows(rows) => {
                ApiError::internal(format!("the demo's own roster is refused: {rows:?}"))
            }
            ImportError::Other(error) => error,
        })
    })
    .await?;
    bar.set_position(bar.length().unwrap_or(0));
    bar.finish();
    Ok(())
}

/// The day before the first visit.
fn since(clock: &Clock) -> NaiveDate {
    let today = clock.today();
    today.checked_sub_signed(TimeDelta::days(DAYS)).unwrap_or(today)
}

#[derive(QueryableByName)]
struct UnitRow {
    #[diesel(sql_type = Integer)]
    id: UnitId,
}

async fn campaign(db: &Db, clock: &Clock) -> Result<CampaignId, ApiError> {
    let new = json!({
        "name": "Ghar Ghar Sampark", "unit_id": 0, "starts_on": since(clock),
        "questions": [
            {"key": "heard", "type": "bool", "required": true,
             "labels": {"en": "Have you heard of our work here?", "hi": "क्या आपने यहाँ हमारे काम के बारे में सुना है?"}},
            {"key": "need", "type": "choice", "options": ["road", "water", "school", "power"],
             "labels": {"en": "What is needed most?", "hi": "सबसे ज़रूरी क्या है?"},
             "option_labels": {"road": {"hi": "सड़क"}, "water": {"hi": "पानी"}, "school": {"hi": "स्कूल"}, "power": {"hi": "बिजली"}}},
            {"key": "trust", "type": "scale", "labels": {"en": "How satisfied are you, 1 to 5?", "hi": "आप कितने संतुष्ट हैं, 1 से 5?"}},
        ],
        "issues": [
            {"code": "water", "labels": {"en": "Water", "hi": "पानी"}},
            {"code": "road", "labels": {"en": "Road", "hi": "सड़क"}},
        ],
        "targets": {"doors_reached": 5000},
    });
    let new: NewCampaign = serde_json::from_value(new).map_err(ApiError::internal)?;
    let actor = Actor::program(clock.now());
    let today = clock.today();
    db.write(&actor, async move |tx| {
        let state: UnitRow = statement("SELECT id FROM units WHERE level = 'state' ORDER BY id LIMIT 1")
            .get_result(tx)
            .await?;
        let permit = program_permit(tx, actor, state.id, today).await?;
        let new = NewCampaign {
            unit_id: state.id,
            ..new.clone()
        };
        add_campaign(tx, &permit, &new).await
    })
    .await
}

/// The people of the demo, one a role, and what its commands need.
async fn find(db: &Db, today: NaiveDate) -> Result<Made, ApiError> {
    #[derive(QueryableByName)]
    struct PlacesRow {
        #[diesel(sql_type = Integer)]
        state_id: UnitId,
        #[diesel(sql_type = Integer)]
        booth_id: UnitId,
        #[diesel(sql_type = Integer)]
        campaign_id: CampaignId,
    }
    #[derive(QueryableByName)]
    struct PersonRow {
        #[diesel(sql_type = Integer)]
        id: WorkerId,
        #[diesel(sql_type = Text)]
        role: String,
        #[diesel(sql_type = Text)]
        unit: String,
    }
    async fn people(tx: &mut Tx, keys: &DataKeys, today: NaiveDate) -> QueryResult<Vec<Person>> {
        let rows: Vec<PersonRow> = statement(
            "SELECT * FROM (SELECT DISTINCT ON (g.role) g.role, u.name AS unit, w.id FROM grants g
             JOIN workers w ON w.id = g.worker_id AND w.active JOIN units u ON u.id = g.unit_id
             WHERE g.ended_at IS NULL ORDER BY g.role, w.id) p ORDER BY id",
        )
        .load(tx)
        .await?;
        let mut people = Vec::with_capacity(rows.len());
        for row in rows {
            if let Some(worker) = load_worker(tx, keys, row.id, today).await? {
                people.push(Person {
                    role: row.role,
                    name: worker.name,
                    phone: worker.phone,
                    unit: row.unit,
                });
            }
        }
        Ok(people)
    }
    db.read(async |tx| {
        let places: Vec<PlacesRow> = statement(
            "SELECT u.state_id, u.id AS booth_id, c.id AS campaign_id FROM campaigns c, grants g
             JOIN units u ON u.id = g.unit_id AND u.level = 'booth' ORDER BY c.id, g.id LIMIT 1",
        )
        .load(tx)
        .await?;
        let place = places.into_iter().next().ok_or_else(|| {
            ApiError::new(
                Code::Conflict,
                "the database holds units of its own and no demo; serve it, or clear it (./dev reset)",
            )
        })?;
        Ok(Made {
            people: people(tx, db.keys(), today).await?,
            state_id: place.state_id,
            booth_id: place.booth_id,
            campaign_id: place.campaign_id,
        })
    })
    .await
}

/// What to try, for the terminal.
#[must_use]
pub fn introduction(made: &Made, address: SocketAddr, config: &Config) -> String {
    let base = format!("http://{address}");
    let program =
        std::env::current_exe().map_or_else(|_| "sampark".to_owned(), |path| path.display().to_string());
    let mut text = format!("\nSampark is at {base}, its documentation at {base}/docs\n\nSign in as:\n");
    for person in &made.people {
        let _ = writeln!(
            text,
            "  {:<26}{:<16}{:<18}{}",
            person.role, person.phone, person.name, person.unit
        );
    }
    let code = match &config.otp_sender {
        OtpSender::Console => "the code then appears in this terminal".to_owned(),
        OtpSender::Gateway(_) => "the code then comes as a message".to_owned(),
        OtpSender::File(path) => format!("the code is then the last line of {}", path.display()),
    };
    let phone_of = |role: Role| {
        let person = made.people.iter().find(|person| person.role == role.as_str());
        person.map_or("", |person| person.phone.as_str())
    };
    let (state, booth, campaign) = (made.state_id, made.booth_id, made.campaign_id);
    let (admin, worker) = (phone_of(Role::StateAdmin), phone_of(Role::BoothWorker));
    let _ = write!(
        text,
        r#"
Ask for a code ({code}), then trade it for tokens at /v1/auth/token, or in /docs:
  curl -s {base}/v1/auth/otp -H 'content-type: application/json' -d '{{"phone": "{admin}"}}'

The state's totals (the command in front prints an access token for a number, for whoever runs the server):
  curl -s {base}/v1/units/{state}/totals -H "authorization: Bearer $({program} token --phone {admin})"

Log a visit as a booth worker; the totals above change at once:
  curl -s {base}/v1/visits -H 'content-type: application/json' -H "authorization: Bearer $({program} token --phone {worker})" -d '{{"id": "'$(uuidgen || cat /proc/sys/kernel/random/uuid)'", "campaign_id": {campaign}, "booth_id": {booth}, "visited_at": "'$(date -u +%Y-%m-%dT%H:%M:%SZ)'", "outcome": "met", "people_met": 2, "answers": {{"heard": true}}}}'

Stop with Ctrl-C. The data stays; ./dev reset clears it.
"#
    );
    text
}

/// A worker who logs visits, and the booths where he does.
#[derive(Clone, Debug)]
struct Logger {
    worker_id: WorkerId,
    booths: Vec<UnitId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_is_the_same_every_time_and_as_large_as_promised() {
        let csv = || units_csv(&mut StdRng::seed_from_u64(SEED));
        assert_eq!(csv(), csv());
        let level = |name: &str| {
            csv()
                .lines()
                .filter(|line| line.split(',').nth(1) == Some(name))
                .count()
        };
        assert_eq!(level("parliamentary_constituency"), 4);
        assert_eq!(level("assembly_constituency"), 24);
        assert_eq!(level("mandal"), 100);
        assert_eq!(level("booth"), 2000);
        assert_eq!(roster().len(), 60);
    }
}

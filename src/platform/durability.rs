//! Whether the database keeps what it says it has kept, asked at start: field data cannot be collected twice.

use super::config::Durability;
use super::db::BEGIN_WAIT;
use super::dial::{DialError, Target, dial};
use super::error::ApiError;

/// What is asked for, the values that lose data, and what is lost then.
const SETTINGS: [(&str, &[&str], &str); 4] = [
    (
        "fsync",
        &["off"],
        "a crash of the machine may destroy the database",
    ),
    (
        "full_page_writes",
        &["off"],
        "a crash of the machine may leave pages half written",
    ),
    (
        "synchronous_commit",
        &["off"],
        "a crash loses the visits of the last moments, which phones were told are stored",
    ),
    (
        "data_checksums",
        &["off"],
        "a disk that alters pages is not noticed",
    ),
];

/// A setting that loses data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    pub setting: &'static str,
    pub value: String,
    pub loses: &'static str,
}

impl std::fmt::Display for Doubt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={}: {}", self.setting, self.value, self.loses)
    }
}

/// Which of the settings lose data.
fn doubts(values: &[(&'static str, String)]) -> Vec<Doubt> {
    let losing = SETTINGS.iter().filter_map(|(setting, bad, loses)| {
        let (_, value) = values.iter().find(|(name, _)| name == setting)?;
        bad.contains(&value.as_str()).then(|| Doubt {
            setting,
            value: value.clone(),
            loses,
        })
    });
    losing.collect()
}

/// Asks the server, and refuses it or warns loudly, as configured.
///
/// # Errors
/// If it cannot be asked, or loses data and that is not allowed.
pub async fn check(url: &str, durability: Durability) -> Result<(), ApiError> {
    if Target::parse(url).is_ok_and(|target| target.is_exposed()) {
        tracing::warn!(
            "what is said to the database can be read on the way: add sslmode=verify-full to its URL"
        );
    }
    let asked = tokio::time::timeout(BEGIN_WAIT, ask(url)).await;
    let late = |late| ApiError::unavailable("the database does not answer", late);
    let doubts = doubts(&asked.map_err(late)??);
    if doubts.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = doubts.iter().map(ToString::to_string).collect();
    let list = list.join("; ");
    // Without checksums nothing is lost that was written: a server that cannot be made anew is not refused for that.
    let refuse = doubts.iter().any(|doubt| doubt.setting != "data_checksums");
    if refuse && durability == Durability::Refuse {
        let message = format!(
            "the database does not keep what it is given ({list}). Mend its configuration, or set \
             SAMPARK_DURABILITY=warn to accept the loss"
        );
        return Err(ApiError::internal(message));
    }
    tracing::error!("THE DATABASE MAY LOSE WHAT IT IS GIVEN: {list}");
    Ok(())
}

async fn ask(url: &str) -> Result<Vec<(&'static str, String)>, ApiError> {
    let failed =
        |error: DialError| ApiError::unavailable("the database cannot be asked how it keeps data", error);
    let (client, wire) = dial(url).await.map_err(failed)?;
    tokio::spawn(wire);
    let mut values = Vec::new();
    for (setting, ..) in SETTINGS {
        let row = client
            .query_one("SELECT current_setting($1)", &[&setting])
            .await
            .map_err(|error| failed(error.into()))?;
        let value = row.try_get(0).map_err(|error| failed(error.into()))?;
        values.push((setting, value));
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_loses_data_is_doubted() {
        let of = |commit: &str, fsync: &str| {
            let values = [
                ("fsync", fsync),
                ("full_page_writes", "on"),
                ("synchronous_commit", commit),
                ("data_checksums", "on"),
            ];
            doubts(&values.map(|(name, value)| (name, value.to_owned())))
        };
        for commit in ["on", "local", "remote_write", "remote_apply"] {
            assert_eq!(of(commit, "on"), []);
        }
        let found = of("off", "off");
        let names: Vec<&str> = found.iter().map(|doubt| doubt.setting).collect();
        assert_eq!(names, ["fsync", "synchronous_commit"]);
    }
}

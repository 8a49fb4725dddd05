//! The archive of the write-ahead log.

use std::path::Path;

use super::place::Place;
use super::{PostgresError, io};

/// Each segment is copied beside its place, synced and moved there, and never over another. One that is there already
/// with the same bytes is kept: a server that was killed before it took note asks again.
pub fn archiving(place: &Place, archive: &Path) -> Result<Vec<(String, String)>, PostgresError> {
    std::fs::create_dir_all(archive).map_err(io(format!("{} cannot be made", archive.display())))?;
    let archive = archive
        .canonicalize()
        .map_err(io(format!("{} cannot be reached", archive.display())))?;
    place.give(&archive)?;
    keep_histories(place, &archive)?;
    let at = archive.display();
    let copy = format!(
        "if test -f \"{at}/%f\"; then cmp -s \"%p\" \"{at}/%f\"; else cp \"%p\" \"{at}/.%f.new\" && sync \"{at}/.%f.new\" && \
         mv \"{at}/.%f.new\" \"{at}/%f\" && sync \"{at}\"; fi"
    );
    let settings = [
        ("archive_mode", "on"),
        ("archive_timeout", "60"),
        ("archive_command", copy.as_str()),
    ];
    Ok(settings
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into())
}

/// A restore ends on a timeline of its own, with nothing archived meanwhile: without the history of that timeline in the
/// archive no later restore would follow what this server goes on to write.
fn keep_histories(place: &Place, archive: &Path) -> Result<(), PostgresError> {
    let Ok(entries) = std::fs::read_dir(place.data().join("pg_wal")) else {
        return Ok(());
    };
    for entry in entries {
        let from = entry.map_err(io("pg_wal cannot be read"))?.path();
        let Some(name) = from
            .file_name()
            .filter(|_| from.extension().is_some_and(|end| end == "history"))
        else {
            continue;
        };
        let kept = archive.join(name);
        if kept.exists() {
            continue;
        }
        let failed = || io(format!("{} cannot be written", kept.display()));
        let draft = archive.join(format!(".{}.new", name.to_string_lossy()));
        std::fs::copy(&from, &draft).map_err(failed())?;
        std::fs::File::open(&draft)
            .and_then(|file| file.sync_all())
            .map_err(failed())?;
        std::fs::rename(&draft, &kept).map_err(failed())?;
        place.give(&kept)?;
    }
    std::fs::File::open(archive)
        .and_then(|dir| dir.sync_all())
        .map_err(io(format!("{} cannot be synced", archive.display())))
}

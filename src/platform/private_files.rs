//! Files that hold secrets: nobody but the program's user reads them, and a file is there whole or not at all.

use std::fs;
use std::io::{Error, ErrorKind, Result, Write};
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// Makes a file unless it is there. Written beside and linked, so that of two programs that start at once one makes the
/// file for both.
///
/// # Errors
/// If the directory cannot be written.
pub fn make_once(file: &Path, make: impl FnOnce() -> Result<Vec<u8>>) -> Result<()> {
    if file.try_exists()? {
        return Ok(());
    }
    match make_new(file, &make()?) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Makes a file that is not there yet.
///
/// # Errors
/// If it is there (`AlreadyExists`), or the directory cannot be written.
pub fn make_new(file: &Path, bytes: &[u8]) -> Result<()> {
    let fresh = beside(file)?;
    write(&fresh, bytes)?;
    let linked = fs::hard_link(&fresh, file);
    fs::remove_file(&fresh)?;
    linked
}

/// The files `<stem><ending>` and `<stem>-<unix time><ending>` of a directory, oldest first, each with the time in its name (0
/// if it has none); none if there is no such directory.
///
/// # Errors
/// If the directory cannot be read.
pub fn dated(directory: &Path, stem: &str, ending: &str) -> Result<Vec<(i64, PathBuf)>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let made_at = match name.and_then(|name| name.strip_prefix(stem)?.strip_suffix(ending)) {
            Some("") => Some(0),
            Some(time) => time.strip_prefix('-').and_then(|time| time.parse().ok()),
            None => None,
        };
        if let Some(made_at) = made_at {
            files.push((made_at, path));
        }
    }
    files.sort();
    Ok(files)
}

/// What is in a file; `None` if it is not there: a place for the next key, or one that was removed since the directory was
/// read.
///
/// # Errors
/// If it cannot be read; the file is named.
pub fn read_if_there(file: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(file) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::new(error.kind(), format!("{}: {error}", file.display()))),
    }
}

/// Replaces a file at one stroke: whoever reads it meanwhile reads the old one or the new one.
///
/// # Errors
/// If the directory cannot be written.
pub fn replace(file: &Path, bytes: &[u8]) -> Result<()> {
    let fresh = beside(file)?;
    write(&fresh, bytes)?;
    fs::rename(&fresh, file).inspect_err(|_| {
        let _ = fs::remove_file(&fresh);
    })
}

/// Writes a new file that only its owner reads (0600), to the disk. Who might read it meanwhile is given it whole by
/// [`make_new`] or [`replace`].
fn write(file: &Path, bytes: &[u8]) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut opened = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)?;
    opened.write_all(bytes)?;
    opened.sync_all()
}

/// A free name in the file's directory, which is made if it is not there.
fn beside(file: &Path) -> Result<PathBuf> {
    use std::os::unix::fs::DirBuilderExt;
    let name = file.file_name().and_then(|name| name.to_str());
    let (Some(directory), Some(name)) = (file.parent(), name) else {
        return Err(Error::other(format!(
            "{}: not the name of a file",
            file.display()
        )));
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    Ok(directory.join(format!("{name}.{}.new", Uuid::new_v4())))
}

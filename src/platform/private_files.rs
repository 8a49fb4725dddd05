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
    let fresh = beside(file)?;
    write(&fresh, &make()?)?;
    let linked = fs::hard_link(&fresh, file);
    fs::remove_file(&fresh)?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
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

/// Writes a new file that only its owner reads (0600), to the disk.
///
/// # Errors
/// If there is one already, or it cannot be written.
pub fn write(file: &Path, bytes: &[u8]) -> Result<()> {
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

//! Where the programs of PostgreSQL are.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::PostgresError;

/// The oldest version that will do.
const OLDEST: u32 = 14;

/// The folder of `initdb` and `postgres`: the one given, else of those in `PATH`, `pg_config`'s, Debian's and Homebrew's
/// the newest, or, where data exists, the version that made it.
pub async fn find_binaries(
    given: Option<&Path>,
    path: Option<&OsStr>,
    made_by: Option<u32>,
) -> Result<PathBuf, PostgresError> {
    if let Some(given) = given {
        return match version_in(given).await {
            Some(version) if version >= OLDEST => Ok(given.to_owned()),
            _ => Err(PostgresError::NotInstalled(how_to_install())),
        };
    }
    let mut best: Option<(u32, PathBuf)> = None;
    for folder in candidates(path).await {
        if let Some(version) = version_in(&folder).await
            && version >= OLDEST
            && made_by.is_none_or(|wanted| wanted == version)
            && best.as_ref().is_none_or(|(known, _)| version > *known)
        {
            best = Some((version, folder));
        }
    }
    best.map(|(_, folder)| folder).ok_or_else(|| match made_by {
        Some(version) => PostgresError::OtherVersion(version),
        None => PostgresError::NotInstalled(how_to_install()),
    })
}

const fn how_to_install() -> &'static str {
    if cfg!(target_os = "macos") {
        "brew install postgresql@17"
    } else {
        "sudo apt-get install postgresql"
    }
}

async fn candidates(path: Option<&OsStr>) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = path
        .map(|path| std::env::split_paths(path).collect())
        .unwrap_or_default();
    if let Ok(told) = Command::new("pg_config").arg("--bindir").output().await {
        folders.push(PathBuf::from(String::from_utf8_lossy(&told.stdout).trim()));
    }
    folders.extend(subfolders(Path::new("/usr/lib/postgresql"), ""));
    for homebrew in ["/opt/homebrew/opt", "/usr/local/opt"] {
        folders.extend(subfolders(Path::new(homebrew), "postgresql"));
    }
    folders.retain(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file());
    // One that links to some of them (as `/usr/local/bin` may) has not all: where they really are, they all are.
    for folder in &mut folders {
        if let Ok(real) = folder.join("postgres").canonicalize()
            && let Some(real) = real.parent()
            && real.join("initdb").is_file()
        {
            real.clone_into(folder);
        }
    }
    folders.dedup();
    folders
}

/// `<folder>/<name beginning with prefix>/bin`.
fn subfolders(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let matching = entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
    matching.map(|entry| entry.path().join("bin")).collect()
}

async fn version_in(folder: &Path) -> Option<u32> {
    let told = Command::new(folder.join("postgres"))
        .arg("--version")
        .output()
        .await
        .ok()?;
    major_version(&String::from_utf8_lossy(&told.stdout))
}

/// 15 of `postgres (PostgreSQL) 15.8 (Debian 15.8-0+deb12u1)`, 18 of `postgres (PostgreSQL) 18beta1`.
fn major_version(text: &str) -> Option<u32> {
    let after = text.split("(PostgreSQL) ").nth(1)?;
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read() {
        assert_eq!(
            major_version("postgres (PostgreSQL) 15.8 (Debian 15.8-0+deb12u1)\n"),
            Some(15)
        );
        assert_eq!(major_version("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(major_version("postgres: command not found"), None);
    }

    #[test]
    fn without_programs_the_error_names_the_command_that_installs_them() {
        let message = PostgresError::NotInstalled(how_to_install()).to_string();
        assert!(message.contains("install"), "{message}");
    }
}

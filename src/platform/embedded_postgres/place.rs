//! The directory of the private PostgreSQL: locked, and reachable for the user that runs the server.

use std::fs::{File, Permissions, TryLockError};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;

use super::{PostgresError, io};

/// Where a root program keeps what its unprivileged server cannot reach elsewhere.
const SYSTEM_DIR: &str = "/var/lib/sampark";
/// The file that says where the data is, if it is not here.
const POINTER: &str = "location";
/// Users that may run the server when the program runs as root, the first that exists.
const USERS: [&str; 2] = ["postgres", "nobody"];

/// A directory that is ours as long as this is held.
#[derive(Debug)]
pub struct Place {
    root: PathBuf,
    owner: Option<(u32, u32)>,
    _lock: File,
}

impl Place {
    /// Makes the directory if needed and locks it.
    pub fn take(dir: &Path) -> Result<Self, PostgresError> {
        make(dir, 0o755)?;
        let dir = dir
            .canonicalize()
            .map_err(io(format!("{} cannot be reached", dir.display())))?;
        let path = dir.join("lock");
        let lock = File::create(&path).map_err(io(format!("{} cannot be written", path.display())))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => PostgresError::InUse(dir.clone()),
            TryLockError::Error(source) => io(format!("{} cannot be locked", path.display()))(source),
        })?;
        let owner = if we_are_root(&dir)? {
            Some(unprivileged()?)
        } else {
            None
        };
        let root = root_of(dir, owner)?;
        let place = Self {
            root,
            owner,
            _lock: lock,
        };
        place.give(&place.root)?;
        Ok(place)
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The server's data.
    pub fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// The data while it is being made.
    pub fn draft(&self) -> PathBuf {
        self.root.join("data.new")
    }

    /// The server's log.
    pub fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// The password of the server's superuser.
    pub fn password(&self) -> PathBuf {
        self.root.join("password")
    }

    /// Who runs the server, if that is not who runs the program.
    pub const fn owner(&self) -> Option<(u32, u32)> {
        self.owner
    }

    /// Gives a file to the user that runs the server.
    pub fn give(&self, path: &Path) -> Result<(), PostgresError> {
        let Some((uid, gid)) = self.owner else {
            return Ok(());
        };
        chown(path, Some(uid), Some(gid)).map_err(io(format!("{} cannot be given away", path.display())))
    }
}

/// Where the data is, or shall be. A place once chosen stays: rights may change, and the data must not seem lost.
fn root_of(dir: PathBuf, owner: Option<(u32, u32)>) -> Result<PathBuf, PostgresError> {
    let pointer = dir.join(POINTER);
    if let Ok(told) = std::fs::read_to_string(&pointer) {
        let place = PathBuf::from(told.trim());
        make(&place, 0o755)?;
        return Ok(place);
    }
    match owner {
        Some((uid, _)) if !reachable(&dir, uid) => {
            if dir.join("data").exists() {
                return Err(PostgresError::Failed {
                    what: "starting PostgreSQL as root".to_owned(),
                    detail: format!(
                        "the data in {} cannot be reached by the unprivileged user that must run it; give others the \
                         right to pass through the directories above it (chmod o+x)",
                        dir.display()
                    ),
                });
            }
            elsewhere(&dir)
        }
        _ => Ok(dir),
    }
}

/// A file that we make is ours: that tells whether we are root without asking the system by unsafe means.
fn we_are_root(dir: &Path) -> Result<bool, PostgresError> {
    let probe = dir.join(format!("probe.{}", std::process::id()));
    let what = || format!("{} cannot be written", probe.display());
    let made = File::create(&probe).map_err(io(what()))?;
    let we = made.metadata().map_err(io(what()))?.uid();
    std::fs::remove_file(&probe).map_err(io(what()))?;
    Ok(we == 0)
}

fn make(dir: &Path, mode: u32) -> Result<(), PostgresError> {
    if dir.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(dir)
        .and_then(|()| std::fs::set_permissions(dir, Permissions::from_mode(mode)))
        .map_err(io(format!("{} cannot be made", dir.display())))
}

fn unprivileged() -> Result<(u32, u32), PostgresError> {
    let passwd = std::fs::read_to_string("/etc/passwd").map_err(io("/etc/passwd cannot be read"))?;
    USERS
        .iter()
        .find_map(|name| find_user(&passwd, name))
        .ok_or_else(|| PostgresError::Failed {
            what: "starting PostgreSQL as root".to_owned(),
            detail: "it refuses to run as root, and there is neither a user postgres nor nobody".to_owned(),
        })
}

/// User and group number of a name in the text of /etc/passwd.
fn find_user(passwd: &str, name: &str) -> Option<(u32, u32)> {
    let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// Whether another user can pass through every directory on the way.
fn reachable(dir: &Path, uid: u32) -> bool {
    dir.ancestors().skip(1).all(|above| {
        above
            .metadata()
            .is_ok_and(|above| above.mode() & 0o001 != 0 || (above.uid() == uid && above.mode() & 0o100 != 0))
    })
}

/// A directory of the system's, named by the one that cannot be reached; a file there says where it is.
fn elsewhere(dir: &Path) -> Result<PathBuf, PostgresError> {
    let sum = digest::digest(&digest::SHA256, dir.as_os_str().as_encoded_bytes());
    let name: String = sum
        .as_ref()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let place = Path::new(SYSTEM_DIR).join(name);
    make(Path::new(SYSTEM_DIR), 0o755)?;
    make(&place, 0o755)?;
    let pointer = dir.join(POINTER);
    let text = format!("{}\n", place.display());
    std::fs::write(&pointer, text).map_err(io(format!("{} cannot be written", pointer.display())))?;
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let passwd = "root:x:0:0::/root:/bin/sh\npostgres2:x:7:7:::\npostgres:x:105:111:::\n";
        assert_eq!(find_user(passwd, "postgres"), Some((105, 111)));
        assert_eq!(find_user(passwd, "nobody"), None);
    }

    #[test]
    fn a_private_directory_on_the_way_is_noticed() {
        let outer = std::env::temp_dir().join(format!("sampark-place-{}", std::process::id()));
        let inner = outer.join("inner");
        std::fs::create_dir_all(&inner).unwrap();
        std::fs::set_permissions(&outer, Permissions::from_mode(0o700)).unwrap();
        assert!(!reachable(&inner, 4_000_000));
        std::fs::set_permissions(&outer, Permissions::from_mode(0o711)).unwrap();
        assert!(reachable(&inner, 4_000_000));
        std::fs::remove_dir_all(&outer).unwrap();
    }
}

//! Makes the data of the private PostgreSQL out of a base backup and the archive of the write-ahead log.
//!
//! The settings and the password of the source are not taken over: the restored server is a private one like any other.
//! While it recovers it listens on nothing but a socket in a directory that only its user may enter.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio_postgres::NoTls;

use super::place::Place;
use super::{DATABASE, PostgresError, USER, command, find_binaries, io, password, stop};

const KNOWN_ROLE: &str = "SELECT 1 FROM pg_roles WHERE rolname = $1";

/// What to restore, and to when.
#[derive(Clone, Debug)]
pub struct Source {
    /// The base backup.
    pub data: PathBuf,
    /// The segments that follow it, if they were archived.
    pub wal: PathBuf,
    pub server_version: u32,
    pub superuser: String,
    pub database: String,
    /// An instant as PostgreSQL reads it; `None`: as far as the archive goes.
    pub to: Option<String>,
}

/// What the client's authentication is once it is restored.
const HBA: &str = "local all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\nhost replication all 127.0.0.1/32 scram-sha-256\n";

/// Restores into a directory that holds no data yet.
///
/// # Errors
/// Why it cannot be restored; nothing is left in place of the data then.
pub async fn restore(
    dir: &Path,
    bin: Option<&Path>,
    path: Option<&std::ffi::OsStr>,
    source: &Source,
) -> Result<(), PostgresError> {
    let place = Place::take(dir)?;
    if place.data().exists() {
        return Err(PostgresError::Failed {
            what: "restoring".to_owned(),
            detail: format!("there is a database in {} already", place.root().display()),
        });
    }
    let bin = find_binaries(bin, path, Some(source.server_version)).await?;
    let draft = place.draft();
    let (wal, socket) = (place.root().join("wal.restore"), socket_directory(&place)?);
    let clean = || {
        let _ = std::fs::remove_dir_all(&wal);
        let _ = std::fs::remove_dir_all(&socket);
    };
    clear(&draft)?;
    copy(&source.data, &draft, &place).await?;
    clear(&wal)?;
    if source.wal.is_dir() {
        copy(&source.wal, &wal, &place).await?;
    }
    configure(&place, &draft, &wal, source)?;
    let password = password(&place, false)?;
    std::fs::create_dir_all(&socket).map_err(io("the socket's directory cannot be made"))?;
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o700))
        .map_err(io("the socket's directory cannot be closed to others"))?;
    place.give(&socket)?;
    let recovered = recover(&bin, &place, &socket, source, &password).await;
    clean();
    recovered?;
    write(&place, &draft, "postgresql.auto.conf", "")?;
    write(&place, &draft, "pg_hba.conf", HBA)?;
    std::fs::rename(&draft, place.data()).map_err(io(format!("{} cannot be moved", draft.display())))
}

fn clear(dir: &Path) -> Result<(), PostgresError> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(io(format!("{} cannot be removed", dir.display()))(error))
        }
        _ => Ok(()),
    }
}

/// Short, since the path of a socket may hold a hundred bytes.
fn socket_directory(place: &Place) -> Result<PathBuf, PostgresError> {
    let dir = std::env::temp_dir().join(format!("sampark-restore-{}", std::process::id()));
    clear(&dir)?;
    let _ = place;
    Ok(dir)
}

/// Copies a directory and gives it to the user that runs the server.
async fn copy(from: &Path, to: &Path, place: &Place) -> Result<(), PostgresError> {
    let mut copying = Command::new("cp");
    copying.arg("-R").arg(from).arg(to);
    run(copying, "copying the backup").await?;
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o700))
        .map_err(io(format!("{} cannot be closed to others", to.display())))?;
    if let Some((uid, gid)) = place.owner() {
        let mut giving = Command::new("chown");
        giving.arg("-R").arg(format!("{uid}:{gid}")).arg(to);
        run(giving, "giving the backup to the server's user").await?;
    }
    Ok(())
}

async fn run(mut command: Command, what: &str) -> Result<(), PostgresError> {
    let done = command.output().await.map_err(io(what.to_owned()))?;
    if done.status.success() {
        return Ok(());
    }
    Err(PostgresError::Failed {
        what: what.to_owned(),
        detail: String::from_utf8_lossy(&done.stderr).trim().to_owned(),
    })
}

fn write(place: &Place, dir: &Path, name: &str, text: &str) -> Result<(), PostgresError> {
    let file = dir.join(name);
    std::fs::write(&file, text).map_err(io(format!("{} cannot be written", file.display())))?;
    place.give(&file)
}

/// A text within quotes of PostgreSQL's configuration.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

fn configure(place: &Place, draft: &Path, wal: &Path, source: &Source) -> Result<(), PostgresError> {
    let fetch = format!("cp \"{}/%f\" \"%p\"", wal.display());
    let mut lines = format!(
        "restore_command = {}\nrecovery_target_action = 'promote'\n",
        quoted(&fetch)
    );
    if let Some(to) = &source.to {
        lines.push_str(&format!("recovery_target_time = {}\n", quoted(to)));
    }
    write(place, draft, "postgresql.conf", "")?;
    write(place, draft, "postgresql.auto.conf", &lines)?;
    write(place, draft, "pg_hba.conf", "local all all trust\n")?;
    write(place, draft, "recovery.signal", "")
}

/// Runs the server until it has recovered, and makes it ours.
async fn recover(
    bin: &Path,
    place: &Place,
    socket: &Path,
    source: &Source,
    password: &str,
) -> Result<(), PostgresError> {
    let log = place.root().join("restore.log");
    let out = std::fs::File::create(&log).map_err(io(format!("{} cannot be written", log.display())))?;
    let err = out.try_clone().map_err(io("the log cannot be shared"))?;
    let mut server = command(&bin.join("postgres"), place.owner());
    server.arg("-D").arg(place.draft()).stdout(out).stderr(err);
    for setting in [
        "listen_addresses=".to_owned(),
        format!("unix_socket_directories={}", socket.display()),
        "port=5432".to_owned(),
        "logging_collector=off".to_owned(),
        "log_min_error_statement=panic".to_owned(),
        "archive_mode=off".to_owned(),
        "hot_standby=off".to_owned(),
    ] {
        server.arg("-c").arg(setting);
    }
    let mut server = server.spawn().map_err(io("postgres cannot be run"))?;
    let done = adopt(&mut server, socket, source, password, &log).await;
    stop(&mut server).await;
    done
}

async fn adopt(
    server: &mut Child,
    socket: &Path,
    source: &Source,
    password: &str,
    log: &Path,
) -> Result<(), PostgresError> {
    let failed = |detail: String| PostgresError::Failed {
        what: "recovering from the backup".to_owned(),
        detail,
    };
    let mut config = tokio_postgres::Config::new();
    config
        .host_path(socket)
        .port(5432)
        .user(&source.superuser)
        .dbname("template1");
    // However long the log takes to be replayed: the server ends by itself if it cannot be.
    let (client, connection) = loop {
        if let Ok(connected) = config.connect(NoTls).await {
            break connected;
        }
        if server
            .try_wait()
            .map_err(io("the server cannot be waited for"))?
            .is_some()
        {
            let text = String::from_utf8_lossy(&std::fs::read(log).unwrap_or_default()).into_owned();
            let fatal = text
                .lines()
                .rev()
                .find(|line| line.contains("FATAL") || line.contains("PANIC"));
            return Err(failed(
                fatal.or(text.lines().last()).unwrap_or("it ended").to_owned(),
            ));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let connection = tokio::spawn(connection);
    let quote = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let mut statements = Vec::new();
    let known = client
        .query(KNOWN_ROLE, &[&USER])
        .await
        .map_err(|error| failed(error.to_string()))?;
    if known.is_empty() {
        statements.push(format!("CREATE ROLE {USER}"));
    }
    statements.push(format!("ALTER ROLE {USER} SUPERUSER LOGIN PASSWORD '{password}'"));
    if source.database != DATABASE {
        statements.push(format!(
            "ALTER DATABASE {} RENAME TO {DATABASE}",
            quote(&source.database)
        ));
    }
    statements.push("CHECKPOINT".to_owned());
    for statement in statements {
        client
            .batch_execute(&statement)
            .await
            .map_err(|error| failed(error.to_string()))?;
    }
    drop(client);
    let _ = connection.await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_path_is_quoted_as_the_configuration_reads_it() {
        assert_eq!(quoted("cp \"/a'b/%f\""), "'cp \"/a''b/%f\"'");
    }
}

//! The program as a process of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// `sampark serve`, killed with the test.
pub struct Program {
    child: Child,
    pub address: SocketAddr,
    said: Arc<Mutex<Vec<String>>>,
    /// Reads what it writes to standard error.
    reader: Option<JoinHandle<()>>,
}

/// What it holds.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    pub memory_mb: f64,
    pub descriptors: usize,
}

/// The program with the settings of the tests, for any of its commands.
pub fn command(data_dir: &Path, database_url: Option<&str>) -> Command {
    // The world's phones are sealed under the keys of the tests.
    let data_keys = data_dir.join("keys/data.keys");
    if !data_keys.exists() {
        std::fs::create_dir_all(data_dir.join("keys")).unwrap();
        std::fs::write(&data_keys, super::DATA_KEYS).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_sampark"));
    command
        .env_remove("DATABASE_URL")
        .env("SAMPARK_DATA_DIR", data_dir)
        .env("SAMPARK_LISTEN", "127.0.0.1:0")
        .env("SAMPARK_LOG_FORMAT", "pretty")
        .env("RUST_LOG", "info")
        .env("SAMPARK_RATE_ACCOUNT", "100000")
        .env("SAMPARK_RATE_DEVICE", "100000")
        // The tests' own server keeps nothing beyond a crash, on purpose.
        .env("SAMPARK_DURABILITY", "warn")
        .stdin(Stdio::null());
    if let Some(url) = database_url {
        command.env("DATABASE_URL", url);
    }
    command
}

impl Program {
    /// Starts `sampark serve` and waits until it says where.
    pub fn serve(data_dir: &Path, database_url: Option<&str>) -> Self {
        Self::serve_with(data_dir, database_url, &[])
    }

    /// The same with more settings.
    pub fn serve_with(data_dir: &Path, database_url: Option<&str>, settings: &[(&str, &str)]) -> Self {
        Self::try_serve(data_dir, database_url, settings).unwrap_or_else(|said| panic!("it ended: {said:?}"))
    }

    /// The same, or what it said before it ended.
    pub fn try_serve(
        data_dir: &Path,
        database_url: Option<&str>,
        settings: &[(&str, &str)],
    ) -> Result<Self, Vec<String>> {
        let mut command = command(data_dir, database_url);
        command
            .arg("serve")
            // Hundreds of tests share the machine; the rows of the faults have the program's own wait.
            .env("SAMPARK_DATABASE_WAIT_MS", "10000")
            .stderr(Stdio::piped())
            .envs(settings.iter().copied());
        Self::watch(command)
    }

    /// A command that serves, whose log is read until it says where, and then to its end.
    fn watch(mut command: Command) -> Result<Self, Vec<String>> {
        let mut child = command.spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        let address = loop {
            let Some(line) = log.next() else {
                child.wait().unwrap();
                return Err(said);
            };
            let line = line.unwrap();
            said.push(line.clone());
            let line = line.replace("serving on https://", "serving on http://");
            if let Some((_, address)) = line.split_once("serving on http://") {
                break address.trim().parse().unwrap();
            }
        };
        // Whoever writes into a closed pipe loses lines: the rest of the log is read to its end.
        let said = Arc::new(Mutex::new(said));
        let kept = said.clone();
        let reader = std::thread::spawn(move || {
            for line in log.map_while(Result::ok) {
                kept.lock().unwrap().push(line);
            }
        });
        Ok(Self {
            child,
            address,
            said,
            reader: Some(reader),
        })
    }

    /// Serves at an address given, with its log going where nobody reads it.
    pub fn serve_unread(data_dir: &Path, database_url: &str, address: SocketAddr, log: Stdio) -> Self {
        let mut command = command(data_dir, Some(database_url));
        command
            .arg("serve")
            .env("SAMPARK_LISTEN", address.to_string())
            .env("RUST_LOG", "trace")
            .env("SAMPARK_DATABASE_WAIT_MS", "10000")
            .stderr(log);
        Self {
            child: command.spawn().unwrap(),
            address,
            said: Arc::default(),
            reader: None,
        }
    }

    /// The log that nobody reads, to hold it open.
    pub fn log(&mut self) -> Option<std::process::ChildStderr> {
        self.child.stderr.take()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The log so far.
    pub fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }

    /// Fails if it panicked anywhere.
    #[track_caller]
    pub fn assert_no_panic(&self) {
        let said = self.said();
        let panic = said.iter().find(|line| line.contains("panicked at"));
        assert!(panic.is_none(), "{panic:?}");
    }

    /// Memory and descriptors, from /proc (elsewhere none).
    pub fn usage(&self) -> Option<Usage> {
        let proc = format!("/proc/{}", self.pid());
        let status = std::fs::read_to_string(format!("{proc}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kb: f64 = line.trim().trim_end_matches(" kB").parse().ok()?;
        Some(Usage {
            memory_mb: kb / 1024.0,
            descriptors: std::fs::read_dir(format!("{proc}/fd")).ok()?.count(),
        })
    }

    /// kill -9.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM.
    pub fn tell_to_stop(&self) {
        send("TERM", &[self.pid()]);
    }

    /// Waits until it has ended.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// SIGTERM; whether it ended well.
    pub fn stop(&mut self) -> bool {
        self.tell_to_stop();
        self.wait().success()
    }

    /// Stops it; every line that it wrote.
    pub fn stop_and_tell(mut self) -> String {
        assert!(self.stop());
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        self.said().join("\n")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a signal to processes, those that are still there.
pub fn send(signal: &str, pids: &[u32]) {
    for pid in pids {
        let _ = Command::new("kill")
            .args(["-s", signal, &pid.to_string()])
            .stderr(Stdio::null())
            .status()
            .unwrap();
    }
}

//! The program under measurement, as a process of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

pub struct Program {
    child: Child,
    pub address: SocketAddr,
}

fn sampark(dir: &Path, url: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sampark"));
    command
        .env("DATABASE_URL", url)
        .env("SAMPARK_DATA_DIR", dir)
        .env("SAMPARK_LISTEN", "127.0.0.1:0")
        .env("SAMPARK_LOG_FORMAT", "pretty")
        .env("RUST_LOG", "info")
        .env("SAMPARK_RATE_ACCOUNT", "1000000")
        .env("SAMPARK_RATE_DEVICE", "1000000")
        .env("SAMPARK_RATE_ADDRESS", "1000000")
        .env("SAMPARK_OTP_PER_HOUR", "1000000")
        .env("SAMPARK_OTP_PER_DAY", "1000000")
        .env(
            "SAMPARK_OTP_SENDER",
            format!("file:{}", dir.join("otp.jsonl").display()),
        )
        .stdin(Stdio::null());
    command
}

impl Program {
    pub fn serve(dir: &Path, url: &str) -> Self {
        let mut child = sampark(dir, url)
            .arg("serve")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = loop {
            let line = log.next().expect("the program ended").unwrap();
            if let Some((_, address)) = line.split_once("serving on http://") {
                break address.trim().parse().unwrap();
            }
        };
        std::thread::spawn(move || log.for_each(drop));
        Self { child, address }
    }

    /// Seconds of processor time that it has used, from /proc.
    pub fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        // After the name, which may hold anything, come the fields from the third on; a tick is a hundredth of a second.
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        let ticks = |n: usize| fields.get(n).and_then(|ticks| ticks.parse::<f64>().ok());
        ticks(11)
            .zip(ticks(12))
            .map_or(f64::NAN, |(user, system)| (user + system) / 100.0)
    }

    /// Resident memory, from /proc.
    pub fn memory_mb(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kb = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
        kb.unwrap_or(f64::NAN) / 1024.0
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `sampark import units FILE…`.
pub fn import_units(dir: &Path, url: &str, files: &[PathBuf]) {
    let done = sampark(dir, url)
        .args(["import", "units"])
        .args(files)
        .status()
        .unwrap();
    assert!(done.success());
}

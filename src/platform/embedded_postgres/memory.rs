//! How much memory the private server takes for itself: PostgreSQL's own default, 128 MB, is made for machines of long ago, and
//! everything beyond it is read again and again.

use std::path::Path;

const MB: u64 = 1 << 20;

/// What `shared_buffers` is set to: an eighth of what there is, at least PostgreSQL's default and at most 2 GB. The rest is
/// left to the program, to the system's cache of files and to what else runs here. `None` where nothing is known.
pub(super) fn shared_buffers() -> Option<String> {
    let machine = meminfo(&std::fs::read_to_string("/proc/meminfo").ok()?)?;
    let group = std::fs::read_to_string(Path::new("/sys/fs/cgroup/memory.max")).ok();
    let allowed = group
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(u64::MAX);
    Some(share_of(machine.min(allowed)))
}

/// The bytes that `MemTotal` names.
fn meminfo(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

fn share_of(bytes: u64) -> String {
    let share = (bytes / 8 / MB).clamp(128, 2048);
    format!("{share}MB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_eighth_of_the_memory_is_taken_within_bounds() {
        let of = |text| meminfo(text).map(share_of);
        assert_eq!(of("MemTotal:       8388608 kB\nMemFree: 1 kB").unwrap(), "1024MB");
        assert_eq!(of("MemTotal: 524288 kB").unwrap(), "128MB");
        assert_eq!(of("MemTotal: 134217728 kB").unwrap(), "2048MB");
        assert_eq!(of("MemFree: 1 kB"), None);
    }
}

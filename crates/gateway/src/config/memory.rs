//! How much memory there is.

use std::fs;
use std::path::{Path, PathBuf};

/// The bytes of memory that the process may use: the machine's, or fewer if a cgroup that it is in has a limit. None where
/// that cannot be found out.
pub(super) fn available() -> Option<u64> {
    let machine = machine(&fs::read_to_string("/proc/meminfo").ok()?)?;
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = files(&groups)
        .into_iter()
        .filter_map(|file| limit(&fs::read_to_string(file).ok()?));
    Some(limits.fold(machine, u64::min))
}

/// `MemTotal` of `/proc/meminfo`.
fn machine(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let number = line.trim().strip_suffix("kB")?.trim();
    number.parse::<u64>().ok()?.checked_mul(1024)
}

/// Where the limits stand of the groups that `/proc/self/cgroup` names and of those around them, in either version of
/// cgroups. In a container the way to its own group often begins outside of what it sees; its limit is at the root then.
fn files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (root, file) = match parts.next() {
            Some("") => ("/sys/fs/cgroup", "memory.max"),
            Some(controllers) if controllers.split(',').any(|it| it == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let path = parts.next().unwrap_or_default().trim_start_matches('/');
        let folders = Path::new(path).ancestors();
        files.extend(folders.map(|folder| Path::new(root).join(folder).join(file)));
    }
    files
}

/// A limit; none where it says "max".
fn limit(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_the_machine_is_read() {
        let text = "MemTotal:       24117248 kB\nMemFree:        1000 kB\n";
        assert_eq!(machine(text), Some(24_117_248 * 1024));
        assert_eq!(machine("MemFree: 1 kB\n"), None);
        assert!(available().is_some_and(|bytes| bytes > 1 << 20));
    }

    #[test]
    fn limits_of_groups_and_of_those_around_them_count() {
        let paths = |groups| -> Vec<String> {
            let files = files(groups);
            files.iter().map(|it| it.display().to_string()).collect()
        };
        assert_eq!(
            paths("0::/a/b\n"),
            [
                "/sys/fs/cgroup/a/b/memory.max",
                "/sys/fs/cgroup/a/memory.max",
                "/sys/fs/cgroup/memory.max"
            ]
        );
        assert_eq!(
            paths("5:cpu,memory:/\n4:pids:/\n"),
            ["/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        );
        assert_eq!(limit("max\n"), None);
        assert_eq!(limit("1048576\n"), Some(1 << 20));
    }
}

//! What the system knows of the process, under the names that Prometheus' own libraries use.

use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use super::catalogue as names;
use super::exposition::Exposition;

/// When the process has started, in seconds since 1970, as far as it was asked for early enough.
static STARTED: OnceLock<u64> = OnceLock::new();

/// The process has just started.
pub(crate) fn started() {
    STARTED.get_or_init(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.unwrap_or_default().as_secs()
    });
}

pub(super) fn add(to: &mut Exposition) {
    started();
    if let Some(started) = STARTED.get() {
        to.single(&names::PROCESS_START, started);
    }
    if let Ok((soft, _)) = rlimit::Resource::NOFILE.get() {
        to.single(&names::PROCESS_MAX_FDS, soft);
    }
    #[cfg(target_os = "linux")]
    add_linux(to);
}

#[cfg(target_os = "linux")]
fn add_linux(to: &mut Exposition) {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    to.single(
        &names::PROCESS_CPU,
        format_args!("{}.{:09}", time.tv_sec, time.tv_nsec),
    );
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let value = |name: &str| field(&status, name);
    if let Some(kibibytes) = value("VmRSS:") {
        to.single(&names::PROCESS_RESIDENT, kibibytes * 1024);
    }
    if let Some(kibibytes) = value("VmSize:") {
        to.single(&names::PROCESS_VIRTUAL, kibibytes * 1024);
    }
    if let Some(threads) = value("Threads:") {
        to.single(&names::PROCESS_THREADS, threads);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        // One is that of the folder itself.
        let open = open.count().saturating_sub(1);
        to.single(&names::PROCESS_OPEN_FDS, open);
    }
}

/// The number in a line of `/proc/self/status`.
#[cfg(target_os = "linux")]
fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

//! File descriptors: what every connection needs one of, and processes have too few of.

use crate::config::Settings;

use super::StartError;

/// For runtimes, logs, the admin listener and the like.
const RESERVE: u64 = 64;
/// For each worker: its runtime and its first listening socket.
const PER_WORKER: u64 = 8;
/// A proxied request needs one to the client and one to the backend.
const PER_CONNECTION: u64 = 2;
/// Fewer connections than this are not worth starting for.
const FEWEST: usize = 16;

/// How many client connections can be served at once, with the process's own limit raised as far as it goes, and `apart`
/// descriptors left for something else.
pub(super) fn most_connections(settings: &Settings, apart: usize) -> Result<usize, StartError> {
    let available = rlimit::increase_nofile_limit(u64::MAX)
        .or_else(|_| rlimit::getrlimit(rlimit::Resource::NOFILE).map(|(soft, _)| soft))
        .unwrap_or(u64::MAX);
    let fixed = RESERVE + PER_WORKER * settings.workers as u64 + apart as u64;
    share(available, fixed, settings.max_connections)
}

fn share(available: u64, fixed: u64, wanted: Option<usize>) -> Result<usize, StartError> {
    let connections = wanted.unwrap_or(FEWEST);
    let needed = fixed.saturating_add(PER_CONNECTION.saturating_mul(connections as u64));
    if needed > available {
        return Err(StartError::TooFewDescriptors {
            available,
            needed,
            connections,
        });
    }
    let possible = usize::try_from((available - fixed) / PER_CONNECTION).unwrap_or(usize::MAX);
    Ok(wanted.unwrap_or(possible))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIXED: u64 = RESERVE + 2 * PER_WORKER;

    #[test]
    fn connections_are_derived_from_the_limit() {
        assert_eq!(share(1024, FIXED, None).unwrap(), (1024 - 64 - 16) / 2);
    }

    #[test]
    fn what_is_asked_for_is_given_when_it_is_possible() {
        assert_eq!(share(1024, FIXED, Some(100)).unwrap(), 100);
    }

    #[test]
    fn too_few_are_told_with_what_is_needed() {
        let error = share(100, FIXED, None).unwrap_err().to_string();
        assert!(
            error.contains("100 may be open, 112 are needed for 16 connections"),
            "{error}"
        );
        assert!(share(1024, FIXED, Some(1000)).is_err());
    }
}

//! The requests that have failed last, for whoever asks the admin API what is wrong.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use utoipa::ToSchema;

/// So many are kept.
const KEPT: usize = 100;

/// The last requests that have failed. Workers share it, and none waits for another.
#[derive(Debug, Default)]
pub(crate) struct Failures(Mutex<VecDeque<FailedRequest>>);

/// A request that has failed, as the access log has it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FailedRequest {
    /// When it was over, in UTC (RFC 3339).
    time: String,
    request_id: String,
    method: Option<String>,
    /// Without the query, and not more than its first 256 bytes.
    path: Option<String>,
    route: Option<String>,
    status: u16,
    /// The gateway's word for what was wrong; none where the backend has answered so.
    error: Option<&'static str>,
    /// Who was asked last.
    endpoint: Option<String>,
    duration_ms: f64,
}

/// What is told of a failed request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failure<'a> {
    pub(crate) request_id: &'a [u8],
    pub(crate) method: Option<&'a str>,
    pub(crate) path: Option<&'a str>,
    pub(crate) route: Option<&'a str>,
    pub(crate) status: u16,
    pub(crate) error: Option<&'static str>,
    pub(crate) endpoint: Option<&'a str>,
    pub(crate) time: Duration,
}

impl Failures {
    /// Keeps it. When two workers do so at once, one of the requests is not kept.
    pub(crate) fn note(&self, failure: &Failure<'_>) {
        let Self(kept) = self;
        let Ok(mut kept) = kept.try_lock() else {
            return;
        };
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(failure.into());
    }

    /// The newest first.
    pub(crate) fn list(&self) -> Vec<FailedRequest> {
        let Self(kept) = self;
        kept.lock()
            .map_or_else(|_| Vec::new(), |kept| kept.iter().rev().cloned().collect())
    }
}

impl From<&Failure<'_>> for FailedRequest {
    fn from(failure: &Failure<'_>) -> Self {
        const LONGEST_PATH: usize = 256;
        let shortened = |path: &str| path[..path.floor_char_boundary(LONGEST_PATH)].to_owned();
        Self {
            time: humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
            request_id: String::from_utf8_lossy(failure.request_id).into_owned(),
            method: failure.method.map(str::to_owned),
            path: failure.path.map(shortened),
            route: failure.route.map(str::to_owned),
            status: failure.status,
            error: failure.error,
            endpoint: failure.endpoint.map(str::to_owned),
            duration_ms: failure.time.as_micros() as f64 / 1000.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_kept_the_newest_first() {
        let failures = Failures::default();
        let long = format!("/{}", "ü".repeat(300));
        for number in 0..KEPT as u16 + 50 {
            failures.note(&Failure {
                request_id: b"r",
                method: Some("GET"),
                path: Some(&long),
                route: None,
                status: number,
                error: None,
                endpoint: None,
                time: Duration::from_micros(1_500),
            });
        }
        let list = failures.list();
        assert_eq!(list.len(), KEPT);
        assert_eq!((list[0].status, list[KEPT - 1].status), (149, 50));
        assert_eq!(list[0].path.as_ref().unwrap().len(), 256 - 1);
        assert_eq!(list[0].duration_ms, 1.5);
    }
}

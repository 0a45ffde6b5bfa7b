//! What is counted of a route.

use std::sync::OnceLock;
use std::time::Duration;

use http::Method;

use super::by::By;
use super::exemplar::TraceId;
use super::histogram::Histogram;
use super::responses::Responses;
use super::shards::{Count, Level, Shards};
use crate::auth::{AuthError, Kind};
use crate::caching::Outcome;
use crate::error::ErrorCode;

/// What is counted of the requests of one route, or of those without one.
pub(crate) type RouteCounts = Shards<RouteShard>;

/// What one worker counts.
#[derive(Debug, Default)]
pub(crate) struct RouteShard {
    /// Requests whose answer has not been given, WebSockets apart.
    pub(crate) in_flight: Level,
    pub(crate) responses: Responses,
    /// From the request's head to the end of its answer; of a WebSocket, to the answer's head.
    pub(crate) duration: Histogram,
    /// Of bodies, by [`Direction`]. WebSockets count apart.
    pub(crate) body_bytes: By<2>,
    pub(crate) websockets: Websockets,
    /// What limits have come to, by [`Limited`].
    pub(crate) limits: By<{ Limited::NAMES.len() }>,
    /// What web pages were told, by [`CrossOrigin`].
    pub(crate) cors: By<{ CrossOrigin::NAMES.len() }>,
    /// Made when the first request has to show who it is from.
    auth: OnceLock<Box<By<{ AUTH_KINDS.len() * AUTH_RESULTS.len() }>>>,
    /// What the cache has done, by [`Outcome`].
    pub(crate) cache: By<{ Outcome::ALL.len() }>,
    /// Validations in the background, of what was served stale, that have failed.
    pub(crate) failed_validations: Count,
    /// Requests that were sent again, or elsewhere too, by [`Again`].
    pub(crate) again: By<{ Again::NAMES.len() }>,
    /// Requests that have failed, by [`ErrorCode`].
    pub(crate) failed: By<{ ErrorCode::COUNT }>,
    /// What policies that are tried out would have refused.
    pub(crate) shadowed: By<{ ErrorCode::COUNT }>,
}

/// Connections that have become WebSockets.
#[derive(Debug, Default)]
pub(crate) struct Websockets {
    pub(crate) open: Level,
    pub(crate) opened: Count,
    /// By [`Direction`].
    pub(crate) messages: By<2>,
    pub(crate) bytes: By<2>,
}

/// Which way something goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the client.
    Received,
    /// To it.
    Sent,
}

/// What a route's limits have come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limited {
    Allowed,
    Refused,
    /// Could not be counted, and must not pass uncounted.
    Undecided,
    /// Would have been refused by limits that are tried out.
    Shadowed,
}

/// What a page of another origin was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CrossOrigin {
    PreflightAllowed,
    PreflightRefused,
    Allowed,
    Refused,
}

/// Why a request was sent once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// The last attempt has failed.
    Retry,
    /// The last attempt takes long.
    Hedge,
    /// To another upstream, because this one cannot be asked.
    Fallback,
    /// Another upstream is to see it too.
    Mirror,
}

/// Of credentials; the last where there were none, or a service has let the request pass without saying who it is from.
pub(crate) const AUTH_KINDS: [&str; 5] = ["jwt", "apiKey", "basic", "forward", "none"];
/// What came of asking for credentials: passed, or why not.
pub(crate) const AUTH_RESULTS: [&str; 2 + AuthError::NAMES.len()] = {
    let mut results = ["ok"; 2 + AuthError::NAMES.len()];
    results[1] = "refused-by-service";
    let mut index = 0;
    while index < AuthError::NAMES.len() {
        results[2 + index] = AuthError::NAMES[index];
        index += 1;
    }
    results
};

/// Whether a request may pass, for all that authentication has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuthResult {
    Passed,
    /// The service that was asked has said no.
    RefusedByService,
    Refused(AuthError),
}

impl Direction {
    pub(crate) const NAMES: [&str; 2] = ["received", "sent"];
}

impl Limited {
    pub(crate) const NAMES: [&str; 4] = ["allowed", "refused", "undecided", "shadowed"];
}

impl CrossOrigin {
    pub(crate) const NAMES: [&str; 4] = [
        "preflight-allowed",
        "preflight-refused",
        "allowed",
        "refused",
    ];
}

impl Again {
    pub(crate) const NAMES: [&str; 4] = ["retry", "hedge", "fallback", "mirror"];
}

impl AuthResult {
    const fn index(self) -> usize {
        match self {
            Self::Passed => 0,
            Self::RefusedByService => 1,
            Self::Refused(error) => 2 + error as usize,
        }
    }
}

impl RouteShard {
    /// Counts an answer that has been given.
    #[inline]
    pub(crate) fn answered(&self, method: Option<&Method>, status: u16) {
        self.responses.count(method, status);
    }

    /// How long it took.
    #[inline]
    pub(crate) fn took(&self, duration: Duration, trace: Option<TraceId>) {
        match trace {
            None => self.duration.observe(duration),
            Some(trace) => self.duration.observe_traced(duration, trace),
        }
    }

    /// Counts what authentication has come to; `kind` is that of the credentials.
    pub(crate) fn authenticated(&self, kind: Option<Kind>, result: AuthResult) {
        let kind = kind.map_or(AUTH_KINDS.len() - 1, |kind| kind as usize);
        let auth = self.auth.get_or_init(Box::default);
        auth.increment(kind * AUTH_RESULTS.len() + result.index());
    }

    /// How often authentication has come to this: indices into [`AUTH_KINDS`] and [`AUTH_RESULTS`].
    pub(crate) fn auth(&self, kind: usize, result: usize) -> u64 {
        let auth = self.auth.get();
        auth.map_or(0, |auth| auth.get(kind * AUTH_RESULTS.len() + result))
    }
}

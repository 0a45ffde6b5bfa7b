//! Replacing the configuration while it is served.
//!
//! One task does it, one reload after the other: the new configuration is read and checked by the code that `check` runs,
//! and served as a whole or not at all. What is known of routes, upstreams and limits is carried over (see
//! [`Carried`](crate::config::Carried)), and what is not used any more ends after `DRAIN_TIMEOUT`.
//!
//! No more than two configurations are in memory: the next is not made before nobody has the one before the present one any
//! more. Nobody keeps one for long, for no request does.
//!
//! ```text
//! handle.rs    asking for it
//! task.rs      the one task that does it
//! keepers.rs   what is done for upstreams and issuers meanwhile
//! watch.rs     hearing of changed files
//! rollback.rs  taking back what makes requests fail
//! ```

mod handle;
mod keepers;
mod rollback;
mod task;
mod watch;

use crate::config::{ConfigErrors, Finding};

pub(crate) use handle::Reloader;

/// What has been applied.
#[derive(Debug, Clone)]
pub(crate) struct Applied {
    /// The number of the configuration, from 1 for that of the start.
    pub(crate) generation: u64,
    /// The start of the routes file's digest; none where there is no file.
    pub(crate) hash: Option<String>,
    /// What its author should know.
    pub(crate) warnings: Vec<Finding>,
}

/// Why nothing has been applied: what was served before goes on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Rejected {
    /// This is wrong with it.
    #[error("{0}")]
    Invalid(#[from] ConfigErrors),
    /// Whoever asks has seen another one than that which is served.
    #[error("another routes file is served by now; look at it, and try again")]
    Outdated,
    /// The gateway has failed.
    #[error("the configuration could not be applied: {0}")]
    Failed(String),
}

/// What a reload comes of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// A file has changed.
    Change,
    /// `SIGHUP`.
    Signal,
    /// Somebody has asked for it.
    Asked,
    /// Requests have failed since the last one.
    Failures,
}

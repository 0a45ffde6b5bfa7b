//! A second attempt beside one that takes long.

use std::time::Duration;

/// When a second attempt is made, for requests that are idempotent and have no body. It counts against the budget of
/// retries.
#[derive(Debug)]
pub(crate) struct Hedge {
    /// So long after the first.
    pub(crate) after: Duration,
}

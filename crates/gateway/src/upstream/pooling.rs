//! How connections to an upstream are kept.

use std::sync::Arc;
use std::time::Duration;

use super::ConnectionLimit;

/// How idle connections are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PoolLimits {
    /// Idle connections per peer.
    pub(crate) most_idle: usize,
    /// How long one may be idle.
    pub(crate) idle: Duration,
    /// How old one may be when it is used again.
    pub(crate) lifetime: Duration,
}

/// How connections to an upstream are kept that shares none with others.
#[derive(Debug)]
pub(crate) struct Pooling {
    /// Those that are idle.
    pub(crate) limits: PoolLimits,
    /// How many there may be; any number where there is no limit.
    pub(crate) connections: Option<Arc<ConnectionLimit>>,
}

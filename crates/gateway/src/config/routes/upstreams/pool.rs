//! How connections to an upstream are kept, and how many there may be.

use super::check::UpstreamCheck;
use super::spec::PoolSpec;
use super::written::Pool as Written;
use crate::config::Settings;
use crate::config::document::Step;
use crate::upstream::PoolLimits;

/// Requests that may wait for a connection, as in Envoy.
const MAX_PENDING: u32 = 1024;

impl UpstreamCheck<'_> {
    pub(super) fn pool(&mut self, written: &Written, settings: &Settings) -> PoolSpec {
        let usual = &settings.upstream_pool;
        let at = |key| [Step::Key("pool"), Step::Key(key)];
        if written.max_pending.is_some() && written.max_connections.is_none() {
            let message = "means nothing without \"maxConnections\": no request waits then";
            self.say(&at("maxPending"), message);
        }
        PoolSpec {
            limits: PoolLimits {
                most_idle: written
                    .max_idle
                    .map_or(usual.max_idle, |most| most as usize),
                idle: self.time(
                    &at("idleTimeout"),
                    written.idle_timeout.as_ref(),
                    usual.idle_timeout,
                ),
                lifetime: self.time(
                    &at("maxLifetime"),
                    written.max_lifetime.as_ref(),
                    usual.max_lifetime,
                ),
            },
            max_connections: written.max_connections,
            max_pending: written.max_pending.unwrap_or(MAX_PENDING),
        }
    }
}

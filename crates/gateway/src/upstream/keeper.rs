//! What the control plane does for an upstream.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use super::{Upstream, health_check};

/// How often ejections are looked over.
const TICK: Duration = Duration::from_secs(1);

/// Checks the endpoints and keeps the balancer up to date, for as long as it is polled.
pub(crate) async fn keep(upstream: &Upstream, client: &reqwest::Client) {
    let checks = (0..upstream.endpoints.len())
        .map(|endpoint| health_check::watch(upstream, endpoint, client));
    tokio::join!(join_all(checks), tick(upstream));
}

async fn tick(upstream: &Upstream) {
    loop {
        tokio::select! {
            () = sleep(TICK) => {}
            () = upstream.balancer.changed() => {}
        }
        upstream.balancer.tick(Instant::now());
    }
}

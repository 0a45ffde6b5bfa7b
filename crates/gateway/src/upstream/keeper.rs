//! What the control plane does for an upstream.

use std::time::Duration;

use futures_util::future::{OptionFuture, join_all};
use tokio::time::{Instant, sleep};

use super::{Upstream, health_check};

/// How often ejections are looked over.
const TICK: Duration = Duration::from_secs(1);

/// Checks the endpoints with `client`, where they are to be checked, and keeps the balancer up to date, for as long as
/// it is polled.
pub(crate) async fn keep(upstream: &Upstream, client: Option<&reqwest::Client>) {
    let checks = upstream
        .health
        .as_ref()
        .zip(client)
        .map(|(health, client)| {
            let checked = upstream.endpoints.iter().enumerate();
            join_all(
                checked.map(|endpoint| health_check::watch(upstream, health, endpoint, client)),
            )
        });
    tokio::join!(OptionFuture::from(checks), tick(upstream));
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

//! Active checks of endpoints.

use std::time::Duration;

use load_balancer::health::{Health, Probe, Thresholds};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::{Endpoint, Host, Upstream, moment};

/// How endpoints are checked.
#[derive(Debug, Clone)]
pub(crate) struct HealthCheck {
    pub(crate) check: Check,
    /// Between two checks, give or take a tenth.
    pub(crate) interval: Duration,
    /// A check that takes longer has failed.
    pub(crate) timeout: Duration,
    pub(crate) thresholds: Thresholds,
}

/// What is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Check {
    /// A GET of this path, behind the endpoint's base path, is answered by 2xx.
    Http(Box<str>),
    /// A connection can be made.
    Tcp,
}

/// Checks one endpoint, which has this index, for as long as it is polled.
pub(super) async fn watch(
    upstream: &Upstream,
    check: &HealthCheck,
    (endpoint, checked): (usize, &Endpoint),
    client: &reqwest::Client,
) {
    let mut health = Health::default();
    loop {
        let probed = timeout(check.timeout, probe(&check.check, checked, client)).await;
        let probe = match probed {
            Ok(true) => Probe::Passed,
            Ok(false) | Err(_) => Probe::Failed,
        };
        let picker = upstream.balancer.picker();
        if let Some(known) = picker.endpoints().get(endpoint) {
            let now = moment(Instant::now());
            if let Some(state) = health.record(probe, check.thresholds, &known.load, now) {
                let (upstream, address) = (&*upstream.name, &*checked.target.address);
                tracing::info!(upstream, endpoint = address, ?state, "health");
            }
        }
        upstream.balancer.notify();
        // Endpoints are not all to be checked at the same time, by all gateways.
        let jitter = 0.9 + 0.2 * fastrand::f64();
        sleep(check.interval.mul_f64(jitter)).await;
    }
}

async fn probe(check: &Check, endpoint: &Endpoint, client: &reqwest::Client) -> bool {
    let target = &endpoint.target;
    match check {
        Check::Http(path) => {
            let url = format!("http://{}{}{path}", target.address, target.base_path);
            let answer = client.get(url).send().await;
            answer.is_ok_and(|answer| answer.status().is_success())
        }
        Check::Tcp => match &target.host {
            Host::Address(address) => TcpStream::connect((*address, target.port)).await.is_ok(),
            Host::Name(name) => TcpStream::connect((&**name, target.port)).await.is_ok(),
        },
    }
}

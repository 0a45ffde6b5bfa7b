//! Active checks of endpoints.

use std::time::Duration;

use http::header::HOST;
use load_balancer::health::{Health, Probe, Thresholds};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::{Member, Upstream, moment};

/// How endpoints are checked.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// Checks the member with this identity for as long as it is one.
pub(super) async fn watch(
    upstream: &Upstream,
    check: &HealthCheck,
    id: u64,
    client: &reqwest::Client,
) {
    let mut health = Health::default();
    loop {
        let members = upstream.balancer.members();
        let Some((member, load)) = members.find(id) else {
            return;
        };
        let probed = timeout(check.timeout, probe(&check.check, member, client)).await;
        let probe = match probed {
            Ok(true) => Probe::Passed,
            Ok(false) | Err(_) => Probe::Failed,
        };
        let now = moment(Instant::now());
        if let Some(state) = health.record(probe, check.thresholds, load, now) {
            let (upstream, endpoint) = (&*upstream.name, &*member.label);
            tracing::info!(upstream, endpoint, ?state, "health");
        }
        // Not kept while nothing is done: connections to members that have gone are kept for as long.
        drop(members);
        upstream.balancer.notify();
        // Endpoints are not all to be checked at the same time, by all gateways.
        let jitter = 0.9 + 0.2 * fastrand::f64();
        sleep(check.interval.mul_f64(jitter)).await;
    }
}

/// The first of a member's addresses that can be connected to decides.
async fn probe(check: &Check, member: &Member, client: &reqwest::Client) -> bool {
    for address in &member.addresses {
        match check {
            Check::Http(path) => {
                let url = format!("http://{address}{}{path}", member.target.base_path);
                let host = &member.target.authority;
                match client.get(url).header(HOST, host).send().await {
                    Err(error) if error.is_connect() => {}
                    answer => return answer.is_ok_and(|answer| answer.status().is_success()),
                }
            }
            Check::Tcp => {
                if TcpStream::connect(address).await.is_ok() {
                    return true;
                }
            }
        }
    }
    // Perhaps its name leads elsewhere by now.
    member.is_unreachable();
    false
}

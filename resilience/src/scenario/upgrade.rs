//! The gateway itself is upgraded, again and again.

use std::time::Duration;

use testkit::load::{Record, Reuse};

use super::Outcome;
use super::killed::posts_twice;
use crate::stage::Stage;
use crate::{Plan, routes};

/// From one upgrade to the next: the process before has drained by then.
const PACE: Duration = Duration::from_secs(1);

pub(super) async fn run(plan: &Plan) -> Outcome {
    let mut stage = Stage::set(plan, routes::rolling).await;
    let kept = stage.load(plan, plan.duration, 1);
    let mut fresh = stage.load(plan, plan.duration, 1 + kept.requests() as u64);
    fresh.reuse = Reuse::Fresh;
    let (kept, fresh) = (kept.start(), fresh.start());
    let mut upgrades = 0;
    while kept.elapsed() + PACE < plan.duration {
        tokio::time::sleep(PACE).await;
        stage.gateway.upgrade().await;
        upgrades += 1;
    }
    let report = kept.finish().await;
    let fresh = fresh.finish().await;
    let latency = |quantile| {
        let latency = report.latency(quantile).unwrap_or_default();
        format!("{:.1} ms", latency.as_secs_f64() * 1000.0)
    };
    Outcome::new(format!(
        "The gateway is upgraded {upgrades} times under {} requests/s over connections that are kept, and as many over new ones",
        plan.rate
    ))
    .failures(
        "idempotent requests that failed over kept connections",
        &report.of(Record::is_idempotent),
    )
    .failures(
        "POSTs that failed over kept connections",
        &report.of(|record| !record.is_idempotent()),
    )
    .failures("requests that failed over new ones", &fresh)
    .figure(
        "POSTs executed twice",
        posts_twice(&report, &stage) + posts_twice(&fresh, &stage),
    )
    .figure(
        "p50, p99 over kept connections",
        format!("{}, {}", latency(0.5), latency(0.99)),
    )
}

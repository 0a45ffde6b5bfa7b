//! One of three endpoints takes ten times as long.

use std::time::Duration;

use testkit::faults::Fault;
use testkit::load::Report;

use super::Outcome;
use crate::stage::Stage;
use crate::{Plan, routes};

/// In this time connections are made, and a balancer learns; it is not measured.
const LEARNING: Duration = Duration::from_secs(2);

pub(super) async fn run(plan: &Plan) -> Outcome {
    let routes = |endpoints: &[String]| routes::slow(endpoints, &plan.balancing);
    let mut stage = Stage::set(plan, routes).await;
    let healthy = measured(stage.load(plan, plan.duration, 1).run().await);
    stage.backends[0].behave(Fault::Slow(10.0)).await;
    let first_id = 1 + stage.load(plan, plan.duration, 1).requests() as u64;
    let slow = measured(stage.load(plan, plan.duration, first_id).run().await);
    let port = stage.backends[0].address().port();
    let to_slow = slow.by_backend().get(&port).copied().unwrap_or(0);
    Outcome::new(format!(
        "One of three is tenfold slow under {} requests/s, {}",
        plan.rate, plan.balancing
    ))
    .figure("p50, p99 when all are well", percentiles(&healthy))
    .figure("p50, p99 when one is slow", percentiles(&slow))
    .figure("p99 ÷ healthy p99", ratio(&slow, &healthy))
    .figure(
        "share of the slow one",
        format!("{:.1} %", 100.0 * part(to_slow, slow.total())),
    )
    .failures("failed when one is slow", &slow)
}

fn measured(report: Report) -> Report {
    report.of(|record| record.offered >= LEARNING)
}

fn percentiles(report: &Report) -> String {
    let at = |quantile| {
        report.latency(quantile).map_or_else(
            || "none".to_owned(),
            |time| format!("{:.1} ms", time.as_secs_f64() * 1000.0),
        )
    };
    format!("{}, {}", at(0.5), at(0.99))
}

fn ratio(slow: &Report, healthy: &Report) -> String {
    match (slow.latency(0.99), healthy.latency(0.99)) {
        (Some(slow), Some(healthy)) => {
            format!("{:.1}", slow.as_secs_f64() / healthy.as_secs_f64())
        }
        _ => "none".to_owned(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests")]
pub(super) fn part(of: usize, all: usize) -> f64 {
    of as f64 / all.max(1) as f64
}

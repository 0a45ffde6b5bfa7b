//! All endpoints are restarted, one after the other.

use std::time::Duration;

use testkit::load::Record;

use super::Outcome;
use super::killed::posts_twice;
use crate::stage::Stage;
use crate::{Plan, routes};

/// When the first one is asked to end.
const FIRST: Duration = Duration::from_secs(1);
/// From one to the next: draining takes half a second where nothing is slow.
const PACE: Duration = Duration::from_secs(3);
/// How long each is away.
const AWAY: Duration = Duration::from_millis(500);

pub(super) async fn run(plan: &Plan) -> Outcome {
    let mut stage = Stage::set(plan, routes::rolling).await;
    let load = stage.load(plan, FIRST + PACE * 3, 1).start();
    for turn in 0..3_u32 {
        load.until(FIRST + PACE * turn).await;
        let backend = &mut stage.backends[turn as usize];
        backend.drain().await;
        tokio::time::sleep(AWAY).await;
        backend.restart().await;
    }
    let report = load.finish().await;
    Outcome::new(format!(
        "All three are restarted in turn, with draining, under {} requests/s",
        plan.rate
    ))
    .failures(
        "idempotent requests that failed",
        &report.of(Record::is_idempotent),
    )
    .failures(
        "POSTs that failed",
        &report.of(|record| !record.is_idempotent()),
    )
    .figure("POSTs executed twice", posts_twice(&report, &stage))
}

//! One of three endpoints is killed under load.

use std::time::Duration;

use testkit::load::Record;

use super::Outcome;
use crate::stage::Stage;
use crate::{Plan, routes};

/// When.
const AFTER: Duration = Duration::from_secs(2);
/// In this time a gateway may still be finding out.
const FIRST: Duration = Duration::from_secs(1);

pub(super) async fn run(plan: &Plan) -> Outcome {
    let mut stage = Stage::set(plan, routes::killed).await;
    let load = stage.load(plan, plan.duration, 1).start();
    load.until(AFTER).await;
    let killed = load.elapsed();
    stage.backends[0].kill().await;
    let report = load.finish().await;
    let late = report.of(|record| record.is_idempotent() && record.offered >= killed + FIRST);
    Outcome::new(format!(
        "One of three endpoints is killed under {} requests/s",
        plan.rate
    ))
    .failures(
        "idempotent requests that failed",
        &report.of(Record::is_idempotent),
    )
    .failures("… of those after the first second", &late)
    .failures(
        "POSTs that failed",
        &report.of(|record| !record.is_idempotent()),
    )
    .figure("POSTs executed twice", posts_twice(&report, &stage))
}

/// How many requests that must not be repeated were executed more than once.
pub(super) fn posts_twice(report: &testkit::load::Report, stage: &Stage) -> usize {
    let executions = stage.executions();
    let posts = report.of(|record| !record.is_idempotent() && executions.of(record.id) > 1);
    posts.total()
}

//! Every answer is a failure: the moment when retries make things worse.

use testkit::faults::Fault;

use super::Outcome;
use super::slow::part;
use crate::stage::Stage;
use crate::{Plan, routes};

pub(super) async fn run(plan: &Plan) -> Outcome {
    let mut stage = Stage::set(plan, routes::storm).await;
    for backend in &mut stage.backends {
        backend.behave(Fault::Status(503, 1.0)).await;
    }
    let report = stage.load(plan, plan.duration, 1).run().await;
    let executions = stage.executions();
    Outcome::new(format!(
        "Every answer is 503 under {} requests/s",
        plan.rate
    ))
    .figure(
        "upstream requests ÷ client requests",
        format!("{:.3}", part(executions.total(), report.total())),
    )
    .failures("failed", &report)
}

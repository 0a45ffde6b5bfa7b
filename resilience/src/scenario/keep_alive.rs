//! A Node.js server closes idle connections at the moment when they are used again.
//!
//! Requests come in bursts, which fill the gateway's pool, and the pause between two bursts is the server's time-out,
//! a little more or less: each connection of the pool is about to be closed, or has just been, when the next burst
//! comes.

use std::time::Duration;

use testkit::faults::{Executions, Hint, NodeServer};
use testkit::load::{Load, Outcome as End, Report, Schedule};

use super::Outcome;
use crate::{Plan, routes, stage};

/// How far a pause may be from the time-out.
const JITTER: Duration = Duration::from_millis(100);

pub(super) async fn run(plan: &Plan) -> Outcome {
    let (hint, silent) = tokio::join!(against(plan, Hint::Given), against(plan, Hint::Withheld));
    let mut outcome = Outcome::new(format!(
        "{} POSTs in bursts of {} to Node.js, which closes idle connections after {:?}",
        plan.posts, plan.burst, plan.keep_alive
    ));
    for (name, (report, executions)) in [
        ("with its hint (Keep-Alive: timeout)", hint),
        ("without", silent),
    ] {
        let bad = report.of(|record| matches!(record.outcome, End::Answered { status: 502, .. }));
        let executed = report.of(|record| !record.succeeded() && executions.of(record.id) > 0);
        outcome = outcome
            .figure(format!("502 {name}"), bad.total())
            .failures(&format!("failed {name}"), &report)
            .figure(format!("failed {name}, though executed"), executed.total())
            .figure(format!("executed twice {name}"), executions.twice().len());
    }
    outcome
}

/// What came of the POSTs for their clients, and at the server.
async fn against(plan: &Plan, hint: Hint) -> (Report, Executions) {
    let node = NodeServer::start(plan.keep_alive, hint).await;
    let gateway = stage::gateway(plan)
        .routes(&routes::keep_alive(&node.url()))
        // A burst leaves so many idle connections; if they were dropped, none could turn out dead.
        .env("UPSTREAM_MAX_IDLE", plan.burst.to_string())
        .start()
        .await;
    let mut load = Load::steady(gateway.address(), 1.0, Duration::ZERO);
    load.schedule = Schedule::Bursts {
        size: plan.burst.min(plan.posts.max(1)),
        count: plan.posts.div_ceil(plan.burst),
        pause: (
            plan.keep_alive.saturating_sub(JITTER),
            plan.keep_alive + JITTER,
        ),
    };
    load.methods = vec!["POST"];
    load.bodies = vec![0, 64, 4096];
    load.connections = plan.burst;
    let report = load.run().await;
    (report, node.executions())
}

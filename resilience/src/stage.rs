//! What scenarios are played on.

use std::time::Duration;

use serde_json::Value;
use testkit::faults::{Executions, FaultyBackend, Latency};
use testkit::load::Load;
use testkit::{Gateway, GatewayBuilder};

use crate::Plan;

/// How long a healthy backend takes.
const LATENCY: Latency = Latency::Uniform(Duration::from_millis(2), Duration::from_millis(6));

/// A gateway before three backends.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) gateway: Gateway,
    pub(crate) backends: [FaultyBackend; 3],
}

impl Stage {
    /// Starts all four; `routes` makes the routes file from the backends' URLs.
    pub(crate) async fn set(plan: &Plan, routes: impl FnOnce(&[String]) -> Value) -> Self {
        let mut backends = [
            FaultyBackend::start().await,
            FaultyBackend::start().await,
            FaultyBackend::start().await,
        ];
        for backend in &mut backends {
            backend.latency(LATENCY).await;
        }
        let urls: Vec<String> = backends.iter().map(FaultyBackend::url).collect();
        let gateway = gateway(plan).routes(&routes(&urls)).start().await;
        Self { gateway, backends }
    }

    /// Load on the gateway, at the plan's rate, with this first number; methods that may be repeated and one that may
    /// not.
    pub(crate) fn load(&self, plan: &Plan, duration: Duration, first_id: u64) -> Load {
        let mut load = Load::steady(self.gateway.address(), plan.rate, duration);
        load.methods = vec!["GET", "PUT", "DELETE", "POST"];
        load.first_id = first_id;
        load
    }

    /// What all backends together have executed.
    pub(crate) fn executions(&self) -> Executions {
        Executions::of_all(self.backends.iter().map(FaultyBackend::executions))
    }
}

/// The gateway, without an access log.
pub(crate) fn gateway(plan: &Plan) -> GatewayBuilder {
    GatewayBuilder::new(&plan.gateway.to_string_lossy())
        .env("ACCESS_LOG", "off")
        .env("WORKERS", plan.workers.to_string())
}

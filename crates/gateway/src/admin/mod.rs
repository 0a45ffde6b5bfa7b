//! The admin listener: whether the gateway is alive, whether it wants traffic, which process it is, what it counts; and,
//! for whoever shows the admin token, how things stand in it, and changing them.
//!
//! ```text
//! access.rs     who may ask
//! token.rs      the token that is made at each start
//! answer.rs     what is answered when something is refused
//! health.rs     /healthz, /readyz
//! process.rs    /process
//! routes.rs, upstreams.rs, breakers.rs, limits.rs, purge.rs, explain.rs, config.rs, errors.rs, log_level.rs   one resource each
//! openapi.rs    all of it as an OpenAPI document
//! ```

mod access;
mod answer;
mod breakers;
mod config;
mod errors;
mod explain;
mod health;
mod limits;
mod log_level;
mod openapi;
mod process;
mod purge;
mod routes;
mod token;
mod upstreams;

use std::sync::Arc;

pub(crate) use process::{Process, ProcessReport};

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE, VARY};
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::caching::SharedCache;
use crate::config::{Live, Settings, Snapshot};
use crate::counters::ProcessCounts;
use crate::metrics::{Format, Metrics};
use crate::server::{Phase, Reloader};
pub(crate) use config::Rollback;
pub use openapi::openapi;
pub(crate) use token::{known as known_token, required as required_token};

/// No request that makes sense is longer.
const LONGEST: usize = 256 * 1024;
/// But for routes files.
const LONGEST_FILE: usize = 8 * 1024 * 1024;

/// What is asked and changed.
#[derive(Debug, Clone)]
pub(crate) struct Control {
    pub(crate) settings: Arc<Settings>,
    pub(crate) live: Arc<Live>,
    pub(crate) reloader: Reloader,
    pub(crate) cache: SharedCache,
    pub(crate) process: Process,
    pub(crate) counts: Arc<ProcessCounts>,
}

impl Control {
    /// What requests see now.
    fn snapshot(&self) -> Arc<Snapshot> {
        self.live.snapshot()
    }
}

/// Serves until the program ends, or another process does so in its place. There is `/metrics` where there are `metrics`.
pub(crate) async fn serve(
    listener: TcpListener,
    phase: watch::Receiver<Phase>,
    metrics: Option<Metrics>,
    control: Control,
    token: Option<Box<str>>,
) {
    let handed_over = handed_over(phase.clone());
    let mut router = Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .with_state(phase)
        .route("/openapi.json", get(openapi::serve))
        .route(
            "/process",
            get(process::tell).with_state(control.process.clone()),
        )
        .merge(guarded(control, token.map(Into::into)));
    if let Some(metrics) = metrics {
        let told = Router::new()
            .route("/metrics", get(tell))
            .with_state(Arc::new(metrics));
        router = router.merge(told);
    }
    let served = axum::serve(listener, router).with_graceful_shutdown(handed_over);
    if let Err(error) = served.await {
        tracing::error!(%error, "admin listener failed");
    }
}

/// What is not for everybody.
fn guarded(control: Control, token: access::Token) -> Router {
    let longer = DefaultBodyLimit::max(LONGEST_FILE);
    Router::new()
        .route("/routes", get(routes::list))
        .route("/upstreams", get(upstreams::list))
        .route("/upstreams/drain", post(upstreams::drain))
        .route("/upstreams/undrain", post(upstreams::undrain))
        .route("/breakers", get(breakers::list).post(breakers::force))
        .route("/limits", get(limits::list))
        .route("/explain", post(explain::answer))
        .route("/errors", get(errors::list))
        .route(
            "/config",
            get(config::present).put(config::apply).layer(longer),
        )
        .route("/config/validate", post(config::validate).layer(longer))
        .route("/config/history", get(config::history))
        .route("/config/status", get(config::status))
        .route("/config/reload", post(config::reload))
        .route("/config/rollback", post(config::rollback))
        .route("/cache/purge", post(purge::purge))
        .with_state(control)
        .route("/log-level", get(log_level::get).put(log_level::put))
        .layer(DefaultBodyLimit::max(LONGEST))
        .route_layer(from_fn_with_state(token, access::guard))
}

/// Another process takes requests here, too.
async fn handed_over(mut phase: watch::Receiver<Phase>) {
    if phase
        .wait_for(|phase| *phase == Phase::HandedOver)
        .await
        .is_err()
    {
        // The program is ending, and answers to its end.
        std::future::pending().await
    }
}

/// What the gateway counts, in the format that is preferred.
async fn tell(State(metrics): State<Arc<Metrics>>, headers: HeaderMap) -> impl IntoResponse {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    let format = Format::preferred(accept);
    let fields = [(CONTENT_TYPE, format.content_type()), (VARY, "Accept")];
    (fields, metrics.text(format))
}

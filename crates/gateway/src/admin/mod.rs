//! The admin listener: whether the gateway is alive, whether it wants traffic, what it counts, purging its cache, and what
//! would become of a request.

mod explain;
mod purge;

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::caching::Purger;
use crate::metrics::{self, Metrics};
use crate::server::Phase;
pub(crate) use explain::Explainer;

/// Serves `/healthz`, `/readyz`, `/cache/purge`, `/explain` and, where there are `metrics`, `/metrics` until the program ends.
pub(crate) async fn serve(
    listener: TcpListener,
    phase: watch::Receiver<Phase>,
    metrics: Option<Metrics>,
    purger: Option<Purger>,
    explainer: Explainer,
) {
    let mut router = Router::new()
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .with_state(phase)
        .route("/cache/purge", purge::route(purger))
        .route("/explain", explain::route(explainer));
    if let Some(metrics) = metrics {
        let told = Router::new()
            .route("/metrics", get(tell))
            .with_state(Arc::new(metrics));
        router = router.merge(told);
    }
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "admin listener failed");
    }
}

/// The process runs and answers.
async fn alive() -> &'static str {
    "ok\n"
}

/// New requests are welcome; not while draining, so that a load balancer stops sending them.
async fn ready(State(phase): State<watch::Receiver<Phase>>) -> (StatusCode, &'static str) {
    match *phase.borrow() {
        Phase::Serving => (StatusCode::OK, "ready\n"),
        Phase::Draining | Phase::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
    }
}

/// What the gateway counts.
async fn tell(State(metrics): State<Arc<Metrics>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics.text())
}

/// Whether a web page has had a browser on this machine send the request. It cannot do so without `Origin`, and JSON only if
/// it is allowed to.
fn is_of_a_page(headers: &HeaderMap) -> bool {
    headers.contains_key(ORIGIN)
}

fn refused(status: StatusCode, error: &str) -> Response {
    (status, Json(json!({ "error": error }))).into_response()
}

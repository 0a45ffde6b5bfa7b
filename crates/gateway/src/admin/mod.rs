//! The admin listener: whether the gateway is alive, and whether it wants traffic.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::server::Phase;

/// Serves `/healthz` and `/readyz` until the program ends.
pub(crate) async fn serve(listener: TcpListener, phase: watch::Receiver<Phase>) {
    let router = Router::new()
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .with_state(phase);
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

//! `/healthz` and `/readyz`, for whatever keeps the gateway running and sends it requests.

use axum::extract::State;
use axum::http::StatusCode;
use tokio::sync::watch;

use crate::server::Phase;

/// The process runs and answers.
#[utoipa::path(get, path = "/healthz", tag = "health", security(()), responses((status = 200, body = str)))]
pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// New requests are welcome; not while draining, so that a load balancer stops sending them.
#[utoipa::path(get, path = "/readyz", tag = "health", security(()), responses(
    (status = 200, body = str), (status = 503, body = str)))]
pub(super) async fn ready(
    State(phase): State<watch::Receiver<Phase>>,
) -> (StatusCode, &'static str) {
    match *phase.borrow() {
        Phase::Serving => (StatusCode::OK, "ready\n"),
        Phase::HandedOver | Phase::Draining | Phase::Stopping => {
            (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
        }
    }
}

//! `GET /errors`.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::Control;
use crate::counters::FailedRequest;
use crate::diagnostics::{RecentEvent, recent_events};

/// What was not as it should be, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RecentErrors {
    /// Requests that were answered with 500 or more, or whose answers broke off.
    requests: Vec<FailedRequest>,
    /// Warnings and errors of the gateway itself.
    events: Vec<RecentEvent>,
}

/// The last hundred failed requests, and warnings of the gateway itself.
#[utoipa::path(get, path = "/errors", tag = "diagnostics", responses((status = 200, body = RecentErrors)))]
pub(super) async fn list(State(control): State<Control>) -> Json<RecentErrors> {
    Json(RecentErrors {
        requests: control.counts.failures.list(),
        events: recent_events(),
    })
}

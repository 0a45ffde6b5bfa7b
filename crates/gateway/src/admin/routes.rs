//! `GET /routes`.

use axum::Json;
use axum::extract::State;

use super::Control;
use crate::config::{RouteSummary, summaries};

/// All routes, in the order in which they are matched.
#[utoipa::path(get, path = "/routes", tag = "routes", responses((status = 200, body = [RouteSummary])))]
pub(super) async fn list(State(control): State<Control>) -> Json<Vec<RouteSummary>> {
    Json(summaries(&control.snapshot()))
}

//! `GET /limits`.

use axum::Json;
use axum::extract::State;

use super::Control;
use crate::config::{LimitSummary, limit_summaries};

/// All rate limits, and the routes that have them. What they have allowed and refused is in `/metrics`.
#[utoipa::path(get, path = "/limits", tag = "limits", responses((status = 200, body = [LimitSummary])))]
pub(super) async fn list(State(control): State<Control>) -> Json<Vec<LimitSummary>> {
    Json(limit_summaries(&control.snapshot()))
}

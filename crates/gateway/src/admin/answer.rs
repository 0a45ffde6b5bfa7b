//! Answers of the admin listener.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// Why something is refused.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Error {
    pub(super) error: String,
}

pub(super) fn refused(status: StatusCode, error: &str) -> Response {
    let error = error.to_owned();
    (status, Json(Error { error })).into_response()
}

/// Of a body that is not what was asked for.
pub(super) fn rejected(rejection: &JsonRejection) -> Response {
    refused(rejection.status(), &rejection.body_text())
}

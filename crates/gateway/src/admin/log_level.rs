//! `/log-level`.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::{Error, refused, rejected};
use crate::diagnostics::{self, LevelError};

/// Which diagnostics are told.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Level {
    /// As `LOG_LEVEL` has it.
    level: String,
}

/// The level that is in force.
#[utoipa::path(get, path = "/log-level", tag = "diagnostics", responses((status = 200, body = Level)))]
pub(super) async fn get() -> Json<Level> {
    let level = diagnostics::level().unwrap_or_default();
    Json(Level { level })
}

/// Has another level be in force, until the gateway starts anew.
#[utoipa::path(put, path = "/log-level", tag = "diagnostics", request_body = Level, responses(
    (status = 200, body = Level), (status = 400, body = Error)))]
pub(super) async fn put(asked: Result<Json<Level>, JsonRejection>) -> Response {
    let asked = match asked {
        Ok(Json(asked)) => asked,
        Err(rejection) => return rejected(&rejection),
    };
    match diagnostics::set_level(&asked.level) {
        Ok(()) => {
            tracing::warn!(level = asked.level, "log level changed");
            Json(asked).into_response()
        }
        Err(error @ LevelError::Unknown(_)) => refused(StatusCode::BAD_REQUEST, &error.to_string()),
        Err(error @ LevelError::NotStarted) => refused(StatusCode::CONFLICT, &error.to_string()),
    }
}

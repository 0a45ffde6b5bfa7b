//! `/config`: what is served, and having something else served.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Control;
use super::answer::{Error, refused, rejected};
use crate::config::{History, Kept, RoutesSource};
use crate::server::{Applied, Rejected};

/// What is served, and how the last reload has gone.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConfigStatus {
    /// The number of the configuration, from 1 for that of the start.
    generation: u64,
    routes: usize,
    /// Whether the last reload has been applied.
    succeeded: bool,
    /// When that was, in seconds since 1970.
    last_time: u64,
    /// What was wrong with the last one.
    errors: Vec<String>,
}

/// A configuration that has been applied.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Served {
    /// Its number.
    generation: u64,
    /// The start of the routes file's digest.
    hash: Option<String>,
    /// What its author should know.
    warnings: Vec<String>,
}

/// Which routes file that was applied is to be served again.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rollback {
    /// The start of its hash, or its number in the list, 1 for the latest.
    pub(crate) to: String,
}

/// What is served, and how the last reload has gone.
#[utoipa::path(get, path = "/config/status", tag = "config", responses((status = 200, body = ConfigStatus)))]
pub(super) async fn status(State(control): State<Control>) -> Json<ConfigStatus> {
    let status = control.reloader.status();
    Json(ConfigStatus {
        generation: control.live.generation(),
        routes: control.snapshot().routes.len(),
        succeeded: status.last_success(),
        last_time: status.last_time().as_secs(),
        errors: status.errors(),
    })
}

/// Reads the routes file, and what it needs, again. What is broken is not applied.
#[utoipa::path(post, path = "/config/reload", tag = "config", responses(
    (status = 200, body = Served), (status = 400, body = Error)))]
pub(super) async fn reload(State(control): State<Control>) -> Response {
    told(control.reloader.reload(RoutesSource::File).await)
}

/// Serves routes again that were served before. The routes file stays as it is.
#[utoipa::path(post, path = "/config/rollback", tag = "config", request_body = Rollback, responses(
    (status = 200, body = Served), (status = 400, body = Error), (status = 404, body = Error),
    (status = 409, body = Error)))]
pub(super) async fn rollback(
    State(control): State<Control>,
    body: Result<Json<Rollback>, JsonRejection>,
) -> Response {
    let to = match body {
        Ok(Json(Rollback { to })) => to,
        Err(rejection) => return rejected(&rejection),
    };
    let Some(state_dir) = control.settings.reload.state_dir.clone() else {
        return refused(
            StatusCode::CONFLICT,
            "STATE_DIR is not set: no routes files are kept",
        );
    };
    let read = move || {
        let kept = History::new(&state_dir).find(&to)?;
        kept.as_ref().map(Kept::text).transpose()
    };
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok(Some(text))) => told(control.reloader.reload(RoutesSource::Text(text)).await),
        Ok(Ok(None)) => refused(StatusCode::NOT_FOUND, "no such routes file is kept"),
        Ok(Err(error)) => refused(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// What has come of a reload.
fn told(result: Result<Applied, Rejected>) -> Response {
    match result {
        Ok(applied) => {
            let warnings = applied.warnings.iter().map(ToString::to_string);
            Json(Served {
                generation: applied.generation,
                hash: applied.hash,
                warnings: warnings.collect(),
            })
            .into_response()
        }
        Err(Rejected::Invalid(errors)) => refused(StatusCode::BAD_REQUEST, &errors.to_string()),
        Err(error @ Rejected::Failed(_)) => {
            refused(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string())
        }
    }
}

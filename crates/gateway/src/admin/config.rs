//! `/config`: what is served, and having something else served.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::{JsonRejection, StringRejection};
use axum::http::header::{ETAG, IF_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Control;
use super::answer::{Error, refused, rejected};
use crate::config::{Finding, History, Kept, RoutesSource, history_hash};
use crate::server::{Applied, Rejected};

const NO_STATE_DIR: &str = "STATE_DIR is not set: no routes files are kept";

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

/// The routes file that is served.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Present {
    /// The start of its digest; none where there is no routes file.
    hash: Option<String>,
    text: Option<String>,
}

/// What a routes file comes to.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Verdict {
    /// Whether it could be served.
    valid: bool,
    /// Each with its place, `line:column`.
    errors: Vec<String>,
    warnings: Vec<String>,
}

/// A routes file that has been applied.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Version {
    /// 1 for the latest.
    number: usize,
    /// When it was applied, in UTC (RFC 3339).
    time: String,
    /// The start of its digest.
    hash: String,
}

/// The routes file that is served, as it was written.
#[utoipa::path(get, path = "/config", tag = "config", responses((status = 200, body = Present)))]
pub(super) async fn present(State(control): State<Control>) -> Response {
    let text = control.snapshot().text.clone();
    let hash = text.as_deref().map(history_hash);
    let tag = hash.as_ref().map(|hash| [(ETAG, format!("\"{hash}\""))]);
    let text = text.as_deref().map(str::to_owned);
    (tag, Json(Present { hash, text })).into_response()
}

/// Serves the routes file in the body from now on. That on disk stays as it is: its next change has it served again. With
/// `If-Match`, a hash in quotes, nothing is done when another one is served than that.
#[utoipa::path(put, path = "/config", tag = "config", request_body = String, responses(
    (status = 200, body = Served), (status = 400, body = Error), (status = 412, body = Error)))]
pub(super) async fn apply(
    State(control): State<Control>,
    headers: HeaderMap,
    body: Result<String, StringRejection>,
) -> Response {
    let text = match body {
        Ok(text) => text,
        Err(rejection) => return refused(rejection.status(), &rejection.body_text()),
    };
    let expected = headers.get(IF_MATCH).map(HeaderValue::as_bytes);
    let expected = expected.map(|tag| String::from_utf8_lossy(tag).trim_matches('"').to_owned());
    let source = RoutesSource::Text(text);
    told(control.reloader.replace(source, expected).await)
}

/// Says what is wrong with the routes file in the body, as `api-gateway check` does. Nothing is changed.
#[utoipa::path(post, path = "/config/validate", tag = "config", request_body = String, responses(
    (status = 200, body = Verdict)))]
pub(super) async fn validate(
    State(control): State<Control>,
    body: Result<String, StringRejection>,
) -> Response {
    let text = match body {
        Ok(text) => text,
        Err(rejection) => return refused(rejection.status(), &rejection.body_text()),
    };
    match control.reloader.check(RoutesSource::Text(text)).await {
        Ok(applied) => Json(Verdict {
            valid: true,
            errors: Vec::new(),
            warnings: texts(&applied.warnings),
        })
        .into_response(),
        Err(Rejected::Invalid(errors)) => Json(Verdict {
            valid: false,
            errors: texts(&errors.0),
            warnings: Vec::new(),
        })
        .into_response(),
        Err(error) => told(Err(error)),
    }
}

/// The routes files that have been applied, the latest first.
#[utoipa::path(get, path = "/config/history", tag = "config", responses(
    (status = 200, body = [Version]), (status = 409, body = Error)))]
pub(super) async fn history(State(control): State<Control>) -> Response {
    let Some(state_dir) = control.settings.reload.state_dir.clone() else {
        return refused(StatusCode::CONFLICT, NO_STATE_DIR);
    };
    match tokio::task::spawn_blocking(move || History::new(&state_dir).all()).await {
        Ok(Ok(all)) => Json((1..).zip(all).map(version).collect::<Vec<_>>()).into_response(),
        Ok(Err(error)) => refused(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn version((number, kept): (usize, Kept)) -> Version {
    Version {
        number,
        time: humantime::format_rfc3339_seconds(kept.time).to_string(),
        hash: kept.hash,
    }
}

fn texts(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(ToString::to_string).collect()
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
        return refused(StatusCode::CONFLICT, NO_STATE_DIR);
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
        Ok(applied) => Json(Served {
            generation: applied.generation,
            hash: applied.hash,
            warnings: texts(&applied.warnings),
        })
        .into_response(),
        Err(Rejected::Invalid(errors)) => refused(StatusCode::BAD_REQUEST, &errors.to_string()),
        Err(error @ Rejected::Outdated) => {
            refused(StatusCode::PRECONDITION_FAILED, &error.to_string())
        }
        Err(error @ Rejected::Failed(_)) => {
            refused(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string())
        }
    }
}

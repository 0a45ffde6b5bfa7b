//! `POST /cache/purge`.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, post};
use serde_json::json;

use super::{is_of_a_page, refused};
use crate::caching::{PurgeRequest, Purger};

/// No request that makes sense is longer.
const LONGEST: usize = 64 * 1024;

/// Answers with what was purged. None where nothing is cached.
pub(super) fn route(purger: Option<Purger>) -> MethodRouter {
    post(purge)
        .with_state(purger)
        .layer(DefaultBodyLimit::max(LONGEST))
}

async fn purge(
    State(purger): State<Option<Purger>>,
    headers: HeaderMap,
    body: Result<Json<PurgeRequest>, JsonRejection>,
) -> Response {
    if is_of_a_page(&headers) {
        return refused(StatusCode::FORBIDDEN, "requests of web pages are not taken");
    }
    let request = match body {
        Ok(Json(request)) => request,
        Err(rejection) => return refused(rejection.status(), &rejection.body_text()),
    };
    let Some(purger) = purger else {
        return refused(
            StatusCode::CONFLICT,
            "nothing is cached: no route is \"cacheable\", or ENABLE_CACHING is false",
        );
    };
    if let Err(error) = purger.purge(&request) {
        return refused(StatusCode::BAD_REQUEST, &error.to_string());
    }
    tracing::info!(?request, "purged");
    if !request.soft {
        tokio::task::spawn_blocking(move || purger.sweep());
    }
    Json(json!({ "purged": request })).into_response()
}

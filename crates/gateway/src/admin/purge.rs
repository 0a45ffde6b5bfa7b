//! `POST /cache/purge`.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::Control;
use super::answer::{Error, refused, rejected};
use crate::caching::{PurgeRequest, Purger, Told};

/// What was asked for, and done.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Purged {
    purged: PurgeRequest,
    /// Whether the other gateways have been told, where there is a Redis for that: `told` or `unreachable`.
    #[serde(skip_serializing_if = "Option::is_none")]
    redis: Option<&'static str>,
}

/// Purges what is cached: what was asked for before is not given to anybody who asks from now on.
#[utoipa::path(post, path = "/cache/purge", tag = "cache", request_body = PurgeRequest, responses(
    (status = 200, body = Purged), (status = 400, body = Error), (status = 409, body = Error)))]
pub(super) async fn purge(
    State(admin): State<Control>,
    body: Result<Json<PurgeRequest>, JsonRejection>,
) -> Response {
    let request = match body {
        Ok(Json(request)) => request,
        Err(rejection) => return rejected(&rejection),
    };
    let Some(cache) = admin.cache.get() else {
        return refused(
            StatusCode::CONFLICT,
            "nothing is cached: no route is \"cacheable\", or ENABLE_CACHING is false",
        );
    };
    let purger = Purger::new(cache.clone(), admin.live);
    if let Err(error) = purger.purge(&request) {
        return refused(StatusCode::BAD_REQUEST, &error.to_string());
    }
    tracing::info!(?request, "purged");
    let told = purger.settle().await;
    if !request.soft {
        tokio::task::spawn_blocking(move || purger.sweep());
    }
    let redis = match told {
        Told::Nobody => None,
        Told::Everybody => Some("told"),
        Told::Later => Some("unreachable"),
    };
    let purged = request;
    Json(Purged { purged, redis }).into_response()
}

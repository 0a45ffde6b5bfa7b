//! `/upstreams`: how they are, and taking endpoints out.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::ToSchema;

use super::Control;
use super::answer::{Error, refused, rejected};
use crate::upstream::UpstreamStatus;

/// An endpoint of an upstream.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    /// The upstream's name.
    pub(crate) upstream: String,
    /// The endpoint's address, or its target as in the routes file.
    pub(crate) endpoint: String,
}

/// How all upstreams and their endpoints are.
#[utoipa::path(get, path = "/upstreams", tag = "upstreams", responses((status = 200, body = [UpstreamStatus])))]
pub(super) async fn list(State(control): State<Control>) -> Json<Vec<UpstreamStatus>> {
    let now = Instant::now();
    let snapshot = control.snapshot();
    let upstreams = snapshot.upstreams.iter();
    Json(upstreams.map(|upstream| upstream.status(now)).collect())
}

/// Has an endpoint get no new requests: neither by weight, nor by key, cookie or panic. Requests and WebSockets that it has
/// go on. It stays so until it is undrained, or the gateway starts anew.
#[utoipa::path(post, path = "/upstreams/drain", tag = "upstreams", request_body = Place, responses(
    (status = 200, body = UpstreamStatus), (status = 404, body = Error)))]
pub(super) async fn drain(
    State(control): State<Control>,
    place: Result<Json<Place>, JsonRejection>,
) -> Response {
    set_drained(&control, place, true)
}

/// Has an endpoint get requests again.
#[utoipa::path(post, path = "/upstreams/undrain", tag = "upstreams", request_body = Place, responses(
    (status = 200, body = UpstreamStatus), (status = 404, body = Error)))]
pub(super) async fn undrain(
    State(control): State<Control>,
    place: Result<Json<Place>, JsonRejection>,
) -> Response {
    set_drained(&control, place, false)
}

fn set_drained(
    control: &Control,
    place: Result<Json<Place>, JsonRejection>,
    drained: bool,
) -> Response {
    let place = match place {
        Ok(Json(place)) => place,
        Err(rejection) => return rejected(&rejection),
    };
    let snapshot = control.snapshot();
    let named = snapshot
        .upstreams
        .iter()
        .filter(|it| *it.name == *place.upstream);
    let mut changed = named.filter(|upstream| upstream.drain(&place.endpoint, drained) > 0);
    match changed.next() {
        Some(upstream) => {
            // Upstreams of one name are drained together.
            let _others = changed.count();
            let Place {
                upstream: name,
                endpoint,
            } = &place;
            tracing::info!(
                upstream = name,
                endpoint,
                drained,
                "endpoint drained or undrained"
            );
            Json(upstream.status(Instant::now())).into_response()
        }
        None => refused(
            StatusCode::NOT_FOUND,
            "there is no such upstream, or no such endpoint in it; GET /upstreams has them",
        ),
    }
}

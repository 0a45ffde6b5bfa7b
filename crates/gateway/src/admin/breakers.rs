//! `/breakers`: their states, and forcing them.

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
use crate::config::Snapshot;
use crate::upstream::Forced;

/// A breaker, and how it is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BreakerStatus {
    /// The route whose it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<Box<str>>,
    /// The upstream whose it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<Box<str>>,
    /// The endpoint whose it is, where each has its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<Box<str>>,
    /// `closed`, `open`, `half-open`, `forced-open` or `forced-closed`.
    state: &'static str,
}

/// What is asked for: the breaker of a route, of an upstream, or of one of its endpoints.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Force {
    route: Option<String>,
    upstream: Option<String>,
    endpoint: Option<String>,
    state: Forced,
}

/// All breakers.
#[utoipa::path(get, path = "/breakers", tag = "breakers", responses((status = 200, body = [BreakerStatus])))]
pub(super) async fn list(State(control): State<Control>) -> Json<Vec<BreakerStatus>> {
    Json(breakers(&control.snapshot()))
}

/// Has a breaker be open or closed whatever happens, or decide by itself again.
#[utoipa::path(post, path = "/breakers", tag = "breakers", request_body = Force, responses(
    (status = 200, body = [BreakerStatus]), (status = 404, body = Error)))]
pub(super) async fn force(
    State(control): State<Control>,
    asked: Result<Json<Force>, JsonRejection>,
) -> Response {
    let asked = match asked {
        Ok(Json(asked)) => asked,
        Err(rejection) => return rejected(&rejection),
    };
    let snapshot = control.snapshot();
    let endpoint = asked.endpoint.as_deref();
    let changed: usize = match (&asked.route, &asked.upstream) {
        (Some(route), None) if endpoint.is_none() => {
            let routes = snapshot.routes.iter().filter(|it| *it.name == **route);
            let guards = routes.filter_map(|route| route.guard.as_ref());
            guards.map(|guard| guard.force(asked.state)).sum()
        }
        (None, Some(upstream)) => {
            let named = snapshot
                .upstreams
                .iter()
                .filter(|it| *it.name == **upstream);
            named.map(|it| it.force(endpoint, asked.state)).sum()
        }
        _ => {
            return refused(
                StatusCode::BAD_REQUEST,
                "must name either a \"route\", or an \"upstream\" and perhaps its \"endpoint\"",
            );
        }
    };
    if changed == 0 {
        return refused(
            StatusCode::NOT_FOUND,
            "there is no such breaker; GET /breakers has them",
        );
    }
    tracing::info!(?asked, "breaker forced");
    Json(breakers(&snapshot)).into_response()
}

fn breakers(snapshot: &Snapshot) -> Vec<BreakerStatus> {
    let now = Instant::now();
    let mut all = Vec::new();
    for route in &snapshot.routes {
        all.extend(route.guard.as_ref().and_then(|guard| {
            Some(BreakerStatus {
                route: Some(route.name.clone()),
                upstream: None,
                endpoint: None,
                state: guard.state(now)?,
            })
        }));
    }
    for status in snapshot.upstreams.iter().map(|it| it.status(now)) {
        let of = |endpoint: Option<Box<str>>, state: &'static str| BreakerStatus {
            route: None,
            upstream: Some(status.name.clone()),
            endpoint,
            state,
        };
        all.extend(status.breaker.map(|state| of(None, state)));
        let members = status.members.iter();
        all.extend(members.filter_map(|it| Some(of(Some(it.address.clone()), it.breaker?))));
    }
    all
}

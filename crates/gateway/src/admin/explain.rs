//! `POST /explain`: what would become of a request.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use cache::Timestamp;
use tokio::runtime::Handle;

use super::Control;
use super::answer::{Error, refused, rejected};
use crate::explain::{Asked, Explanation, Gateway, Question, explain};

/// What would become of a request; with `?text` as the command line shows it.
#[utoipa::path(post, path = "/explain", tag = "routes", request_body = Asked, responses(
    (status = 200, body = Explanation), (status = 400, body = Error)))]
pub(super) async fn answer(
    State(control): State<Control>,
    RawQuery(query): RawQuery,
    body: Result<Json<Asked>, JsonRejection>,
) -> Response {
    let asked = match body {
        Ok(Json(asked)) => asked,
        Err(rejection) => return rejected(&rejection),
    };
    let question = match Question::try_from(&asked) {
        Ok(question) => question,
        Err(error) => return refused(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let runtime = Handle::current();
    // What is asked about belongs to one thread, as a request does.
    let explained = tokio::task::spawn_blocking(move || {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let now = Timestamp::from_millis(u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
        let gateway = Gateway {
            settings: &control.settings,
            snapshot: &control.snapshot(),
            cache: control.cache.get().map(|open| (&open.cache, now)),
            is_running: true,
        };
        runtime.block_on(explain(gateway, question))
    });
    match explained.await {
        Ok(explanation) if query.as_deref() == Some("text") => {
            explanation.to_string().into_response()
        }
        Ok(explanation) => Json(explanation).into_response(),
        Err(_) => refused(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the explanation has failed",
        ),
    }
}

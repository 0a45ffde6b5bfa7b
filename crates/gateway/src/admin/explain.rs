//! `POST /explain`: what would become of a request.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, post};
use cache::{Cache, Timestamp};
use tokio::runtime::Handle;

use super::{is_of_a_page, refused};
use crate::config::{Settings, Snapshot};
use crate::explain::{Asked, Gateway, Question, explain};

/// No request that makes sense is longer.
const LONGEST: usize = 256 * 1024;

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) struct Explainer {
    pub(crate) settings: Arc<Settings>,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) cache: Option<Cache>,
}

/// Answers in JSON, or with `?text` as the command line shows it.
pub(super) fn route(explainer: Explainer) -> MethodRouter {
    post(answer)
        .with_state(explainer)
        .layer(DefaultBodyLimit::max(LONGEST))
}

async fn answer(
    State(explainer): State<Explainer>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Result<Json<Asked>, JsonRejection>,
) -> Response {
    if is_of_a_page(&headers) {
        return refused(StatusCode::FORBIDDEN, "requests of web pages are not taken");
    }
    let asked = match body {
        Ok(Json(asked)) => asked,
        Err(rejection) => return refused(rejection.status(), &rejection.body_text()),
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
            settings: &explainer.settings,
            snapshot: &explainer.snapshot,
            cache: explainer.cache.as_ref().map(|cache| (cache, now)),
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

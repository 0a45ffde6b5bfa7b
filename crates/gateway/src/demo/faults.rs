//! Backends that are not at their best.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

const LONGEST: f64 = 60.0;

#[derive(Deserialize)]
struct Delay {
    #[serde(default = "two")]
    seconds: f64,
}

fn two() -> f64 {
    2.0
}

/// `/slow?seconds=N` answers after N seconds, two if not told, sixty at most.
pub(super) fn slow() -> Router {
    Router::new().route(
        "/slow",
        get(|Query(delay): Query<Delay>| async move {
            let seconds = if delay.seconds.is_finite() {
                delay.seconds.clamp(0.0, LONGEST)
            } else {
                two()
            };
            tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
            Json(json!({"slept": seconds}))
        }),
    )
}

/// `/flaky` fails every third time.
pub(super) fn flaky() -> Router {
    Router::new()
        .route("/flaky", get(sometimes))
        .with_state(Arc::new(AtomicU64::new(0)))
}

async fn sometimes(State(count): State<Arc<AtomicU64>>) -> (StatusCode, Json<Value>) {
    let count = count.fetch_add(1, Ordering::Relaxed) + 1;
    if count.is_multiple_of(3) {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            Json(json!({"error": "every third request fails", "request": count})),
        )
    } else {
        (StatusCode::OK, Json(json!({"ok": true, "request": count})))
    }
}

//! Two small collections in memory: users and orders.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

/// More would only fill memory.
const MOST_ITEMS: usize = 1000;

type Items = Arc<Mutex<BTreeMap<u64, Value>>>;

/// `/` and `/{id}`.
pub(super) fn users() -> Router {
    collection([
        json!({"id": 1, "name": "Ada"}),
        json!({"id": 2, "name": "Grace"}),
        json!({"id": 3, "name": "Edsger"}),
    ])
}

/// `/` and `/{id}`.
pub(super) fn orders() -> Router {
    collection([
        json!({"id": 1, "user": 1, "total": 42.5}),
        json!({"id": 2, "user": 3, "total": 7}),
    ])
}

fn collection(items: impl IntoIterator<Item = Value>) -> Router {
    let items = items
        .into_iter()
        .filter_map(|item| Some((item.get("id")?.as_u64()?, item)))
        .collect();
    let items: Items = Arc::new(Mutex::new(items));
    Router::new()
        .route("/", get(list).post(add))
        .route("/{id}", get(one).put(replace).delete(remove))
        .with_state(items)
}

async fn list(State(items): State<Items>) -> Json<Vec<Value>> {
    Json(
        items
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect(),
    )
}

async fn one(State(items): State<Items>, Path(id): Path<u64>) -> Response {
    match items
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get(&id)
    {
        Some(item) => Json(item.clone()).into_response(),
        None => missing(),
    }
}

async fn add(State(items): State<Items>, Json(item): Json<Value>) -> Response {
    let mut items = items.lock().unwrap_or_else(PoisonError::into_inner);
    let id = items.last_key_value().map_or(1, |(last, _)| last + 1);
    match with_id(item, id) {
        Some(item) if items.len() < MOST_ITEMS => {
            items.insert(id, item.clone());
            (StatusCode::CREATED, Json(item)).into_response()
        }
        Some(_) => (
            StatusCode::INSUFFICIENT_STORAGE,
            Json(json!({"error": "full"})),
        )
            .into_response(),
        None => not_an_object(),
    }
}

async fn replace(
    State(items): State<Items>,
    Path(id): Path<u64>,
    Json(item): Json<Value>,
) -> Response {
    let mut items = items.lock().unwrap_or_else(PoisonError::into_inner);
    match (items.get_mut(&id), with_id(item, id)) {
        (None, _) => missing(),
        (_, None) => not_an_object(),
        (Some(old), Some(item)) => {
            *old = item.clone();
            Json(item).into_response()
        }
    }
}

async fn remove(State(items): State<Items>, Path(id): Path<u64>) -> Response {
    match items
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .remove(&id)
    {
        Some(_) => StatusCode::NO_CONTENT.into_response(),
        None => missing(),
    }
}

fn with_id(mut item: Value, id: u64) -> Option<Value> {
    item.as_object_mut()?.insert("id".to_owned(), id.into());
    Some(item)
}

fn missing() -> Response {
    (
        StatusCode::NOT_FOUND,
        Json(json!({"error": "no such item"})),
    )
        .into_response()
}

fn not_an_object() -> Response {
    (
        StatusCode::UNPROCESSABLE_ENTITY,
        Json(json!({"error": "send a JSON object"})),
    )
        .into_response()
}

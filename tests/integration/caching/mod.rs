//! What is answered from the cache, and what never is.

mod bad_backends;
mod bodies;
mod compressed;
mod freshness;
mod invalidation;
mod memory;
mod purging;
mod query;
mod separation;
mod sharing;
mod stale;
mod telling;
mod tier_in_redis;
mod tier_on_disk;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use testkit::{Backend, Gateway, GatewayBuilder, Message, within};
use tokio::net::TcpStream;

use crate::{gateway, routes};

/// Where nobody listens, whatever other tests do at the same time.
const DEAD: &str = "http://127.0.0.1:1";

/// A backend that makes its answers from the request and how many have come before it.
async fn backend(answer: impl Fn(&Message, usize) -> String + Send + Sync + 'static) -> Backend {
    let answer = Arc::new(answer);
    let count = Arc::new(AtomicUsize::new(0));
    Backend::scripted(move |mut connection| {
        let (answer, count) = (Arc::clone(&answer), Arc::clone(&count));
        async move {
            while let Some(request) = connection.request().await {
                let number = count.fetch_add(1, Ordering::SeqCst);
                connection.send(answer(&request, number)).await;
            }
        }
    })
    .await
}

/// A backend whose answers have these fields, and their number for a body.
async fn numbering(fields: &'static str) -> Backend {
    backend(move |_, number| answer("200 OK", fields, &number.to_string())).await
}

/// Ends a backend, and waits until nobody listens there any more.
async fn end(backend: Backend) {
    let address = backend.address();
    drop(backend);
    within("the end of a backend", async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

fn answer(status: &str, fields: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {length}\r\n\r\n{body}")
}

fn cached(url: &str) -> Value {
    json!({ "name": "cached", "path": "/*path", "targetURL": url, "cacheable": true })
}

/// The route with what `cache` says.
fn cached_as(url: &str, cache: Value) -> Value {
    json!({ "name": "cached", "path": "/*path", "targetURL": url, "cache": cache })
}

fn with(route: Value) -> GatewayBuilder {
    gateway().routes(&routes(&[route]))
}

async fn in_front_of(backend: &Backend) -> Gateway {
    with(cached(&backend.url())).start().await
}

async fn get(gateway: &Gateway, target: &str, fields: &[&str]) -> Message {
    send(gateway, "GET", target, fields).await
}

async fn send(gateway: &Gateway, method: &str, target: &str, fields: &[&str]) -> Message {
    let mut client = gateway.client().await;
    client.request(method, target, fields).await;
    client.response().await
}

/// What `Cache-Status` says of the gateway.
fn status(message: &Message) -> &str {
    let value = message.field("cache-status").unwrap_or_default();
    value.strip_prefix("api-gateway; ").unwrap_or(value)
}

//! What the cache takes of the machine's memory, in the program as it runs.

use serde_json::json;
use testkit::{Backend, Gateway};

use super::{cached, cached_as, get, status, with};

const FIELDS: &str = "Content-Type: application/json; charset=utf-8\r\nCache-Control: public, max-age=600\r\n\
     ETag: \"5f0c9a7be1d24c55\"\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
     X-Content-Type-Options: nosniff\r\nServer: bench\r\nX-Cost: 3\r\n";
/// Sent at once.
const BATCH: usize = 50;

/// Bodies of 400 to 600 bytes, by the number in the path.
async fn backend() -> Backend {
    super::backend(|request, _| {
        let number: usize = request.target()[1..].parse().unwrap();
        super::answer("200 OK", FIELDS, &"x".repeat(length(number)))
    })
    .await
}

fn length(number: usize) -> usize {
    400 + number * 7_919 % 201
}

/// Asks for so many things, one after the other; what keys, heads and bodies come to.
async fn fill(gateway: &Gateway, numbers: std::ops::Range<usize>) -> usize {
    let mut client = gateway.client().await;
    let mut bytes = 0;
    let numbers: Vec<usize> = numbers.collect();
    for batch in numbers.chunks(BATCH) {
        let requests: String = batch
            .iter()
            .map(|number| format!("GET /{number} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
            .collect();
        client.send(requests).await;
        for number in batch {
            let answer = client.response().await;
            assert_eq!(answer.body.len(), length(*number));
            let key = "http://localhost/cached".len() + number.to_string().len();
            let added = "Content-Length: 500\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n";
            bytes += key + FIELDS.len() + added.len() + answer.body.len();
        }
    }
    bytes
}

/// Resident memory in bytes.
fn resident(gateway: &Gateway) -> usize {
    let pages = std::fs::read_to_string(format!("/proc/{}/statm", gateway.pid())).unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[tokio::test]
async fn small_responses_take_little_more_than_their_bytes() {
    let backend = backend().await;
    let gateway = with(cached(&backend.url()))
        .env("CACHE_SIZE", "256MiB")
        .start()
        .await;
    // What a request leaves behind that is not cached, such as buffers.
    fill(&gateway, 0..2_000).await;
    let before = resident(&gateway);
    // Not a number just over a power of two, where some of the store's tables have grown and others have not.
    let bytes = fill(&gateway, 2_000..50_000).await;
    let taken = resident(&gateway) - before;
    assert_eq!(gateway.metric("api_gateway_cache_entries").await, 50_000);
    assert!(taken * 10 < bytes * 13, "{taken} for {bytes}");
}

#[tokio::test]
async fn no_more_memory_is_taken_than_the_capacity() {
    let backend = backend().await;
    let gateway = with(cached(&backend.url()))
        .env("CACHE_SIZE", "8MiB")
        .start()
        .await;
    fill(&gateway, 0..2_000).await;
    let before = resident(&gateway);
    fill(&gateway, 2_000..26_000).await;
    let taken = resident(&gateway) - before;
    assert!(taken < 9 << 20, "{taken}");
    let stored = gateway.metric("api_gateway_cache_bytes").await;
    assert!((6 << 20..=8 << 20).contains(&stored), "{stored}");
    let entries = gateway.metric("api_gateway_cache_entries").await;
    let evicted = gateway
        .metric("api_gateway_cache_evicted_entries_total")
        .await;
    assert_eq!(entries + evicted, 26_000);
    let bytes = gateway
        .metric("api_gateway_cache_evicted_bytes_total")
        .await;
    assert!(bytes > evicted * 800, "{bytes}");
}

#[tokio::test]
async fn a_route_with_memory_of_its_own_pushes_nothing_of_others_out() {
    let backend = backend().await;
    let mut greedy = cached_as(&backend.url(), json!({ "maxMemory": "25%" }));
    greedy["name"] = json!("greedy");
    let mut modest = cached(&backend.url());
    (modest["name"], modest["path"]) = (json!("modest"), json!("/1"));
    let gateway = crate::gateway()
        .routes(&crate::routes(&[greedy, modest]))
        .env("CACHE_SIZE", "4MiB")
        .start()
        .await;
    get(&gateway, "/1", &[]).await;
    fill(&gateway, 2..8_000).await;
    assert!(status(&get(&gateway, "/1", &[]).await).starts_with("hit"));
    assert!(gateway.metric("api_gateway_cache_bytes").await <= (1 << 20) + 4_096);
    assert!(
        gateway
            .metric("api_gateway_cache_evicted_entries_total")
            .await
            > 6_000
    );
}

#[tokio::test]
async fn what_is_too_large_is_counted_and_the_capacity_may_be_a_share_of_the_memory() {
    let backend = Backend::answering(super::answer("200 OK", "", &"x".repeat(2_000))).await;
    let gateway = with(cached_as(
        &backend.url(),
        json!({ "maxObjectSize": "1KiB" }),
    ))
    .env("CACHE_SIZE", "1%")
    .start()
    .await;
    get(&gateway, "/", &[]).await;
    assert_eq!(gateway.metric("api_gateway_cache_too_large_total").await, 1);
    let capacity = gateway.metric("api_gateway_cache_capacity_bytes").await;
    assert!(capacity >= 1 << 20 && capacity != 64 << 20, "{capacity}");
}

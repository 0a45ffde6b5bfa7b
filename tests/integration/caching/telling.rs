//! What operators learn of the cache, and what has nothing to do with it.

use serde_json::json;
use testkit::Backend;

use super::{cached_as, get, in_front_of, numbering, send, with};

#[tokio::test]
async fn log_and_metrics_tell_what_was_done() {
    let backend = numbering("ETag: \"1\"\r\n").await;
    let gateway = in_front_of(&backend).await;
    get(&gateway, "/", &[]).await;
    get(&gateway, "/", &[]).await;
    get(&gateway, "/", &["If-None-Match: \"1\""]).await;
    send(&gateway, "POST", "/b", &[]).await;
    let log = gateway.log(4).await;
    let words: Vec<_> = log
        .iter()
        .map(|line| line["cache"].as_str().unwrap())
        .collect();
    assert_eq!(words, ["miss", "hit", "hit", "bypass"]);
    let address = backend.address().to_string();
    assert_eq!(log[0]["upstream"], address);
    assert!(log[0]["upstreamMs"].is_number());
    assert!(log[1]["upstream"].is_null() && log[1]["upstreamMs"].is_null());
    for (series, count) in [
        ("requests_total{route=\"cached\",outcome=\"hit\"}", 2),
        ("requests_total{route=\"cached\",outcome=\"miss\"}", 1),
        ("requests_total{route=\"cached\",outcome=\"bypass\"}", 1),
        ("requests_total{route=\"cached\",outcome=\"stale\"}", 0),
        ("entries", 1),
        ("capacity_bytes", 64 * 1024 * 1024),
    ] {
        let series = format!("api_gateway_cache_{series}");
        assert_eq!(gateway.metric(&series).await, count, "{series}");
    }
    assert!(gateway.metric("api_gateway_cache_bytes").await > 100);
}

#[tokio::test]
async fn x_cache_is_there_where_the_route_wants_it() {
    let backend = numbering("").await;
    let gateway = with(cached_as(&backend.url(), json!({ "xCache": true })))
        .start()
        .await;
    assert_eq!(get(&gateway, "/", &[]).await.field("x-cache"), Some("MISS"));
    assert_eq!(get(&gateway, "/", &[]).await.field("x-cache"), Some("HIT"));
    let gateway = in_front_of(&backend).await;
    assert_eq!(get(&gateway, "/", &[]).await.field("x-cache"), None);
}

#[tokio::test]
async fn a_websocket_has_nothing_to_do_with_the_cache() {
    let backend = Backend::scripted(|mut connection| async move {
        connection.request().await;
        connection
            .send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhello")
            .await;
        connection.ended().await;
    })
    .await;
    let gateway = in_front_of(&backend).await;
    let mut client = gateway.client().await;
    let fields = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    client.request("GET", "/", &fields).await;
    let head = client.until("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(!head.to_lowercase().contains("cache-status"), "{head}");
    client.until("hello").await;
}

//! How much a client may send, and how long it may take.

use std::time::{Duration, Instant};

use testkit::{Backend, Message};

use crate::{everything_to, gateway, in_front_of};

#[track_caller]
fn assert_refused(answer: &Message, status: u16, code: &str) {
    assert_eq!(
        (answer.status(), answer.field("connection")),
        (status, Some("close"))
    );
    assert_eq!(answer.json()["code"], code);
}

#[tokio::test]
async fn a_head_up_to_the_limit_passes_and_a_larger_one_is_431() {
    let backend = Backend::ok().await;
    let gateway = in_front_of(&backend).await;
    let head = |size: usize| {
        let frame = "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n".len();
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
            "x".repeat(size - frame)
        )
    };
    let mut client = gateway.client().await;
    client.send(head(64 * 1024)).await;
    assert_eq!(client.response().await.status(), 200);
    client.send(head(64 * 1024 + 1)).await;
    assert_refused(&client.response().await, 431, "head-too-large");
    // One that never ends is refused all the same.
    let mut client = gateway.client().await;
    client.send(&head(100_000)[..80_000]).await;
    assert_refused(&client.response().await, 431, "head-too-large");
}

#[tokio::test]
async fn a_hundred_fields_pass_and_more_are_431() {
    let backend = Backend::ok().await;
    let gateway = in_front_of(&backend).await;
    let head = |fields: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
            "X: 1\r\n".repeat(fields - 1)
        )
    };
    let mut client = gateway.client().await;
    client.send(head(100)).await;
    assert_eq!(client.response().await.status(), 200);
    client.send(head(101)).await;
    assert_refused(&client.response().await, 431, "head-too-large");
}

#[tokio::test]
async fn a_target_up_to_the_limit_passes_and_a_longer_one_is_414() {
    let backend = Backend::ok().await;
    let gateway = in_front_of(&backend).await;
    let target = |size: usize| format!("/{}", "x".repeat(size - 1));
    let mut client = gateway.client().await;
    assert_eq!(client.get(&target(8192)).await.status(), 200);
    assert_refused(&client.get(&target(8193)).await, 414, "target-too-long");
    let mut client = gateway.client().await;
    client.send(format!("GET {}", target(20_000))).await;
    assert_refused(&client.response().await, 414, "target-too-long");
}

#[tokio::test]
async fn limits_can_be_set() {
    let backend = Backend::ok().await;
    let gateway = gateway()
        .routes(&everything_to(&backend.url()))
        .env("MAX_HEAD_SIZE", "1KiB")
        .env("MAX_HEADERS", "300")
        .env("MAX_TARGET_SIZE", "1024")
        .start()
        .await;
    let mut client = gateway.client().await;
    client
        .send(format!(
            "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
            "X:1\r\n".repeat(190)
        ))
        .await;
    assert_eq!(client.response().await.status(), 200);
    client
        .send(format!(
            "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
            "x".repeat(1000)
        ))
        .await;
    assert_refused(&client.response().await, 431, "head-too-large");
}

#[tokio::test]
async fn a_head_that_does_not_arrive_in_time_is_408() {
    let backend = Backend::ok().await;
    let gateway = gateway()
        .routes(&everything_to(&backend.url()))
        .env("HEAD_TIMEOUT", "0.3")
        .start()
        .await;
    let mut client = gateway.client().await;
    let start = Instant::now();
    client.send("GET / HT").await;
    assert_refused(&client.response().await, 408, "request-timeout");
    assert!(start.elapsed() >= Duration::from_millis(300));
    // Drop by drop is not in time either: the limit is on the whole.
    let mut client = gateway.client().await;
    let start = Instant::now();
    client.send("GET / HTTP/1.1\r\nX: ").await;
    while client.is_silent_for(Duration::from_millis(50)).await {
        client.send("x").await;
        assert!(start.elapsed() < Duration::from_secs(5));
    }
    assert_refused(&client.response().await, 408, "request-timeout");
}

#[tokio::test]
async fn an_idle_connection_is_closed_without_a_word() {
    let backend = Backend::ok().await;
    let gateway = gateway()
        .routes(&everything_to(&backend.url()))
        .env("KEEP_ALIVE_TIMEOUT", "0.3")
        .start()
        .await;
    let mut never_used = gateway.client().await;
    let mut used = gateway.client().await;
    used.get("/").await;
    assert_eq!(used.rest().await, b"");
    assert_eq!(never_used.rest().await, b"");
    assert_eq!(gateway.log(1).await.len(), 1);
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_their_turn() {
    let backend = Backend::ok().await;
    let gateway = gateway()
        .routes(&everything_to(&backend.url()))
        .env("MAX_CONNECTIONS", "2")
        .start()
        .await;
    let mut first = gateway.client().await;
    let mut second = gateway.client().await;
    assert_eq!(
        (
            first.get("/").await.status(),
            second.get("/").await.status()
        ),
        (200, 200)
    );
    let mut third = gateway.client().await;
    third.request("GET", "/", &[]).await;
    assert!(third.is_silent_for(Duration::from_millis(200)).await);
    drop(first);
    assert_eq!(third.response().await.status(), 200);
}

#[tokio::test]
async fn a_body_of_more_than_ten_mebibytes_is_refused_by_its_length() {
    let backend = Backend::ok().await;
    let gateway = in_front_of(&backend).await;
    let mut client = gateway.client().await;
    // Nothing of the body is waited for, and nobody is asked for it.
    for expect in ["", "Expect: 100-continue"] {
        let fields: Vec<&str> = ["Content-Length: 10485761", expect]
            .into_iter()
            .filter(|field| !field.is_empty())
            .collect();
        client.request("POST", "/", &fields).await;
        assert_refused(&client.response().await, 413, "body-too-large");
        client = gateway.client().await;
    }
    client
        .send(format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10485760\r\n\r\n{}",
            "x".repeat(10_485_760)
        ))
        .await;
    assert_eq!(client.response().await.status(), 200);
    assert_eq!(backend.requests().len(), 1);
}

#[tokio::test]
async fn a_body_of_unknown_length_is_counted_as_it_streams() {
    let backend = Backend::ok().await;
    let gateway = gateway()
        .routes(&everything_to(&backend.url()))
        .env("MAX_REQUEST_BODY_SIZE", "8")
        .start()
        .await;
    let post = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut client = gateway.client().await;
    client
        .send(format!("{post}4\r\n1234\r\n4\r\n5678\r\n0\r\n\r\n"))
        .await;
    assert_eq!(client.response().await.status(), 200);
    assert_eq!(backend.last().body, b"12345678");
    client
        .send(format!("{post}4\r\n1234\r\n5\r\n56789\r\n0\r\n\r\n"))
        .await;
    assert_refused(&client.response().await, 413, "body-too-large");
    // The backend never takes a part for the whole.
    assert!(backend.requests().iter().skip(1).all(|request| request.cut));
}

#[tokio::test]
async fn a_route_has_a_body_limit_of_its_own() {
    let backend = Backend::ok().await;
    let route = |path: &str, size: serde_json::Value| {
        serde_json::json!({
            "path": path, "targetURL": backend.url(), "maxBodySize": size
        })
    };
    let gateway = gateway()
        .routes(&crate::routes(&[
            route("/none", 0.into()),
            route("/some", "1KiB".into()),
            route("/any", "off".into()),
        ]))
        .env("MAX_REQUEST_BODY_SIZE", "16")
        .start()
        .await;
    for (path, size, status) in [
        ("/none", 0, 200),
        ("/none", 1, 413),
        ("/some", 1024, 200),
        ("/some", 1025, 413),
        ("/any", 100_000, 200),
    ] {
        let mut client = gateway.client().await;
        client
            .send(format!(
                "PUT {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n{}",
                "x".repeat(size)
            ))
            .await;
        assert_eq!(client.response().await.status(), status, "{path} {size}");
    }
}

//! What goes wrong, on either side, and what the other side sees of it.

use std::time::{Duration, Instant};

use serde_json::json;
use testkit::Backend;

use crate::{assert_problem, everything_to, gateway, in_front_of, routes};

#[tokio::test]
async fn a_backend_that_refuses_is_502() {
    let address = Backend::refused().await;
    let gateway = gateway()
        .routes(&everything_to(&format!("http://{address}")))
        .start()
        .await;
    let answer = gateway.client().await.get("/").await;
    assert_problem(
        &answer,
        502,
        "upstream-unreachable",
        "destination_unavailable",
    );
    let line = &gateway.log(1).await[0];
    assert_eq!(
        (line["status"].as_u64(), line["error"].as_str()),
        (Some(502), Some("upstream-unreachable"))
    );
    assert_eq!(line["upstream"], address.to_string());
}

#[tokio::test]
async fn a_backend_whose_name_is_unknown_is_502() {
    let gateway = gateway()
        .routes(&everything_to("http://name.invalid"))
        .start()
        .await;
    let answer = gateway.client().await.get("/").await;
    assert_problem(&answer, 502, "upstream-unresolved", "dns_error");
}

#[tokio::test]
async fn a_backend_that_hangs_up_instead_of_answering_is_502() {
    let closing = Backend::closing(*b"").await;
    let resetting = Backend::scripted(|mut connection| async move {
        connection.request().await;
        connection.reset();
    })
    .await;
    let half = Backend::closing(*b"HTTP/1.1 200 OK\r\nContent-Le").await;
    for backend in [closing, resetting, half] {
        let gateway = in_front_of(&backend).await;
        let mut client = gateway.client().await;
        let answer = client.get("/").await;
        assert_problem(&answer, 502, "upstream-reset", "connection_terminated");
        // A connection that failed at once is not a reason to send again.
        assert_eq!(backend.connections(), 1);
        assert_eq!(
            answer.field("connection"),
            None,
            "the client's connection goes on"
        );
    }
}

#[tokio::test]
async fn an_answer_that_is_malformed_or_ambiguous_is_502() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/3 200 OK\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "\0\0\0\0\0\0\0\0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    ] {
        let backend = Backend::answering(answer).await;
        let gateway = in_front_of(&backend).await;
        let answered = gateway.client().await.get("/").await;
        assert_problem(&answered, 502, "upstream-malformed", "http_protocol_error");
        backend.wait_for_ends(1).await;
    }
}

#[tokio::test]
async fn an_answer_with_too_large_a_head_or_too_many_interim_answers_is_502() {
    let large = format!("HTTP/1.1 200 OK\r\nX-Large: {}\r\n\r\n", "x".repeat(70_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X-Many: 1\r\n".repeat(101));
    let interim = "HTTP/1.1 102 Processing\r\n\r\n".repeat(1000);
    for answer in [large, many, interim] {
        let backend = Backend::answering(answer).await;
        let gateway = in_front_of(&backend).await;
        let mut client = gateway.client().await;
        let mut answered = client.get("/").await;
        while answered.status() == 102 {
            answered = client.response().await;
        }
        assert_problem(&answered, 502, "upstream-malformed", "http_protocol_error");
    }
}

#[tokio::test]
async fn a_backend_that_does_not_answer_in_time_is_504() {
    let backend = Backend::silent().await;
    let gateway = gateway()
        .routes(&routes(&[
            json!({"path": "/*path", "targetURL": backend.url(), "timeout": 0.3}),
        ]))
        .start()
        .await;
    let mut client = gateway.client().await;
    let start = Instant::now();
    let answer = client.get("/").await;
    assert_problem(&answer, 504, "upstream-timeout", "http_response_timeout");
    assert!(start.elapsed() >= Duration::from_millis(300));
    // The request is not left to itself.
    backend.wait_for_ends(1).await;
}

#[tokio::test]
async fn the_time_in_which_a_body_arrives_does_not_count() {
    let backend = Backend::ok().await;
    let gateway = gateway()
        .routes(&routes(&[
            json!({"path": "/*path", "targetURL": backend.url(), "timeout": 0.4}),
        ]))
        .start()
        .await;
    let mut client = gateway.client().await;
    client.request("POST", "/", &["Content-Length: 5"]).await;
    for letter in ["h", "e", "l", "l", "o"] {
        // Slow, and never silent for as long as the time-out.
        assert!(client.is_silent_for(Duration::from_millis(200)).await);
        client.send(letter).await;
    }
    assert_eq!(client.response().await.status(), 200);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_passed_for_whole() {
    for (answer, version) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "1.1"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            "1.1",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhalf",
            "1.1",
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "1.0"),
    ] {
        let backend = Backend::closing(answer).await;
        let gateway = in_front_of(&backend).await;
        let mut client = gateway.client().await;
        client
            .send(format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n"))
            .await;
        let answered = client.response().await;
        assert_eq!(
            (answered.status(), answered.text().as_str(), answered.cut),
            (200, "half", true),
            "{answer:?}"
        );
        let line = &gateway.log(1).await[0];
        assert_eq!(
            (line["status"].as_u64(), line["error"].as_str()),
            (Some(200), Some("upstream-truncated"))
        );
    }
}

#[tokio::test]
async fn a_chunked_body_that_breaks_off_resets_an_http_1_0_client() {
    let backend =
        Backend::closing(*b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
            .await;
    let gateway = in_front_of(&backend).await;
    let mut client = gateway.client().await;
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    client.until("half").await;
    let mut stream = client.into_stream();
    // A plain end would be the regular end of this body.
    let error = tokio::io::AsyncReadExt::read_u8(&mut stream)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_malformed_chunk_from_the_backend_breaks_the_answer_off() {
    let backend = Backend::answering(
        *b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\nzz\r\nbad\r\n0\r\n\r\n",
    )
    .await;
    let gateway = in_front_of(&backend).await;
    let answered = gateway.client().await.get("/").await;
    assert_eq!((answered.text().as_str(), answered.cut), ("good", true));
}

#[tokio::test]
async fn a_backend_that_stops_in_the_middle_is_given_up() {
    let backend = Backend::scripted(|mut connection| async move {
        connection.head().await;
        connection
            .send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
            .await;
        connection.ended().await;
    })
    .await;
    let gateway = gateway()
        .routes(&everything_to(&backend.url()))
        .env("RESPONSE_BODY_IDLE_TIMEOUT", "0.2")
        .start()
        .await;
    let answered = gateway.client().await.get("/").await;
    assert!(answered.cut);
    assert_eq!(gateway.log(1).await[0]["error"], "upstream-stalled");
}

#[tokio::test]
async fn an_event_stream_may_be_silent_for_longer() {
    let backend = Backend::scripted(|mut connection| async move {
        connection.head().await;
        connection
            .send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\n")
            .await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        connection.send("data: late\n\n").await;
    })
    .await;
    let gateway = gateway()
        .routes(&everything_to(&backend.url()))
        .env("RESPONSE_BODY_IDLE_TIMEOUT", "0.1")
        .start()
        .await;
    assert_eq!(
        gateway.client().await.get("/").await.text(),
        "data: late\n\n"
    );
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_request_along() {
    let backend = Backend::silent().await;
    let gateway = in_front_of(&backend).await;
    let mut client = gateway.client().await;
    client.request("GET", "/", &[]).await;
    backend.wait_for_requests(1).await;
    drop(client);
    backend.wait_for_ends(1).await;
    let line = &gateway.log(1).await[0];
    assert_eq!(
        (line["status"].as_u64(), line["error"].as_str()),
        (Some(499), Some("client-gone"))
    );
}

#[tokio::test]
async fn a_client_that_leaves_during_its_answer_takes_it_along() {
    let backend = Backend::scripted(|mut connection| async move {
        connection.request().await;
        connection
            .send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
            .await;
        connection.ended().await;
    })
    .await;
    let gateway = in_front_of(&backend).await;
    let mut client = gateway.client().await;
    client.request("GET", "/", &[]).await;
    client.until("half").await;
    client.reset();
    backend.wait_for_ends(1).await;
    let line = &gateway.log(1).await[0];
    assert_eq!(
        (line["status"].as_u64(), line["error"].as_str()),
        (Some(200), Some("client-gone"))
    );
}

#[tokio::test]
async fn a_client_that_leaves_during_its_upload_takes_it_along() {
    let backend = Backend::scripted(|mut connection| async move {
        connection.until("part").await;
        let rest = connection.ended().await;
        assert!(
            !rest.ends_with(b"0\r\n\r\n"),
            "the body was not ended properly"
        );
    })
    .await;
    let gateway = in_front_of(&backend).await;
    let mut client = gateway.client().await;
    client
        .request("POST", "/", &["Transfer-Encoding: chunked"])
        .await;
    client.send("4\r\npart\r\n").await;
    backend.wait_for_connections(1).await;
    client.reset();
    backend.wait_for_ends(1).await;
    assert_eq!(gateway.log(1).await[0]["error"], "client-gone");
}

#[tokio::test]
async fn a_client_body_that_ends_early_is_400() {
    let backend = Backend::silent().await;
    let gateway = in_front_of(&backend).await;
    let mut client = gateway.client().await;
    client.request("POST", "/", &["Content-Length: 10"]).await;
    client.send("half").await;
    client.end().await;
    let answer = client.response().await;
    assert_eq!(
        (answer.status(), answer.json()["code"].as_str()),
        (400, Some("malformed-request"))
    );
}

#[tokio::test]
async fn a_client_body_that_stalls_is_408() {
    let backend = Backend::silent().await;
    let gateway = gateway()
        .routes(&everything_to(&backend.url()))
        .env("REQUEST_BODY_IDLE_TIMEOUT", "0.2")
        .start()
        .await;
    let mut client = gateway.client().await;
    client.request("POST", "/", &["Content-Length: 10"]).await;
    client.send("half").await;
    let answer = client.response().await;
    assert_eq!(
        (answer.status(), answer.field("connection")),
        (408, Some("close"))
    );
    assert_eq!(answer.json()["code"], "request-timeout");
}

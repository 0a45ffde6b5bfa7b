//! WebSockets through the gateway.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use testkit::{Backend, Gateway, within};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};

use crate::{everything_to, gateway, in_front_of};

/// Sends back what it gets; answers a close with a code of its own.
async fn echo() -> Backend {
    Backend::scripted(|connection| async move {
        let Ok(mut socket) = accept_async(connection.stream).await else {
            return;
        };
        while let Some(Ok(message)) = socket.next().await {
            match message {
                Message::Text(text) if text.as_str() == "close 4001" => {
                    let frame = CloseFrame {
                        code: CloseCode::Library(4001),
                        reason: "as told".into(),
                    };
                    let _ = socket.close(Some(frame)).await;
                }
                Message::Text(_) | Message::Binary(_) => {
                    socket.send(message).await.unwrap_or_default()
                }
                _ => {}
            }
        }
    })
    .await
}

async fn connect(gateway: &Gateway) -> WebSocketStream<TcpStream> {
    let stream = within("connecting", TcpStream::connect(gateway.address()))
        .await
        .unwrap();
    within(
        "the handshake",
        client_async("ws://gateway.test/socket", stream),
    )
    .await
    .unwrap()
    .0
}

const UPGRADE: [&str; 4] = [
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

#[tokio::test]
async fn messages_go_both_ways() {
    let backend = echo().await;
    let gateway = in_front_of(&backend).await;
    let mut socket = connect(&gateway).await;
    for message in [
        Message::text("héllo"),
        Message::binary(vec![7; 200_000]),
        Message::text(""),
    ] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(
            within("an echo", socket.next()).await.unwrap().unwrap(),
            message
        );
    }
}

#[tokio::test]
async fn close_codes_survive_in_both_directions() {
    let backend = echo().await;
    let gateway = in_front_of(&backend).await;
    let mut socket = connect(&gateway).await;
    socket.send(Message::text("close 4001")).await.unwrap();
    let Message::Close(Some(frame)) = within("a close", socket.next()).await.unwrap().unwrap()
    else {
        panic!("no close frame");
    };
    assert_eq!(
        (frame.code, frame.reason.as_str()),
        (CloseCode::Library(4001), "as told")
    );
    drop(socket);
    let mut socket = connect(&gateway).await;
    let frame = CloseFrame {
        code: CloseCode::Away,
        reason: "bye".into(),
    };
    socket.close(Some(frame.clone())).await.unwrap();
    let Message::Close(Some(echoed)) = within("a close", socket.next()).await.unwrap().unwrap()
    else {
        panic!("no close frame");
    };
    assert_eq!(echoed, frame);
    assert!(within("the end", socket.next()).await.is_none());
    drop(socket);
    let lines = gateway.log(2).await;
    assert!(
        lines
            .iter()
            .all(|line| line["status"] == 101 && line["error"].is_null()),
        "{lines:?}"
    );
    assert!(
        lines
            .iter()
            .all(|line| line["bytesIn"].as_u64() > Some(0) && line["bytesOut"].as_u64() > Some(0)),
        "{lines:?}"
    );
}

#[tokio::test]
async fn the_handshake_is_forwarded_as_it_came() {
    let backend = Backend::scripted(|mut connection| async move {
        connection.request().await;
        connection
            .send(SWITCH.replace(
                "Upgrade\r\nSec",
                "Upgrade\r\nSec-WebSocket-Protocol: b\r\nSec",
            ))
            .await;
        connection.ended().await;
    })
    .await;
    let gateway = in_front_of(&backend).await;
    let mut client = gateway.client().await;
    client
        .request(
            "GET",
            "/socket?token=x",
            &[&UPGRADE[..], &["Sec-WebSocket-Protocol: a, b"]].concat(),
        )
        .await;
    let answer = client.response().await;
    assert_eq!(
        (answer.status(), answer.field("sec-websocket-protocol")),
        (101, Some("b"))
    );
    assert_eq!(
        (answer.field("upgrade"), answer.field("connection")),
        (Some("websocket"), Some("upgrade"))
    );
    let request = backend.last();
    assert_eq!(
        (request.target(), request.field("sec-websocket-protocol")),
        ("/socket?token=x", Some("a, b"))
    );
    assert_eq!(
        (request.field("upgrade"), request.field("connection")),
        (Some("websocket"), Some("upgrade"))
    );
}

#[tokio::test]
async fn either_side_may_end_first_and_the_other_say_more() {
    let backend = Backend::scripted(|mut connection| async move {
        connection.head().await;
        connection.send(SWITCH).await;
        assert_eq!(connection.ended().await, b"client's last");
        connection.send("backend's last").await;
    })
    .await;
    let gateway = in_front_of(&backend).await;
    let mut client = gateway.client().await;
    client.request("GET", "/", &UPGRADE).await;
    assert_eq!(client.response().await.status(), 101);
    client.send("client's last").await;
    client.end().await;
    assert_eq!(client.rest().await, b"backend's last");
}

#[tokio::test]
async fn a_refusal_is_passed_on_as_it_came() {
    let backend = Backend::answering(
        *b"HTTP/1.1 426 Upgrade Required\r\nX-Reason: old\r\nContent-Length: 2\r\n\r\nno",
    )
    .await;
    let gateway = in_front_of(&backend).await;
    let mut client = gateway.client().await;
    client.request("GET", "/", &UPGRADE).await;
    let answer = client.response().await;
    assert_eq!(
        (
            answer.status(),
            answer.field("x-reason"),
            answer.text().as_str()
        ),
        (426, Some("old"), "no")
    );
}

#[tokio::test]
async fn early_bytes_reach_the_backend_after_the_switch_and_nobody_without_one() {
    let accepting = Backend::scripted(|mut connection| async move {
        connection.head().await;
        assert!(
            connection.buffered().is_empty(),
            "nothing is sent on before the switch"
        );
        connection.send(SWITCH).await;
        connection.until("early").await;
        connection.send("seen").await;
    })
    .await;
    let gateway = in_front_of(&accepting).await;
    let mut client = gateway.client().await;
    client
        .send(format!(
            "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n\r\nearly",
            UPGRADE.join("\r\n")
        ))
        .await;
    assert_eq!(client.response().await.status(), 101);
    client.until("seen").await;

    let refusing =
        Backend::answering(*b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").await;
    let gateway = in_front_of(&refusing).await;
    let mut client = gateway.client().await;
    let early = "GET /early HTTP/1.1\r\nHost: a\r\n\r\n";
    client
        .send(format!(
            "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n\r\n{early}",
            UPGRADE.join("\r\n")
        ))
        .await;
    let answer = client.response().await;
    assert_eq!(
        (answer.status(), answer.field("connection")),
        (403, Some("close"))
    );
    assert_eq!(client.rest().await, b"");
    assert_eq!(refusing.requests().len(), 1);
}

#[tokio::test]
async fn other_protocols_are_not_switched_to() {
    let backend = Backend::ok().await;
    let gateway = in_front_of(&backend).await;
    let mut client = gateway.client().await;
    client
        .request(
            "GET",
            "/",
            &[
                "Connection: Upgrade, HTTP2-Settings",
                "Upgrade: h2c",
                "HTTP2-Settings: AAMAAABk",
            ],
        )
        .await;
    assert_eq!(client.response().await.status(), 200);
    assert_eq!(
        (
            backend.last().field("upgrade"),
            backend.last().field("connection")
        ),
        (None, None)
    );
}

#[tokio::test]
async fn a_socket_that_is_silent_for_too_long_is_closed() {
    let backend = echo().await;
    let gateway = gateway()
        .routes(&everything_to(&backend.url()))
        .env("WEBSOCKET_IDLE_TIMEOUT", "0.3")
        .start()
        .await;
    let mut socket = connect(&gateway).await;
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        socket.send(Message::text("alive")).await.unwrap();
        assert_eq!(
            within("an echo", socket.next()).await.unwrap().unwrap(),
            Message::text("alive")
        );
    }
    assert!(!matches!(
        within("the end", socket.next()).await,
        Some(Ok(Message::Text(_)))
    ));
    assert_eq!(gateway.log(1).await[0]["error"], "upstream-stalled");
}

#[tokio::test]
async fn two_thousand_sockets_are_served_at_once() {
    let backend = echo().await;
    let gateway = in_front_of(&backend).await;
    let mut sockets = vec![connect(&gateway).await];
    let before = gateway.peak_memory();
    while sockets.len() < 2000 {
        sockets.push(connect(&gateway).await);
    }
    for round in 0..2 {
        for (index, socket) in sockets.iter_mut().enumerate() {
            socket
                .send(Message::text(format!("{round} {index}")))
                .await
                .unwrap();
        }
        for (index, socket) in sockets.iter_mut().enumerate() {
            let echoed = within("an echo", socket.next()).await.unwrap().unwrap();
            assert_eq!(echoed, Message::text(format!("{round} {index}")));
        }
    }
    assert!(
        gateway.peak_memory() < 64 * 1024,
        "{} KiB",
        gateway.peak_memory()
    );
    // Each holds two sockets and a task, and no buffer: with those it would be four times as much.
    let taken = gateway.peak_memory() - before;
    assert!(taken < 10 * 1024, "{taken} KiB");
}

#[tokio::test]
async fn open_sockets_and_what_passes_through_them_are_counted_as_it_passes() {
    let backend = echo().await;
    let gateway = in_front_of(&backend).await;
    let mut socket = connect(&gateway).await;
    for message in [Message::text("ping"), Message::binary(vec![7; 70_000])] {
        socket.send(message.clone()).await.unwrap();
        let echoed = within("an echo", socket.next()).await.unwrap().unwrap();
        assert_eq!(echoed, message);
    }
    let count = async |name: &str| {
        let series = format!("api_gateway_{}", name.replace('{', "{route=\"/{*path}\""));
        gateway.metric(&series).await
    };
    assert_eq!(count("websockets_open{}").await, 1);
    assert_eq!(count("requests_in_flight{}").await, 0);
    for (direction, mask) in [("received", 4), ("sent", 0)] {
        let labels = format!("{{,direction=\"{direction}\"}}");
        assert_eq!(count(&format!("websocket_messages_total{labels}")).await, 2);
        let bytes = count(&format!("websocket_bytes_total{labels}")).await;
        assert_eq!(bytes, (2 + mask + 4) + (10 + mask + 70_000));
    }
    socket.close(None).await.unwrap();
    drop(socket);
    gateway.log(1).await;
    assert_eq!(count("websockets_open{}").await, 0);
    assert_eq!(count("websockets_total{}").await, 1);
    assert_eq!(count("request_duration_seconds_count{}").await, 1);
}

//! WebSocket over HTTP/2 (RFC 8441).

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use testkit::http2::{Answer, Client, flag, kind, reason};
use testkit::{Backend, Connection, within};
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::{everything_to, gateway, in_front_of};

const CONNECT: [(&str, &str); 6] = [
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":scheme", "http"),
    (":authority", "gateway.test"),
    (":path", "/socket?token=x"),
    ("sec-websocket-protocol", "a, b"),
];

/// A text message from a client, masked with zeros: as it stands.
pub(crate) fn masked(text: &str) -> Vec<u8> {
    let mut bytes = vec![0x81, 0x80 | text.len() as u8, 0, 0, 0, 0];
    bytes.extend(text.as_bytes());
    bytes
}

/// A text message from a server.
pub(crate) fn plain(text: &str) -> Vec<u8> {
    let mut bytes = vec![0x81, text.len() as u8];
    bytes.extend(text.as_bytes());
    bytes
}

pub(crate) async fn echo() -> Backend {
    Backend::scripted(|connection| async move {
        let Ok(mut socket) = accept_async(connection.stream).await else {
            return;
        };
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() {
                socket.send(message).await.unwrap_or_default();
            }
        }
    })
    .await
}

/// Accepts the upgrade that is asked for; `accept` is made of what the key demands.
async fn switch(connection: &mut Connection, accept: impl FnOnce(String) -> String) {
    let request = connection.request().await.unwrap();
    let key = request.field("sec-websocket-key").unwrap();
    let accept = accept(derive_accept_key(key.as_bytes()));
    connection
        .send(format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: b\r\n\r\n"
        ))
        .await;
}

async fn connect(client: &mut Client, stream: u32) {
    connect_to(client, stream, CONNECT[4].1).await;
}

pub(crate) async fn connect_to(client: &mut Client, stream: u32, path: &str) {
    let mut fields = CONNECT;
    fields[4].1 = path;
    client.headers(stream, flag::END_HEADERS, &fields).await;
    loop {
        let frame = client.next().await.expect("an answer");
        if frame.stream == stream {
            assert_eq!(
                (frame.kind, frame.flags),
                (kind::HEADERS, flag::END_HEADERS)
            );
            // 200, by its number in the static table, once the table's size has been said.
            assert!(frame.payload.starts_with(&[0x88]) || frame.payload.get(1) == Some(&0x88));
            return;
        }
    }
}

/// Reads data until so much of it has come.
pub(crate) async fn data(client: &mut Client, stream: u32, length: usize) -> Vec<u8> {
    let mut data = Vec::new();
    while data.len() < length {
        let frame = client.next().await.expect("data");
        assert_eq!(
            (frame.kind, frame.stream),
            (kind::DATA, stream),
            "{frame:?}"
        );
        data.extend(frame.payload);
    }
    data
}

async fn refused(backend: &Backend, fields: &[(&str, &str)]) -> Answer {
    let gateway = in_front_of(backend).await;
    let mut client = Client::connect(gateway.address()).await;
    client.headers(1, flag::END_HEADERS, fields).await;
    let answer = client.answer(1).await;
    client
        .headers(
            3,
            flag::END,
            &[
                (":method", "OPTIONS"),
                (":scheme", "http"),
                (":authority", "gateway.test"),
                (":path", "*"),
            ],
        )
        .await;
    let next = client.answer(3).await.status.unwrap();
    assert!((200..300).contains(&next), "{next}");
    answer
}

#[tokio::test]
async fn messages_go_both_ways_beside_other_streams_and_are_counted() {
    let backend = echo().await;
    let gateway = in_front_of(&backend).await;
    let mut client = Client::connect(gateway.address()).await;
    for stream in [1, 3] {
        connect(&mut client, stream).await;
    }
    for text in ["hello", "", "again"] {
        for stream in [3, 1] {
            client.frame(kind::DATA, 0, stream, &masked(text)).await;
            let echoed = data(&mut client, stream, 2 + text.len()).await;
            assert_eq!(echoed, plain(text));
        }
    }
    let count = async |name: &str| {
        let series = format!("api_gateway_{}", name.replace('{', "{route=\"/{*path}\""));
        gateway.metric(&series).await
    };
    assert_eq!(count("websockets_open{}").await, 2);
    assert_eq!(count("requests_in_flight{}").await, 0);
    for direction in ["received", "sent"] {
        let labels = format!("{{,direction=\"{direction}\"}}");
        assert_eq!(count(&format!("websocket_messages_total{labels}")).await, 6);
    }
    // A client that has said all that it had to say.
    client.frame(kind::DATA, flag::END_STREAM, 1, &[]).await;
    let line = &gateway.log(1).await[0];
    assert_eq!(
        (&line["status"], &line["protocol"], &line["error"]),
        (&101.into(), &"HTTP/2".into(), &serde_json::Value::Null)
    );
    assert_eq!(
        (&line["bytesIn"], &line["bytesOut"]),
        (&28.into(), &16.into())
    );
    let cancel = reason::CANCEL.to_be_bytes();
    client.frame(kind::RST_STREAM, 0, 3, &cancel).await;
    assert_eq!(gateway.log(2).await[1]["error"], "client-gone");
    assert_eq!(count("websockets_open{}").await, 0);
    assert_eq!(count("websockets_total{}").await, 2);
}

#[tokio::test]
async fn the_backend_is_asked_as_http_1_1_asks() {
    let backend = Backend::scripted(|mut connection| async move {
        switch(&mut connection, |accept| accept).await;
        connection.until("bye").await;
        connection.send("and bye").await;
    })
    .await;
    let gateway = in_front_of(&backend).await;
    let mut client = Client::connect(gateway.address()).await;
    connect(&mut client, 1).await;
    client.frame(kind::DATA, 0, 1, b"bye").await;
    assert_eq!(data(&mut client, 1, 7).await, b"and bye");
    let end = client.next().await.unwrap();
    assert_eq!((end.kind, end.flags), (kind::DATA, flag::END_STREAM));
    let request = backend.last();
    assert!(
        request.start.starts_with("GET /socket?token=x "),
        "{}",
        request.start
    );
    for (name, value) in [
        ("host", None),
        ("upgrade", Some("websocket")),
        ("connection", Some("upgrade")),
        ("sec-websocket-version", Some("13")),
        ("sec-websocket-protocol", Some("a, b")),
        ("content-length", None),
        ("transfer-encoding", None),
    ] {
        if name != "host" {
            assert_eq!(request.fields(name), Vec::from_iter(value), "{name}");
        }
    }
    assert_eq!(request.field("x-forwarded-host"), Some("gateway.test"));
}

#[tokio::test]
async fn a_refusal_is_passed_on_and_what_is_no_websocket_is_502() {
    let forbidden =
        Backend::answering(*b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await;
    let answer = refused(&forbidden, &CONNECT).await;
    assert_eq!((answer.status, &*answer.body), (Some(403), &b"no"[..]));
    let ignorant = Backend::ok().await;
    assert_eq!(refused(&ignorant, &CONNECT).await.status, Some(502));
    let mistaken = Backend::scripted(|mut connection| async move {
        switch(&mut connection, |accept| accept.to_lowercase()).await;
        connection.ended().await;
    })
    .await;
    assert_eq!(refused(&mistaken, &CONNECT).await.status, Some(502));
}

#[tokio::test]
async fn other_tunnels_are_refused_and_reach_nobody() {
    let backend = Backend::ok().await;
    let mut other = CONNECT;
    other[1].1 = "connect-udp";
    let with_length = [&CONNECT[..], &[("content-length", "5")]].concat();
    let plain = [CONNECT[0], CONNECT[3]];
    for fields in [&other[..], &with_length, &plain] {
        let answer = refused(&backend, fields).await;
        assert_eq!(answer.status, Some(400), "{fields:?}");
    }
    let mut get = CONNECT;
    get[0].1 = "GET";
    let answer = refused(&backend, &get).await;
    assert_eq!(answer.reset, Some(reason::PROTOCOL_ERROR));
    assert_eq!(backend.connections(), 0);
}

#[tokio::test]
async fn neither_side_is_read_faster_than_the_other_takes_it() {
    let backend = Backend::scripted(|mut connection| async move {
        switch(&mut connection, |accept| accept).await;
        // It says much, and listens to nothing.
        connection.send(vec![0; 32 << 20]).await;
        std::future::pending::<()>().await;
    })
    .await;
    let gateway = in_front_of(&backend).await;
    let mut client = Client::connect(gateway.address()).await;
    connect(&mut client, 1).await;
    let before = gateway.peak_memory();
    // The client's window, and not a byte more.
    data(&mut client, 1, 65_535).await;
    let (mut window, part) = (256 * 1024_i64, vec![0; 16_000]);
    let mut sent = 0;
    loop {
        while window >= part.len() as i64 {
            client.frame(kind::DATA, 0, 1, &part).await;
            window -= part.len() as i64;
            sent += part.len();
        }
        let frame = client.reader.next();
        let Ok(frame) = tokio::time::timeout(Duration::from_secs(1), frame).await else {
            break;
        };
        let frame = frame.unwrap();
        assert_ne!(frame.kind, kind::DATA);
        if frame.kind == kind::WINDOW_UPDATE && frame.stream == 1 {
            window += i64::from(frame.number(0));
        }
    }
    assert!(sent < 32 << 20, "{sent}");
    let kept = gateway.peak_memory().saturating_sub(before);
    assert!(kept < 4 * 1024, "{kept} KiB");
}

#[tokio::test]
async fn silent_sockets_leave_room_for_other_streams() {
    let backend = Backend::scripted(|mut connection| async move {
        let head = connection.head().await;
        if let Some(key) = head.split("sec-websocket-key: ").nth(1) {
            let accept = derive_accept_key(key.split("\r\n").next().unwrap().as_bytes());
            connection
                .send(format!("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"))
                .await;
            std::future::pending::<()>().await;
        }
        connection
            .send("HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")
            .await;
        connection.send(vec![b'x'; 60_000]).await;
    })
    .await;
    let gateway = in_front_of(&backend).await;
    let mut client = Client::connect(gateway.address()).await;
    for number in 0..50 {
        connect(&mut client, 2 * number + 1).await;
    }
    client.get(201, "/").await;
    assert_eq!(client.answer(201).await.body.len(), 60_000);
}

#[tokio::test]
async fn a_socket_that_is_silent_for_too_long_is_closed() {
    let backend = echo().await;
    let gateway = gateway()
        .routes(&everything_to(&backend.url()))
        .env("WEBSOCKET_IDLE_TIMEOUT", "0.5")
        .start()
        .await;
    let mut client = Client::connect(gateway.address()).await;
    connect(&mut client, 1).await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(250)).await;
        client.frame(kind::DATA, 0, 1, &masked("alive")).await;
        assert_eq!(data(&mut client, 1, 7).await, plain("alive"));
    }
    let answer = client.answer(1).await;
    assert_eq!(answer.reset, Some(reason::CANCEL));
    assert_eq!(gateway.log(1).await[0]["error"], "upstream-stalled");
}

#[tokio::test]
async fn a_backend_that_breaks_off_resets_the_stream_and_one_that_stops_ends_it() {
    let backend = Backend::scripted(|mut connection| async move {
        switch(&mut connection, |accept| accept).await;
        connection.until("break").await;
        connection.stream.set_zero_linger().unwrap();
    })
    .await;
    let gateway = in_front_of(&backend).await;
    let mut client = Client::connect(gateway.address()).await;
    connect(&mut client, 1).await;
    client.frame(kind::DATA, 0, 1, b"break").await;
    assert_eq!(client.answer(1).await.reset, Some(reason::CANCEL));
    assert_eq!(gateway.log(1).await[0]["error"], "upstream-truncated");
}

#[tokio::test]
async fn sockets_live_on_while_the_gateway_drains_and_are_cut_off_at_its_end() {
    let backend = echo().await;
    let mut gateway = gateway()
        .routes(&everything_to(&backend.url()))
        .env("SHUTDOWN_TIMEOUT", "1")
        .start()
        .await;
    let mut client = Client::connect(gateway.address()).await;
    connect(&mut client, 1).await;
    gateway.signal("TERM").await;
    while client.next().await.unwrap().kind != kind::GOAWAY {}
    client
        .frame(kind::DATA, 0, 1, &masked("still there?"))
        .await;
    let echoed = within("an echo", async {
        loop {
            let frame = client.next().await.unwrap();
            if frame.kind == kind::DATA {
                return frame.payload;
            }
        }
    });
    assert_eq!(echoed.await, plain("still there?"));
    while client.next().await.is_some() {}
    assert!(gateway.exit().await.success());
}

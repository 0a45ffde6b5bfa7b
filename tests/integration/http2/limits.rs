//! How much a connection may have, and what becomes of more.

use testkit::http2::{
    Client, flag, frame_bytes, header_block, indexed_literal, kind, reason, request_fields,
};
use testkit::{Backend, Gateway};

use crate::{everything_to, gateway, in_front_of};

async fn silent_backend() -> (Backend, Gateway) {
    let backend = Backend::silent().await;
    let gateway = in_front_of(&backend).await;
    (backend, gateway)
}

fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    frame_bytes(kind::WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
}

/// What the gateway announces of itself.
async fn announced(gateway: &Gateway) -> Vec<(u16, u32)> {
    let mut client = Client::with_settings(gateway.address(), &[]).await;
    let settings = client.reader.next().await.unwrap();
    assert_eq!(settings.kind, kind::SETTINGS);
    let number = |at: usize, length: usize| {
        let bytes = &settings.payload[at..at + length];
        bytes
            .iter()
            .fold(0, |number, byte| number << 8 | u32::from(*byte))
    };
    (0..settings.payload.len())
        .step_by(6)
        .map(|at| (number(at, 2) as u16, number(at + 2, 4)))
        .collect()
}

#[tokio::test]
async fn streams_beyond_the_most_are_refused_and_the_others_served() {
    let (backend, _) = silent_backend().await;
    let gateway = gateway()
        .routes(&everything_to(&backend.url()))
        .env("MAX_HTTP2_STREAMS", "3")
        .start()
        .await;
    assert!(announced(&gateway).await.contains(&(3, 3)));
    let mut client = Client::connect(gateway.address()).await;
    for stream in [1, 3, 5, 7] {
        client.get(stream, "/").await;
    }
    assert_eq!(client.answer(7).await.reset, Some(reason::REFUSED_STREAM));
    backend.wait_for_requests(3).await;
    let cancel = reason::CANCEL.to_be_bytes();
    client.frame(kind::RST_STREAM, 0, 3, &cancel).await;
    backend.wait_for_ends(1).await;
    client.get(9, "/").await;
    backend.wait_for_requests(4).await;
}

#[tokio::test]
async fn who_goes_on_opening_refused_streams_is_told_to_go() {
    let (_backend, gateway) = silent_backend().await;
    let mut client = Client::connect(gateway.address()).await;
    for number in 0..210 {
        client.get(2 * number + 1, "/").await;
    }
    assert_eq!(client.goaway().await, reason::ENHANCE_YOUR_CALM);
}

#[tokio::test]
async fn heads_that_are_too_large_are_431_however_small_they_came() {
    let backend = Backend::ok().await;
    let gateway = in_front_of(&backend).await;
    let before = gateway.peak_memory();
    // A value of 4,000 bytes in the table, and one byte for each time that it is meant.
    let bomb = |times: usize| {
        let mut block = header_block(&request_fields("GET", "/", &[]));
        block.extend(indexed_literal("x", &"x".repeat(4000)));
        block.extend(vec![0x80 | 62; times]);
        block
    };
    let mut client = Client::connect(gateway.address()).await;
    for (stream, times, has_body) in [(1, 20, true), (3, 50, false)] {
        client
            .frame(kind::HEADERS, flag::END, stream, &bomb(times))
            .await;
        let answer = client.answer(stream).await;
        assert_eq!(answer.status, Some(431), "{times}");
        // What is not even read by the gateway is answered without a document.
        let document = String::from_utf8_lossy(&answer.body).contains("head-too-large");
        assert_eq!(document, has_body, "{times}");
    }
    client.get(5, "/").await;
    assert_eq!(client.answer(5).await.status, Some(200));
    client
        .frame(kind::HEADERS, flag::END, 7, &bomb(10_000))
        .await;
    assert_eq!(client.goaway().await, reason::ENHANCE_YOUR_CALM);
    assert_eq!(backend.requests().len(), 1);
    let kept = gateway.peak_memory().saturating_sub(before);
    assert!(kept < 4 * 1024, "{kept} KiB");
}

#[tokio::test]
async fn too_many_tiny_fields_are_431() {
    let backend = Backend::ok().await;
    let gateway = in_front_of(&backend).await;
    let mut client = Client::connect(gateway.address()).await;
    let mut fields = request_fields("GET", "/", &[]);
    fields.extend([("x", ""); 1500]);
    client.headers(1, flag::END, &fields).await;
    assert_eq!(client.answer(1).await.status, Some(431));
    assert_eq!(gateway.log(1).await[0]["error"], "head-too-large");
    assert_eq!(backend.connections(), 0);
}

#[tokio::test]
async fn windows_that_overflow_end_what_they_belong_to() {
    let (backend, gateway) = silent_backend().await;
    let mut client = Client::connect(gateway.address()).await;
    client.get(1, "/").await;
    client.get(3, "/").await;
    client.send(window_update(1, 0x7fff_ffff)).await;
    assert_eq!(
        client.answer(1).await.reset,
        Some(reason::FLOW_CONTROL_ERROR)
    );
    client.send(window_update(0, 0x7fff_ffff)).await;
    assert_eq!(client.goaway().await, reason::FLOW_CONTROL_ERROR);
    // Nobody waits for either any more, whether it was sent or not.
    backend.wait_for_ends(backend.connections()).await;
}

#[tokio::test]
async fn broken_rules_end_the_connection_with_the_reason() {
    let (_backend, gateway) = silent_backend().await;
    let get = |stream: u32| {
        let block = header_block(&request_fields("GET", "/", &[]));
        frame_bytes(kind::HEADERS, flag::END, stream, &block)
    };
    let frame = frame_bytes;
    for (name, bytes, expected) in [
        (
            "data on a stream that never was",
            frame(kind::DATA, 0, 1, b"x"),
            reason::PROTOCOL_ERROR,
        ),
        (
            "data on the connection",
            frame(kind::DATA, 0, 0, b"x"),
            reason::PROTOCOL_ERROR,
        ),
        ("a stream of the gateway's", get(2), reason::PROTOCOL_ERROR),
        (
            "a stream before one that was",
            [get(5), get(3)].concat(),
            reason::PROTOCOL_ERROR,
        ),
        (
            "a block for nobody",
            frame(kind::CONTINUATION, flag::END, 1, b"x"),
            reason::PROTOCOL_ERROR,
        ),
        (
            "a frame that is too large",
            frame(kind::DATA, 0, 1, &[0; 16_385]),
            reason::FRAME_SIZE_ERROR,
        ),
        (
            "an increment of 0",
            window_update(0, 0),
            reason::PROTOCOL_ERROR,
        ),
        (
            "a field from nowhere",
            frame(kind::HEADERS, flag::END, 1, &[0x80 | 100]),
            reason::COMPRESSION_ERROR,
        ),
        (
            "data after the end",
            [get(1), frame(kind::DATA, 0, 1, b"more")].concat(),
            reason::PROTOCOL_ERROR,
        ),
        (
            "a reset of what never was",
            frame(kind::RST_STREAM, 0, 1, &[0; 4]),
            reason::PROTOCOL_ERROR,
        ),
        (
            "a table larger than announced",
            frame(kind::HEADERS, flag::END, 1, &[0x3f, 0xff, 0xff, 0x7f]),
            reason::COMPRESSION_ERROR,
        ),
    ] {
        let mut client = Client::connect(gateway.address()).await;
        client.send(bytes).await;
        let reason = client.goaway().await;
        // `h2` calls errors of the compression errors of the protocol.
        let also = (expected == reason::COMPRESSION_ERROR).then_some(reason::PROTOCOL_ERROR);
        assert!(
            reason == expected || Some(reason) == also,
            "{name}: {reason}"
        );
    }
}

#[tokio::test]
async fn an_upload_that_nobody_reads_stops_at_its_window_and_stops_no_other() {
    let backend = Backend::scripted(|mut connection| async move {
        if connection.head().await.contains("/stuck") {
            std::future::pending::<()>().await;
        }
        connection.until("last").await;
        connection
            .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .await;
    })
    .await;
    let gateway = in_front_of(&backend).await;
    let mut client = Client::connect(gateway.address()).await;
    let before = gateway.peak_memory();
    let stuck = request_fields("POST", "/stuck", &[]);
    client.headers(1, flag::END_HEADERS, &stuck).await;
    // What the sockets on the way hold comes on top, and is the kernel's.
    let (mut window, mut sent) = (256 * 1024_i64, 0);
    let part = vec![b'x'; 16_000];
    loop {
        while window >= part.len() as i64 {
            client.frame(kind::DATA, 0, 1, &part).await;
            window -= part.len() as i64;
            sent += part.len();
        }
        let frame = client.reader.next();
        let Ok(frame) = tokio::time::timeout(std::time::Duration::from_secs(1), frame).await else {
            break;
        };
        let frame = frame.unwrap();
        if frame.kind == kind::SETTINGS && frame.flags == 0 {
            client.frame(kind::SETTINGS, flag::ACK, 0, &[]).await;
        }
        if frame.kind == kind::WINDOW_UPDATE && frame.stream == 1 {
            window += i64::from(frame.number(0));
        }
    }
    assert!(sent < 32 << 20, "{sent}");
    let kept = gateway.peak_memory().saturating_sub(before);
    assert!(kept < 4 * 1024, "{kept} KiB");
    let other = request_fields("POST", "/other", &[]);
    client.headers(3, flag::END_HEADERS, &other).await;
    client.frame(kind::DATA, 0, 3, &part).await;
    client.frame(kind::DATA, flag::END_STREAM, 3, b"last").await;
    assert_eq!(client.answer(3).await.status, Some(200));
}

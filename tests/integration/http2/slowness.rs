//! Clients that take their time.

use std::time::{Duration, Instant};

use testkit::http2::{Client, flag, frame_bytes, header_block, kind, reason, request_fields};
use testkit::{Backend, Gateway, within};
use tokio::time::sleep;

use crate::{everything_to, gateway, in_front_of};

/// More than fits into the buffers of the sockets on its way.
const LARGE: usize = 16 << 20;
const PART: &[u8] = &[b'x'; 64 * 1024];

/// Answers with a body of this length.
async fn generous(length: usize) -> Backend {
    Backend::scripted(move |mut connection| async move {
        while connection.request().await.is_some() {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            connection.send(head).await;
            for _ in 0..length / PART.len() {
                connection.send(PART).await;
            }
        }
    })
    .await
}

async fn with(backend: &Backend, limits: &[(&str, &str)]) -> Gateway {
    let mut builder = gateway().routes(&everything_to(&backend.url()));
    for (name, value) in limits {
        builder = builder.env(name, value);
    }
    builder.env("WORKERS", "1").start().await
}

#[tokio::test]
async fn a_preface_that_does_not_end_is_not_waited_for() {
    let backend = Backend::ok().await;
    let gateway = with(&backend, &[("HEAD_TIMEOUT", "0.3")]).await;
    let mut client = Client::silent(gateway.address()).await;
    let begun = Instant::now();
    client.send("PRI * HTTP/2.0\r\n\r\nSM").await;
    while within("the end", client.reader.next()).await.is_some() {}
    assert!(begun.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_head_must_be_there_in_time_however_it_trickles() {
    let backend = Backend::ok().await;
    let gateway = with(&backend, &[("HEAD_TIMEOUT", "0.5")]).await;
    let head = frame_bytes(
        kind::HEADERS,
        flag::END_STREAM,
        1,
        &header_block(&request_fields("GET", "/", &[])),
    );
    let field = header_block(&[("x", "1")]);
    let more = frame_bytes(kind::CONTINUATION, 0, 1, &field);
    let long = frame_bytes(kind::HEADERS, flag::END, 1, &[0; 10_000]);
    // The last: a few bytes of a frame that is announced to be long.
    for (begin, more) in [
        (head.clone(), vec![]),
        (head, more),
        (long[..12].to_vec(), vec![0]),
    ] {
        let Client {
            mut reader,
            mut writer,
        } = Client::connect(gateway.address()).await;
        let begun = Instant::now();
        writer.send(&begin).await.unwrap();
        let trickling = async {
            loop {
                sleep(Duration::from_millis(150)).await;
                if writer.send(&more).await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        let reason = tokio::select! {
            reason = reader.goaway() => reason,
            () = trickling => unreachable!(),
        };
        assert_eq!(reason, reason::ENHANCE_YOUR_CALM);
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(4), "{took:?}");
    }
    assert_eq!(backend.connections(), 0);
}

#[tokio::test]
async fn heads_that_follow_each_other_are_each_given_their_time() {
    let backend = Backend::ok().await;
    let gateway = with(&backend, &[("HEAD_TIMEOUT", "0.5")]).await;
    let mut client = Client::connect(gateway.address()).await;
    let block = header_block(&request_fields("GET", "/", &[]));
    let (first, last) = block.split_at(10);
    for stream in [1, 3, 5, 7] {
        client
            .frame(kind::HEADERS, flag::END_STREAM, stream, first)
            .await;
        sleep(Duration::from_millis(200)).await;
        let end = frame_bytes(kind::CONTINUATION, flag::END_HEADERS, stream, last);
        client.send(end).await;
        assert_eq!(client.answer(stream).await.status, Some(200));
    }
}

#[tokio::test]
async fn a_client_that_pings_and_asks_for_nothing_is_idle() {
    let backend = Backend::ok().await;
    let gateway = with(&backend, &[("KEEP_ALIVE_TIMEOUT", "0.5")]).await;
    let Client {
        mut reader,
        mut writer,
    } = Client::connect(gateway.address()).await;
    let pinging = async {
        let ping = frame_bytes(kind::PING, 0, 0, b"alive...");
        loop {
            sleep(Duration::from_millis(100)).await;
            let _ = writer.send(&ping).await;
        }
    };
    // It never acknowledges the ping by which the gateway makes sure that no request is on its way.
    let reason = tokio::select! {
        reason = reader.goaway() => reason,
        () = pinging => unreachable!(),
    };
    assert_eq!(reason, reason::NO_ERROR);
}

#[tokio::test]
async fn an_answer_that_the_client_gives_no_room_for_is_given_up() {
    let backend = generous(LARGE).await;
    let gateway = with(&backend, &[("RESPONSE_BODY_IDLE_TIMEOUT", "0.5")]).await;
    let mut client = Client::with_settings(gateway.address(), &[(4, 0)]).await;
    let before = gateway.peak_memory();
    for number in 0..50 {
        client.get(2 * number + 1, "/").await;
    }
    // Answers are given up one after the other; the last is as good as any.
    let answer = client.answer(99).await;
    assert_eq!(
        (answer.status, answer.body.len(), answer.reset),
        (Some(200), 0, Some(reason::CANCEL))
    );
    backend.wait_for_ends(50).await;
    let lines = gateway.log(50).await;
    assert!(lines.iter().all(|line| line["error"] == "client-gone"));
    let kept = gateway.peak_memory().saturating_sub(before);
    assert!(kept < 24 * 1024, "{kept} KiB");
}

#[tokio::test]
async fn a_client_with_wide_windows_that_does_not_read_is_given_up_and_costs_little() {
    let backend = generous(LARGE).await;
    let gateway = with(&backend, &[("RESPONSE_BODY_IDLE_TIMEOUT", "1")]).await;
    let before = gateway.peak_memory();
    let mut client = Client::with_settings(gateway.address(), &[(4, 0x7fff_ffff)]).await;
    let wider = 0x7fff_0000_u32.to_be_bytes();
    client.frame(kind::WINDOW_UPDATE, 0, 0, &wider).await;
    for number in 0..100 {
        client.get(2 * number + 1, "/").await;
    }
    let mut other = Client::connect(gateway.address()).await;
    let wide = (1_u32 << 30).to_be_bytes();
    other.frame(kind::WINDOW_UPDATE, 0, 0, &wide).await;
    other.get(1, "/").await;
    other.frame(kind::WINDOW_UPDATE, 0, 1, &wide).await;
    assert_eq!(other.answer(1).await.body.len(), LARGE);
    let lines = gateway.log(101).await;
    let whole = |line: &&serde_json::Value| line["error"] != "client-gone";
    let whole = Vec::from_iter(lines.iter().filter(whole));
    assert_eq!(whole.len(), 1, "{whole:?}");
    let kept = gateway.peak_memory().saturating_sub(before);
    assert!(kept < 32 * 1024, "{kept} KiB");
}

#[tokio::test]
async fn a_client_that_reads_slowly_gets_all_of_it() {
    const LENGTH: usize = 2 << 20;
    let backend = generous(LENGTH).await;
    let gateway = with(&backend, &[("RESPONSE_BODY_IDLE_TIMEOUT", "1")]).await;
    let mut client = Client::connect(gateway.address()).await;
    client.get(1, "/").await;
    let mut got = 0;
    while got < LENGTH {
        let frame = client.next().await.unwrap();
        if frame.kind != kind::DATA {
            continue;
        }
        got += frame.payload.len();
        if got % 65_535 == 0 || got == LENGTH {
            sleep(Duration::from_millis(30)).await;
            let more = 65_535_u32.to_be_bytes();
            for stream in [0, 1] {
                client.frame(kind::WINDOW_UPDATE, 0, stream, &more).await;
            }
        }
    }
    assert!(gateway.log(1).await[0]["error"].is_null());
}

#[tokio::test]
async fn a_client_that_widens_its_windows_bit_by_bit_is_no_nuisance() {
    let backend = generous(LARGE).await;
    let gateway = with(&backend, &[]).await;
    let mut client = Client::connect(gateway.address()).await;
    client.get(1, "/").await;
    let mut got = 0;
    while got < LARGE {
        let frame = client.next().await.unwrap();
        assert_ne!(frame.kind, kind::GOAWAY, "{frame:?} after {got} bytes");
        if frame.kind != kind::DATA {
            continue;
        }
        let mut updates = Vec::new();
        for part in frame.payload.chunks(1024) {
            let more = u32::try_from(part.len()).unwrap().to_be_bytes();
            for stream in [0, 1] {
                updates.extend(frame_bytes(kind::WINDOW_UPDATE, 0, stream, &more));
            }
        }
        client.send(updates).await;
        got += frame.payload.len();
    }
}

#[tokio::test]
async fn a_body_that_is_cut_off_is_never_taken_for_the_whole() {
    let backend = Backend::silent().await;
    let gateway = in_front_of(&backend).await;
    for (number, reason) in [reason::NO_ERROR, reason::CANCEL].into_iter().enumerate() {
        let mut client = Client::connect(gateway.address()).await;
        let fields = request_fields("POST", "/", &[]);
        client.headers(1, flag::END_HEADERS, &fields).await;
        client.frame(kind::DATA, 0, 1, b"only half").await;
        backend.wait_for_connections(number + 1).await;
        client
            .frame(kind::RST_STREAM, 0, 1, &reason.to_be_bytes())
            .await;
        backend.wait_for_ends(number + 1).await;
        // The chunked body has no end: no backend takes it for all.
        assert!(backend.requests().iter().all(|request| request.cut));
    }
}

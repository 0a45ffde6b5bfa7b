//! Clients that keep the gateway busy with frames that cost them nothing.

use testkit::http2::{
    Client, flag, frame_bytes, header_block, kind, reason, request_fields, settings_payload,
};
use testkit::{Backend, Gateway, within};

use crate::{everything_to, gateway};

/// No flood may make the gateway keep more than this, KiB.
const MOST_KEPT: u64 = 12 * 1024;
/// More frames than any flood is let get away with.
const ENDLESS: u32 = 200_000;

/// A gateway with one thread, so that whoever is flooded is whoever serves the others.
async fn with_one_worker(backend: &Backend) -> Gateway {
    gateway()
        .routes(&everything_to(&backend.url()))
        .env("WORKERS", "1")
        .start()
        .await
}

/// Sends frames without an end, the first ones and then those with a number, and says why the gateway ends the connection.
/// Others are served meanwhile and after it.
async fn flood(gateway: &Gateway, first: Vec<u8>, frames: impl Fn(u32) -> Vec<u8>) -> u32 {
    let mut bystander = Client::connect(gateway.address()).await;
    let before = gateway.peak_memory();
    let Client {
        mut reader,
        mut writer,
    } = Client::connect(gateway.address()).await;
    let flooding = async {
        if writer.send(&first).await.is_err() {
            return;
        }
        for number in (0..ENDLESS).step_by(50) {
            let some: Vec<u8> = (number..number + 50).flat_map(&frames).collect();
            if writer.send(&some).await.is_err() {
                return;
            }
        }
    };
    let standing_by = async {
        for number in 0..20 {
            bystander.get(2 * number + 1, "/ok").await;
            assert_eq!(bystander.answer(2 * number + 1).await.status, Some(200));
        }
    };
    let ((), (), reason) = tokio::join!(flooding, standing_by, reader.goaway());
    bystander.get(101, "/ok").await;
    assert_eq!(bystander.answer(101).await.status, Some(200));
    let kept = gateway.peak_memory().saturating_sub(before);
    assert!(kept < MOST_KEPT, "{kept} KiB");
    reason
}

/// Answers `/ok`, and nothing else.
async fn choosy() -> Backend {
    Backend::scripted(|mut connection| async move {
        while let Some(request) = connection.request().await {
            if request.target() != "/ok" {
                connection.ended().await;
                return;
            }
            connection
                .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                .await;
        }
    })
    .await
}

fn get(stream: u32, path: &str, flags: u8) -> Vec<u8> {
    let block = header_block(&request_fields("GET", path, &[]));
    frame_bytes(kind::HEADERS, flags, stream, &block)
}

fn reset(stream: u32) -> Vec<u8> {
    let cancel = reason::CANCEL.to_be_bytes();
    frame_bytes(kind::RST_STREAM, 0, stream, &cancel)
}

fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    frame_bytes(kind::WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
}

fn asked_for(backend: &Backend, target: &str) -> usize {
    let requests = backend.requests();
    requests.iter().filter(|it| it.target() == target).count()
}

#[tokio::test]
async fn streams_that_are_reset_as_soon_as_they_are_opened_end_the_connection() {
    let backend = choosy().await;
    let gateway = with_one_worker(&backend).await;
    let reason = flood(&gateway, Vec::new(), |number| {
        let stream = 2 * number + 1;
        [get(stream, "/slow", flag::END), reset(stream)].concat()
    })
    .await;
    assert_eq!(reason, reason::ENHANCE_YOUR_CALM);
    let asked = asked_for(&backend, "/slow");
    assert!(asked < 300, "{asked}");
}

#[tokio::test]
async fn streams_that_are_reset_once_the_backend_works_on_them_end_the_connection() {
    let backend = choosy().await;
    let gateway = with_one_worker(&backend).await;
    let mut client = Client::connect(gateway.address()).await;
    let mut asked = 0;
    for number in 0..1000 {
        let stream = 2 * number + 1;
        client.send(get(stream, "/slow", flag::END)).await;
        // Whatever was sent before it has been read once this is answered.
        client.frame(kind::PING, 0, 0, b"go on...").await;
        let answered = within("a ping", async {
            while let Some(frame) = client.reader.next().await {
                if frame.kind == kind::GOAWAY {
                    assert_eq!(frame.number(4), reason::ENHANCE_YOUR_CALM);
                    return false;
                }
                if frame.payload == b"go on..." {
                    return true;
                }
            }
            panic!("closed without a GOAWAY");
        });
        if !answered.await {
            asked = number;
            break;
        }
        client.send(reset(stream)).await;
    }
    assert!((200..400).contains(&asked), "{asked}");
    let asked = asked_for(&backend, "/slow");
    assert!(asked < 400, "{asked}");
    backend.wait_for_ends(asked).await;
}

#[tokio::test]
async fn who_cancels_much_and_waits_for_as_much_is_served_on() {
    let backend = choosy().await;
    let gateway = with_one_worker(&backend).await;
    let mut client = Client::connect(gateway.address()).await;
    for number in 0..600 {
        let stream = 4 * number + 1;
        client.send(get(stream, "/slow", flag::END)).await;
        client.get(stream + 2, "/ok").await;
        client.send(reset(stream)).await;
        assert_eq!(client.answer(stream + 2).await.status, Some(200));
    }
}

#[tokio::test]
async fn streams_that_the_client_has_the_gateway_reset_end_the_connection() {
    let backend = choosy().await;
    let gateway = with_one_worker(&backend).await;
    let itself = |stream: u32| {
        let on_itself = [&stream.to_be_bytes()[..], &[0]].concat();
        frame_bytes(kind::PRIORITY, 0, stream, &on_itself)
    };
    type Fault<'a> = (&'a str, u8, Box<dyn Fn(u32) -> Vec<u8> + 'a>);
    let faults: [Fault<'_>; 3] = [
        (
            "a window that overflows",
            flag::END,
            Box::new(|it| window_update(it, 0x7fff_ffff)),
        ),
        (
            "a second head within the body",
            flag::END_HEADERS,
            Box::new(|it| get(it, "/slow", flag::END_HEADERS)),
        ),
        ("dependence on itself", flag::END, Box::new(itself)),
    ];
    for (fault, flags, bytes) in faults {
        let reason = flood(&gateway, Vec::new(), |number| {
            let stream = 2 * number + 1;
            [get(stream, "/slow", flags), bytes(stream)].concat()
        })
        .await;
        assert_eq!(reason, reason::ENHANCE_YOUR_CALM, "{fault}");
    }
    let asked = asked_for(&backend, "/slow");
    assert!(asked < 3 * 300, "{asked}");
}

#[tokio::test]
async fn heads_that_never_end_end_the_connection() {
    let backend = Backend::ok().await;
    let gateway = with_one_worker(&backend).await;
    let begun = || get(1, "/", flag::END_STREAM);
    let field = header_block(&[("x-field", "some value that takes up some room")]);
    let long = header_block(&[("x-field", &"x".repeat(16_000))]);
    for (name, block) in [("empty", vec![]), ("small", field), ("large", long)] {
        let more = frame_bytes(kind::CONTINUATION, 0, 1, &block);
        let reason = flood(&gateway, begun(), |_| more.clone()).await;
        assert_eq!(reason, reason::ENHANCE_YOUR_CALM, "{name}");
    }
    // A single value that goes on and on.
    let mut endless = begun();
    endless.extend(frame_bytes(
        kind::CONTINUATION,
        0,
        1,
        &[0, 1, b'x', 0x7f, 0xff, 0xff, 0xff, 0x7f],
    ));
    let part = frame_bytes(kind::CONTINUATION, 0, 1, &[b'x'; 16_000]);
    let reason = flood(&gateway, endless, |_| part.clone()).await;
    assert!(
        [reason::ENHANCE_YOUR_CALM, reason::COMPRESSION_ERROR].contains(&reason),
        "{reason}"
    );
    assert_eq!(asked_for(&backend, "/"), 0);
}

#[tokio::test]
async fn frames_that_ask_for_nothing_end_the_connection() {
    let backend = Backend::ok().await;
    let gateway = with_one_worker(&backend).await;
    let settings = settings_payload(&[(4, 65_535), (1, 4096), (4, 1), (1, 0)]);
    let open = || get(1, "/", flag::END_HEADERS);
    for (name, first, frame) in [
        (
            "SETTINGS",
            vec![],
            frame_bytes(kind::SETTINGS, 0, 0, &settings),
        ),
        (
            "no settings",
            vec![],
            frame_bytes(kind::SETTINGS, 0, 0, &[]),
        ),
        ("PING", vec![], frame_bytes(kind::PING, 0, 0, b"and now?")),
        (
            "PING ACK",
            vec![],
            frame_bytes(kind::PING, flag::ACK, 0, b"unasked!"),
        ),
        (
            "PRIORITY",
            vec![],
            frame_bytes(kind::PRIORITY, 0, 1, &[0, 0, 0, 3, 7]),
        ),
        ("WINDOW_UPDATE", vec![], window_update(0, 1)),
        (
            "an unknown frame",
            vec![],
            frame_bytes(0xbe, 0, 0, b"grease"),
        ),
        ("empty DATA", open(), frame_bytes(kind::DATA, 0, 1, &[])),
        (
            "nothing but padding",
            open(),
            frame_bytes(kind::DATA, 8, 1, &[&[200][..], &[0; 200]].concat()),
        ),
    ] {
        let reason = flood(&gateway, first, |_| frame.clone()).await;
        assert_eq!(reason, reason::ENHANCE_YOUR_CALM, "{name}");
    }
}

#[tokio::test]
async fn heads_without_a_request_end_the_connection() {
    let backend = Backend::ok().await;
    let gateway = with_one_worker(&backend).await;
    for block in [vec![], header_block(&[("x-field", "1")])] {
        let reason = flood(&gateway, vec![], |number| {
            frame_bytes(kind::HEADERS, flag::END, 2 * number + 1, &block)
        })
        .await;
        assert_eq!(reason, reason::ENHANCE_YOUR_CALM);
    }
    assert_eq!(asked_for(&backend, "/"), 0);
}

#[tokio::test]
async fn a_body_in_tiny_parts_that_nobody_reads_ends_the_connection() {
    let backend = choosy().await;
    let gateway = with_one_worker(&backend).await;
    let block = header_block(&request_fields("POST", "/slow", &[]));
    let open = frame_bytes(kind::HEADERS, flag::END_HEADERS, 1, &block);
    let reason = flood(&gateway, open, |_| frame_bytes(kind::DATA, 0, 1, b"x")).await;
    assert!(
        [reason::ENHANCE_YOUR_CALM, reason::FLOW_CONTROL_ERROR].contains(&reason),
        "{reason}"
    );
}

#[tokio::test]
async fn what_is_owed_to_a_client_that_does_not_read_is_bounded_and_its_connection_closed() {
    let backend = Backend::ok().await;
    let gateway = with_one_worker(&backend).await;
    let before = gateway.peak_memory();
    for frame in [
        frame_bytes(kind::PING, 0, 0, b"and now?"),
        frame_bytes(kind::SETTINGS, 0, 0, &[]),
        // Each of them is answered with a reset.
        frame_bytes(kind::PRIORITY, 0, 1, &[0, 0, 0, 1, 7]),
    ] {
        let mut client = Client::connect(gateway.address()).await;
        let frames = frame.repeat(1000);
        let closed = async { while client.writer.send(&frames).await.is_ok() {} };
        within("the end", closed).await;
        let kept = gateway.peak_memory().saturating_sub(before);
        assert!(kept < MOST_KEPT, "{kept} KiB");
    }
    let mut other = Client::connect(gateway.address()).await;
    other.get(1, "/").await;
    assert_eq!(other.answer(1).await.status, Some(200));
}

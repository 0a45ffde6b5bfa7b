//! Bodies as they come, in bounded memory.

use std::time::Duration;

use testkit::{Backend, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{everything_to, gateway, in_front_of};

const GIBIBYTE: usize = 1024 * 1024 * 1024;
/// In KiB.
const FLAT: u64 = 64 * 1024;

#[tokio::test]
async fn a_gibibyte_down_is_streamed_in_flat_memory() {
    let backend = Backend::scripted(|mut connection| async move {
        connection.head().await;
        connection
            .send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {GIBIBYTE}\r\n\r\n"
            ))
            .await;
        let block = vec![b'x'; 1024 * 1024];
        for _ in 0..GIBIBYTE / block.len() {
            connection.send(&block).await;
        }
        connection.ended().await;
    })
    .await;
    let gateway = in_front_of(&backend).await;
    let mut client = gateway.client().await;
    client.request("GET", "/", &[]).await;
    client.until("\r\n\r\n").await;
    let mut received = client.bytes().await.len();
    let (mut stream, mut block) = (client.into_stream(), vec![0; 1024 * 1024]);
    within("a gibibyte", async {
        while received < GIBIBYTE {
            let read = stream.read(&mut block).await.unwrap();
            assert!(read > 0, "ended after {received}");
            received += read;
        }
    })
    .await;
    assert_eq!(received, GIBIBYTE);
    assert!(
        gateway.peak_memory() < FLAT,
        "{} KiB",
        gateway.peak_memory()
    );
}

#[tokio::test]
async fn a_gibibyte_up_is_streamed_in_flat_memory() {
    let backend = Backend::scripted(|mut connection| async move {
        let head = connection.head().await.to_ascii_lowercase();
        assert!(
            head.contains(&format!("content-length: {GIBIBYTE}")),
            "{head}"
        );
        // What came with the head counts, too.
        let (mut received, mut block) = (connection.buffered().len(), vec![0; 1024 * 1024]);
        while received < GIBIBYTE {
            match connection.stream.read(&mut block).await {
                Ok(read @ 1..) => received += read,
                _ => return,
            }
        }
        connection
            .send(format!(
                "HTTP/1.1 200 OK\r\nX-Received: {received}\r\nContent-Length: 0\r\n\r\n"
            ))
            .await;
        connection.ended().await;
    })
    .await;
    let gateway = gateway()
        .routes(&everything_to(&backend.url()))
        .env("MAX_REQUEST_BODY_SIZE", "off")
        .start()
        .await;
    let mut client = gateway.client().await;
    client
        .request("PUT", "/", &[&format!("Content-Length: {GIBIBYTE}")])
        .await;
    let mut stream = client.into_stream();
    let block = vec![b'x'; 1024 * 1024];
    let mut answer = Vec::new();
    within("a gibibyte", async {
        for _ in 0..GIBIBYTE / block.len() {
            stream.write_all(&block).await.unwrap();
        }
        while !answer.ends_with(b"\r\n\r\n") {
            assert!(stream.read_buf(&mut answer).await.unwrap() > 0);
        }
    })
    .await;
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(
        gateway.peak_memory() < FLAT,
        "{} KiB",
        gateway.peak_memory()
    );
}

#[tokio::test]
async fn a_slow_reader_slows_the_backend_down() {
    let (report, mut reported) = tokio::sync::mpsc::unbounded_channel();
    let backend = Backend::scripted(move |mut connection| {
        let report = report.clone();
        async move {
            connection.head().await;
            connection
                .send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
                .await;
            let (block, mut taken) = (vec![b'x'; 64 * 1024], 0_usize);
            // Until nothing is taken for a while.
            while let Ok(Ok(())) = tokio::time::timeout(
                Duration::from_millis(500),
                connection.stream.write_all(&block),
            )
            .await
            {
                taken += block.len();
            }
            report.send(taken).unwrap();
            connection.ended().await;
        }
    })
    .await;
    let gateway = in_front_of(&backend).await;
    let mut client = gateway.client().await;
    client.request("GET", "/", &[]).await;
    let taken = within("the backend to be slowed down", reported.recv())
        .await
        .unwrap();
    // The kernel's buffers on two connections hold some MiB; the gateway adds next to nothing.
    assert!(taken < 40_000_000, "{taken}");
    assert!(gateway.peak_memory() < FLAT);
}

/// A backend that sends three events, each when it is told to.
pub(crate) async fn events() -> (Backend, tokio::sync::mpsc::Sender<()>) {
    let (next, wait) = tokio::sync::mpsc::channel::<()>(1);
    let wait = std::sync::Arc::new(tokio::sync::Mutex::new(wait));
    let backend = Backend::scripted(move |mut connection| {
        let wait = std::sync::Arc::clone(&wait);
        async move {
            connection.head().await;
            connection
                .send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
                .await;
            for event in 1..=3 {
                wait.lock().await.recv().await;
                connection.send(format!("data: {event}\n\n")).await;
            }
        }
    })
    .await;
    (backend, next)
}

#[tokio::test]
async fn events_arrive_one_by_one() {
    let (backend, next) = events().await;
    let gateway = in_front_of(&backend).await;
    let mut client = gateway.client().await;
    client.request("GET", "/events", &[]).await;
    assert!(client.until("\r\n\r\n").await.contains("text/event-stream"));
    for event in 1..=3 {
        // The next event is made only when the one before has arrived.
        next.send(()).await.unwrap();
        client.until(&format!("data: {event}\n\n")).await;
    }
    client.until("0\r\n\r\n").await;
}

#[tokio::test]
async fn an_upload_arrives_before_it_is_over() {
    let backend = Backend::scripted(|mut connection| async move {
        connection.until("first").await;
        connection
            .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
            .await;
        connection.until("second").await;
        connection.send("6\r\nsecond\r\n0\r\n\r\n").await;
        connection.ended().await;
    })
    .await;
    let gateway = in_front_of(&backend).await;
    let mut client = gateway.client().await;
    client
        .request("POST", "/", &["Transfer-Encoding: chunked"])
        .await;
    client.send("5\r\nfirst\r\n").await;
    client.until("first").await;
    client.send("6\r\nsecond\r\n0\r\n\r\n").await;
    client.until("second").await;
    client.until("0\r\n\r\n").await;
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_upload_arrives() {
    let backend = Backend::scripted(|mut connection| async move {
        connection.head().await;
        connection
            .send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
            .await;
    })
    .await;
    let gateway = in_front_of(&backend).await;
    let mut client = gateway.client().await;
    client
        .request("POST", "/", &["Content-Length: 10000000"])
        .await;
    let answer = client.response().await;
    assert_eq!(
        (
            answer.status(),
            answer.text().as_str(),
            answer.field("connection")
        ),
        (403, "no", Some("close"))
    );
}

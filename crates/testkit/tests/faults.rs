//! Each fault does on the wire what it says, as seen by a raw client.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use testkit::faults::{
    Behaviour, Command, Executions, Fault, FaultyBackend, Health, Hint, Latency, NodeServer,
};
use testkit::{Client, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const MILLISECOND: Duration = Duration::from_millis(1);

async fn behaving(behaviour: impl Into<Behaviour>) -> FaultyBackend {
    let mut backend = FaultyBackend::start().await;
    backend.behave(behaviour).await;
    backend
}

async fn client(backend: &FaultyBackend) -> Client {
    Client::connect(backend.address()).await
}

/// What a new connection gets for a request, up to its end; or the error at its end.
async fn exchange(backend: &FaultyBackend) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(backend.address()).await?;
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await?;
    let mut answer = Vec::new();
    within("the end", stream.read_to_end(&mut answer)).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

async fn status_of(backend: &FaultyBackend, target: &str) -> u16 {
    client(backend).await.get(target).await.status()
}

#[tokio::test]
async fn a_healthy_backend_answers_one_request_after_the_other() {
    let backend = FaultyBackend::start().await;
    let mut client = client(&backend).await;
    for _ in 0..3 {
        let answer = client.get("/").await;
        assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"));
        let port = backend.address().port().to_string();
        assert_eq!(answer.field("x-backend"), Some(&*port));
    }
    client.request("HEAD", "/", &[]).await;
    assert_eq!(client.response_to_head().await.status(), 200);
    assert_eq!(backend.executions().total(), 4);
}

#[tokio::test]
async fn an_answer_takes_its_latency_and_tenfold_when_slow() {
    let mut backend = FaultyBackend::start().await;
    backend.latency(Latency::Fixed(20 * MILLISECOND)).await;
    let timed = async |backend: &FaultyBackend| {
        let mut client = client(backend).await;
        let begun = Instant::now();
        assert_eq!(client.get("/").await.status(), 200);
        begun.elapsed()
    };
    assert!(timed(&backend).await >= 20 * MILLISECOND);
    backend.behave(Fault::Slow(10.0)).await;
    assert!(timed(&backend).await >= 200 * MILLISECOND);
    let uniform = Latency::Uniform(40 * MILLISECOND, 60 * MILLISECOND);
    backend.latency(uniform).await;
    backend.behave(Fault::Nothing).await;
    assert!(timed(&backend).await >= 40 * MILLISECOND);
}

#[tokio::test]
async fn a_refusing_backend_closes_its_connections_and_comes_back_on_its_port() {
    let mut backend = FaultyBackend::start().await;
    let mut kept = client(&backend).await;
    assert_eq!(kept.get("/").await.status(), 200);
    for _ in 0..3 {
        backend.behave(Fault::Refuse).await;
        let error = TcpStream::connect(backend.address()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        backend.behave(Fault::Nothing).await;
        assert_eq!(status_of(&backend, "/").await, 200);
    }
    assert_eq!(kept.rest().await, b"");
}

#[tokio::test]
async fn a_reset_is_a_reset_and_executes_only_what_it_has_read() {
    for (fault, executed) in [(Fault::ResetOnAccept, 0), (Fault::ResetAfterRequest, 1)] {
        let backend = behaving(fault).await;
        let error = exchange(&backend).await.unwrap_err();
        let kinds = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
        assert!(kinds.contains(&error.kind()), "{fault}: {error}");
        assert_eq!(backend.executions().total(), executed, "{fault}");
    }
}

#[tokio::test]
async fn a_stall_begins_where_it_says() {
    for (fault, before) in [
        (Fault::StallBeforeHead, ""),
        (Fault::StallInHead, "Content-Le"),
        (Fault::StallInBody, "\r\n\r\nhalf"),
    ] {
        let backend = behaving(fault).await;
        let mut client = client(&backend).await;
        client.request("GET", "/", &[]).await;
        let got = client.until(before).await;
        assert!(got.ends_with(before), "{fault}: {got:?}");
        assert!(client.is_silent_for(100 * MILLISECOND).await, "{fault}");
    }
}

#[tokio::test]
async fn garbage_is_no_http() {
    let backend = behaving(Fault::Garbage).await;
    let answer = exchange(&backend).await.unwrap();
    assert!(answer.contains("garbage") && !answer.contains("HTTP"));
}

#[tokio::test]
async fn a_length_can_be_a_lie_in_both_directions() {
    let backend = behaving(Fault::LengthTooLarge).await;
    let answer = client(&backend).await.get("/").await;
    assert!(answer.cut);
    assert_eq!(answer.field("content-length"), Some("8"));
    let backend = behaving(Fault::LengthTooSmall).await;
    let mut client = client(&backend).await;
    assert_eq!(client.get("/").await.text(), "ok");
    // Nobody has asked for this.
    assert_eq!(client.response().await.text(), "poison");
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_time() {
    let backend = behaving(Fault::IdleClose(500 * MILLISECOND)).await;
    let mut client = client(&backend).await;
    for _ in 0..3 {
        assert!(client.is_silent_for(100 * MILLISECOND).await, "not yet");
        assert_eq!(client.get("/").await.status(), 200);
    }
    let answered = Instant::now();
    assert_eq!(client.rest().await, b"");
    assert!(answered.elapsed() >= 490 * MILLISECOND);
}

#[tokio::test]
async fn a_connection_is_closed_behind_an_answer_that_does_not_say_so() {
    let backend = behaving(Fault::CloseAfterAnswer).await;
    let mut client = client(&backend).await;
    let answer = client.get("/").await;
    assert_eq!((answer.status(), answer.field("connection")), (200, None));
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn a_status_comes_with_its_probability() {
    let mut backend = behaving(Fault::Status(503, 1.0)).await;
    assert_eq!(status_of(&backend, "/").await, 503);
    assert_eq!(status_of(&backend, "/health").await, 503);
    backend.behave(Fault::Status(500, 0.5)).await;
    let mut client = client(&backend).await;
    let mut failed = 0;
    for _ in 0..200 {
        failed += usize::from(client.get("/").await.status() == 500);
    }
    // 5.6 standard deviations: wrong once in 50 million runs.
    assert!((60..=140).contains(&failed), "{failed}");
}

#[tokio::test]
async fn a_flap_goes_to_and_fro() {
    let period = 150 * MILLISECOND;
    let backend = behaving(Behaviour::Flap(period, Fault::Refuse, Fault::Nothing)).await;
    within("two rounds", async {
        for _ in 0..2 {
            while TcpStream::connect(backend.address()).await.is_ok() {
                tokio::time::sleep(5 * MILLISECOND).await;
            }
            while TcpStream::connect(backend.address()).await.is_err() {
                tokio::time::sleep(5 * MILLISECOND).await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn health_is_what_it_is_or_what_it_is_told_and_executes_nothing() {
    let mut backend = FaultyBackend::start().await;
    assert_eq!(status_of(&backend, "/health").await, 200);
    backend.health(Health::Down).await;
    assert_eq!(status_of(&backend, "/health").await, 503);
    assert_eq!(status_of(&backend, "/").await, 200);
    backend.behave(Fault::StallBeforeHead).await;
    backend.health(Health::Up).await;
    assert_eq!(status_of(&backend, "/health").await, 200);
    assert_eq!(backend.executions().total(), 1);
}

#[tokio::test]
async fn what_was_executed_twice_is_found_on_one_backend_and_on_two() {
    let (first, second) = (FaultyBackend::start().await, FaultyBackend::start().await);
    let send = async |backend: &FaultyBackend, id: u64| {
        let field = format!("X-Request-Number: {id}");
        let mut client = client(backend).await;
        client.request("DELETE", "/", &[&field]).await;
        assert_eq!(client.response().await.status(), 200);
    };
    for (backend, id) in [
        (&first, 1),
        (&first, 2),
        (&first, 2),
        (&second, 3),
        (&second, 1),
    ] {
        send(backend, id).await;
    }
    assert_eq!(first.executions().twice(), [2]);
    assert_eq!(second.executions().twice(), [0; 0]);
    let all = Executions::of_all([first.executions(), second.executions()]);
    assert_eq!((all.total(), all.twice()), (5, vec![1, 2]));
    assert_eq!((all.of(1), all.of(3), all.of(4)), (2, 1, 0));
}

#[tokio::test]
async fn draining_finishes_what_is_in_flight_and_says_that_connections_end() {
    let mut backend = FaultyBackend::start().await;
    backend.latency(Latency::Fixed(400 * MILLISECOND)).await;
    let (mut busy, mut idle) = (client(&backend).await, client(&backend).await);
    assert_eq!(idle.get("/").await.field("connection"), None);
    busy.request("GET", "/", &[]).await;
    within("the request", async {
        while backend.executions().total() < 2 {
            tokio::time::sleep(MILLISECOND).await;
        }
    })
    .await;
    let address = backend.address();
    let ended = async { (backend.drain().await.success(), backend) };
    let seen = async {
        let answer = busy.response().await;
        assert_eq!(
            (answer.status(), answer.field("connection")),
            (200, Some("close"))
        );
        assert_eq!(busy.rest().await, b"");
        assert_eq!(idle.rest().await, b"");
        let error = TcpStream::connect(address).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    };
    let ((success, mut backend), ()) = tokio::join!(ended, seen);
    assert!(success);
    // And back where it was, for a rolling restart.
    backend.restart().await;
    assert_eq!(status_of(&backend, "/").await, 200);
}

#[tokio::test]
async fn a_draining_backend_is_unhealthy_before_it_listens_no_more() {
    let mut backend = FaultyBackend::start().await;
    backend.tell(Command::Lead(800 * MILLISECOND)).await;
    let address = backend.address();
    let drained = tokio::spawn(async move { backend.drain().await });
    within("503", async {
        while Client::connect(address).await.get("/health").await.status() == 200 {}
    })
    .await;
    let answer = Client::connect(address).await.get("/").await;
    assert_eq!(
        (answer.status(), answer.field("connection")),
        (200, Some("close"))
    );
    assert!(drained.await.unwrap().success());
}

#[tokio::test]
async fn a_killed_backend_comes_back_as_it_was_told_and_its_executions_are_known() {
    let mut backend = behaving(Fault::Status(418, 1.0)).await;
    assert_eq!(status_of(&backend, "/").await, 418);
    backend.kill().await;
    assert_eq!(
        exchange(&backend).await.unwrap_err().kind(),
        ErrorKind::ConnectionRefused
    );
    assert_eq!(backend.executions().total(), 1);
    backend.restart().await;
    assert_eq!(status_of(&backend, "/").await, 418);
    assert_eq!(backend.executions().total(), 2);
}

#[tokio::test]
async fn a_frozen_backend_takes_connections_and_says_nothing() {
    let backend = FaultyBackend::start().await;
    backend.freeze().await;
    let mut client = client(&backend).await;
    client.request("GET", "/", &[]).await;
    assert!(client.is_silent_for(100 * MILLISECOND).await);
    backend.thaw().await;
    assert_eq!(client.response().await.status(), 200);
}

#[tokio::test]
async fn a_node_server_closes_idle_connections_and_tells_of_it_unless_it_is_not_to() {
    let seen = async |hint, told| {
        let node = NodeServer::start(1000 * MILLISECOND, hint).await;
        let mut client = Client::connect(node.address()).await;
        let fields = ["X-Request-Number: 7", "Content-Length: 0"];
        client.request("POST", "/", &fields).await;
        let answer = client.response().await;
        assert_eq!((answer.status(), answer.field("keep-alive")), (200, told));
        assert_eq!(node.executions().of(7), 1);
        let answered = Instant::now();
        assert_eq!(client.rest().await, b"");
        // Not the second longer that newer versions add.
        let idle = answered.elapsed();
        assert!(
            990 * MILLISECOND <= idle && idle < 1900 * MILLISECOND,
            "{idle:?}"
        );
    };
    tokio::join!(
        seen(Hint::Given, Some("timeout=1")),
        seen(Hint::Withheld, None)
    );
}

//! How the program ends, and why it may not start.

use std::time::{Duration, Instant};

use testkit::{Backend, Client};
use tokio::net::{TcpListener, TcpStream};

use crate::{everything_to, gateway, in_front_of};

/// Answers after a while.
pub(crate) async fn slow(milliseconds: u64) -> Backend {
    Backend::scripted(move |mut connection| async move {
        while connection.request().await.is_some() {
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            connection
                .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                .await;
        }
    })
    .await
}

#[tokio::test]
async fn what_is_in_flight_is_finished_and_nothing_new_is_taken() {
    for signal in ["TERM", "INT"] {
        let backend = slow(500).await;
        let mut gateway = in_front_of(&backend).await;
        let mut idle = gateway.client().await;
        idle.get("/").await;
        let mut busy = gateway.client().await;
        busy.request("GET", "/", &[]).await;
        backend.wait_for_requests(2).await;
        gateway.signal(signal).await;
        assert_eq!(
            idle.rest().await,
            b"",
            "idle connections are closed at once"
        );
        let answer = busy.response().await;
        assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"));
        assert_eq!(answer.field("connection"), Some("close"));
        assert!(TcpStream::connect(gateway.address()).await.is_err());
        drop(busy);
        assert_eq!(gateway.exit().await.code(), Some(0));
    }
}

#[tokio::test]
async fn a_signal_right_after_the_start_is_heard() {
    let backend = Backend::ok().await;
    for _ in 0..10 {
        let mut gateway = in_front_of(&backend).await;
        gateway.signal("TERM").await;
        assert_eq!(gateway.exit().await.code(), Some(0));
    }
}

#[tokio::test]
async fn an_upload_in_flight_is_finished() {
    let backend = Backend::ok().await;
    let mut gateway = in_front_of(&backend).await;
    let mut client = gateway.client().await;
    client.request("POST", "/", &["Content-Length: 5"]).await;
    backend.wait_for_connections(1).await;
    gateway.signal("TERM").await;
    assert!(client.is_silent_for(Duration::from_millis(200)).await);
    client.send("hello").await;
    assert_eq!(client.response().await.status(), 200);
    drop(client);
    assert_eq!(gateway.exit().await.code(), Some(0));
    assert_eq!(backend.last().text(), "hello");
}

#[tokio::test]
async fn what_takes_longer_than_the_shutdown_time_is_cut_off() {
    let backend = Backend::silent().await;
    let mut gateway = gateway()
        .routes(&everything_to(&backend.url()))
        .env("SHUTDOWN_TIMEOUT", "0.3")
        .start()
        .await;
    let mut client = gateway.client().await;
    client.request("GET", "/", &[]).await;
    backend.wait_for_requests(1).await;
    let start = Instant::now();
    gateway.signal("TERM").await;
    assert_eq!(gateway.exit().await.code(), Some(0));
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert_eq!(
        gateway.log(1).await[0]["error"],
        "client-gone",
        "the request has its line"
    );
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let backend = Backend::silent().await;
    let mut gateway = in_front_of(&backend).await;
    let mut client = gateway.client().await;
    client.request("GET", "/", &[]).await;
    backend.wait_for_requests(1).await;
    gateway.signal("TERM").await;
    assert!(
        client.is_silent_for(Duration::from_millis(200)).await,
        "the first one waits"
    );
    let start = Instant::now();
    gateway.signal("TERM").await;
    gateway.exit().await;
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn health_is_told_on_the_admin_listener() {
    let backend = Backend::silent().await;
    let mut gateway = in_front_of(&backend).await;
    let mut admin = Client::connect(gateway.admin()).await;
    assert_eq!(admin.get("/healthz").await.status(), 200);
    assert_eq!(admin.get("/readyz").await.status(), 200);
    assert_eq!(admin.get("/other").await.status(), 404);
    let mut client = gateway.client().await;
    client.request("GET", "/", &[]).await;
    backend.wait_for_requests(1).await;
    gateway.signal("TERM").await;
    assert!(client.is_silent_for(Duration::from_millis(100)).await);
    assert_eq!(admin.get("/readyz").await.status(), 503, "while draining");
    assert_eq!(admin.get("/healthz").await.status(), 200);
    gateway.signal("TERM").await;
    gateway.exit().await;
}

#[tokio::test]
async fn a_port_in_use_is_told_in_one_line() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let (status, _, error) = gateway().env("PORT", &port).finish().await;
    assert_eq!(status.code(), Some(1));
    let lines: Vec<&str> = error
        .lines()
        .filter(|line| !line.starts_with('{'))
        .collect();
    assert_eq!(lines.len(), 1, "{error}");
    assert!(
        lines[0].contains(&format!(
            "PORT: 127.0.0.1:{port} is in use by another program"
        )),
        "{error}"
    );
}

#[tokio::test]
async fn a_second_gateway_does_not_join_the_port_of_the_first() {
    let backend = Backend::ok().await;
    let first = gateway()
        .routes(&everything_to(&backend.url()))
        .env("WORKERS", "2")
        .start()
        .await;
    let port = first.address().port().to_string();
    let (status, _, error) = gateway()
        .env("PORT", &port)
        .env("WORKERS", "2")
        .finish()
        .await;
    assert_eq!(status.code(), Some(1));
    assert!(error.contains("is in use by another program"), "{error}");
    assert_eq!(first.client().await.get("/").await.status(), 200);
}

#[tokio::test]
async fn an_admin_port_in_use_is_told_by_its_own_name() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (status, _, error) = gateway()
        .env("ADMIN_ADDR", listener.local_addr().unwrap().to_string())
        .finish()
        .await;
    assert_eq!(status.code(), Some(1));
    assert!(error.contains("ADMIN_ADDR: "), "{error}");
}

#[tokio::test]
async fn too_few_file_descriptors_stop_the_start() {
    let (status, _, error) = gateway().env("MAX_CONNECTIONS", "9000000").finish().await;
    assert_eq!(status.code(), Some(1));
    assert!(
        error.contains("too few file descriptors") && error.contains("MAX_CONNECTIONS"),
        "{error}"
    );
}

#[tokio::test]
async fn several_workers_serve_one_port() {
    let backend = Backend::ok().await;
    let mut gateway = gateway()
        .routes(&everything_to(&backend.url()))
        .env("WORKERS", "4")
        .start()
        .await;
    for _ in 0..40 {
        assert_eq!(gateway.client().await.get("/").await.status(), 200);
    }
    assert!(
        backend.connections() > 1,
        "each worker has connections of its own"
    );
    gateway.signal("TERM").await;
    assert_eq!(gateway.exit().await.code(), Some(0));
    assert_eq!(
        gateway.log(40).await.len(),
        40,
        "no line is lost at the end"
    );
}

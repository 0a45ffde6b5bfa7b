//! HTTP/2 clients that know beforehand what they talk to.

mod draining;
mod floods;
mod limits;
mod slowness;
mod translation;
pub(crate) mod websocket;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::header::COOKIE;
use http::{HeaderMap, Request, Response};
use testkit::{Backend, Gateway, within};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::{everything_to, gateway, in_front_of};

/// A connection, and the task that drives it.
pub(crate) async fn connect(
    gateway: &Gateway,
) -> (SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>) {
    let stream = TcpStream::connect(gateway.address()).await.unwrap();
    let (sender, connection) = within("the handshake", h2::client::handshake(stream))
        .await
        .unwrap();
    (
        within("the settings", sender.ready()).await.unwrap(),
        tokio::spawn(connection),
    )
}

pub(crate) fn request(method: &str, path: &str) -> Request<()> {
    Request::builder()
        .method(method)
        .uri(format!("http://gateway.test{path}"))
        .body(())
        .unwrap()
}

pub(crate) fn send(
    sender: &mut SendRequest<Bytes>,
    request: Request<()>,
    end: bool,
) -> (ResponseFuture, SendStream<Bytes>) {
    sender.send_request(request, end).unwrap()
}

pub(crate) async fn read(response: ResponseFuture) -> (Response<()>, Vec<u8>, Option<HeaderMap>) {
    let (head, mut body): (_, RecvStream) =
        within("a response", response).await.unwrap().into_parts();
    let mut bytes = Vec::new();
    while let Some(data) = within("data", body.data()).await {
        let data = data.unwrap();
        bytes.extend_from_slice(&data);
        body.flow_control().release_capacity(data.len()).unwrap();
    }
    let trailers = within("trailers", body.trailers()).await.unwrap();
    (Response::from_parts(head, ()), bytes, trailers)
}

#[tokio::test]
async fn split_cookies_reach_the_backend_in_one_field() {
    let backend = Backend::ok().await;
    let gateway = in_front_of(&backend).await;
    let (mut sender, _connection) = connect(&gateway).await;
    let mut split = request("GET", "/");
    for cookie in ["a=1", "b=2; c=3"] {
        split.headers_mut().append(COOKIE, cookie.parse().unwrap());
    }
    let (response, _) = send(&mut sender, split, true);
    assert_eq!(read(response).await.0.status(), 200);
    let seen = backend.last();
    assert_eq!(seen.fields("cookie"), ["a=1; b=2; c=3"]);
}

#[tokio::test]
async fn requests_and_answers_go_through() {
    let backend = Backend::ok().await;
    let gateway = in_front_of(&backend).await;
    let (mut sender, _connection) = connect(&gateway).await;
    let (response, _) = send(&mut sender, request("GET", "/a?b=c"), true);
    let (head, body, _) = read(response).await;
    assert_eq!((head.status().as_u16(), body.as_slice()), (200, &b"ok"[..]));
    assert!(head.headers().contains_key("x-request-id"));
    let (response, mut upload) = send(&mut sender, request("POST", "/upload"), false);
    upload.send_data("hello".into(), true).unwrap();
    assert_eq!(read(response).await.0.status(), 200);
    let requests = backend.requests();
    assert_eq!(
        (requests[0].target(), requests[0].field("x-forwarded-host")),
        ("/a?b=c", Some("gateway.test"))
    );
    assert_eq!(
        (
            requests[1].text().as_str(),
            requests[1].field("transfer-encoding")
        ),
        ("hello", Some("chunked"))
    );
    let lines = gateway.log(2).await;
    assert_eq!(
        (lines[0]["protocol"].as_str(), lines[0]["bytesOut"].as_u64()),
        (Some("HTTP/2"), Some(2))
    );
    assert_eq!(
        (lines[1]["bytesIn"].as_u64(), lines[1]["error"].is_null()),
        (Some(5), true)
    );
}

#[tokio::test]
async fn trailers_go_through_both_ways() {
    let backend = Backend::answering(
        *b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nGrpc-Status: 0\r\n\r\n",
    )
    .await;
    let gateway = in_front_of(&backend).await;
    let (mut sender, _connection) = connect(&gateway).await;
    let (response, mut upload) = send(&mut sender, request("POST", "/"), false);
    upload.send_data("hi".into(), false).unwrap();
    upload
        .send_trailers(
            [("x-sum".parse().unwrap(), "9".parse().unwrap())]
                .into_iter()
                .collect(),
        )
        .unwrap();
    let (_, body, trailers) = read(response).await;
    assert_eq!(
        (body.as_slice(), &trailers.unwrap()["grpc-status"]),
        (&b"ok"[..], &"0".parse::<http::HeaderValue>().unwrap())
    );
    assert_eq!(
        backend.last().trailers,
        [("x-sum".to_owned(), "9".to_owned())]
    );
}

#[tokio::test]
async fn streams_do_not_wait_for_each_other() {
    let backend = Backend::scripted(|mut connection| async move {
        while let Some(request) = connection.request().await {
            if request.target() == "/never" {
                connection.ended().await;
                return;
            }
            connection
                .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                .await;
        }
    })
    .await;
    let gateway = in_front_of(&backend).await;
    let (mut sender, _connection) = connect(&gateway).await;
    let (_waiting, _) = send(&mut sender, request("GET", "/never"), true);
    for _ in 0..10 {
        let (response, _) = send(&mut sender, request("GET", "/now"), true);
        assert_eq!(read(response).await.1, b"ok");
    }
}

#[tokio::test]
async fn a_stream_that_is_reset_takes_its_request_along() {
    let backend = Backend::silent().await;
    let gateway = in_front_of(&backend).await;
    let (mut sender, _connection) = connect(&gateway).await;
    let (response, mut upload) = send(&mut sender, request("GET", "/"), false);
    backend.wait_for_connections(1).await;
    upload.send_reset(h2::Reason::CANCEL);
    drop(response);
    backend.wait_for_ends(1).await;
    assert_eq!(gateway.log(1).await[0]["error"], "client-gone");
}

#[tokio::test]
async fn an_answer_that_breaks_off_resets_its_stream() {
    let backend = Backend::closing(*b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
    let gateway = in_front_of(&backend).await;
    let (mut sender, _connection) = connect(&gateway).await;
    let (response, _) = send(&mut sender, request("GET", "/"), true);
    // The reset may overtake the head.
    let mut broken = false;
    match within("a response", response).await {
        Err(_) => broken = true,
        Ok(response) => {
            let mut body = response.into_body();
            while let Some(data) = within("data", body.data()).await {
                broken = data.is_err();
                if broken {
                    // A stream that was reset gives the same error for ever.
                    break;
                }
            }
        }
    }
    assert!(broken);
    assert_eq!(gateway.log(1).await[0]["error"], "upstream-truncated");
}

#[tokio::test]
async fn refusals_are_problem_documents_here_too() {
    let backend = Backend::ok().await;
    let gateway = in_front_of(&backend).await;
    let (mut sender, _connection) = connect(&gateway).await;
    for (path, status, code) in [
        ("/a%2fb", 400, "invalid-path"),
        (&*format!("/{}", "x".repeat(8192)), 414, "target-too-long"),
    ] {
        let (response, _) = send(&mut sender, request("GET", path), true);
        let (head, body, _) = read(response).await;
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            (head.status().as_u16(), problem["code"].as_str()),
            (status, Some(code))
        );
    }
    let mut many = request("GET", "/");
    for _ in 0..101 {
        many.headers_mut().append("x-many", "1".parse().unwrap());
    }
    let (response, _) = send(&mut sender, many, true);
    assert_eq!(read(response).await.0.status(), 431);
    let mut other_host = request("GET", "/");
    other_host
        .headers_mut()
        .insert("host", "other.test".parse().unwrap());
    let (response, _) = send(&mut sender, other_host, true);
    assert_eq!(read(response).await.0.status(), 400);
    assert_eq!(backend.connections(), 0);
}

#[tokio::test]
async fn an_idle_connection_is_ended() {
    let backend = Backend::ok().await;
    let gateway = gateway()
        .routes(&everything_to(&backend.url()))
        .env("KEEP_ALIVE_TIMEOUT", "0.3")
        .start()
        .await;
    let (mut sender, connection) = connect(&gateway).await;
    let (response, _) = send(&mut sender, request("GET", "/"), true);
    read(response).await;
    within("the end", connection).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_body_that_stalls_is_408() {
    let backend = Backend::silent().await;
    let gateway = gateway()
        .routes(&everything_to(&backend.url()))
        .env("REQUEST_BODY_IDLE_TIMEOUT", "0.2")
        .start()
        .await;
    let (mut sender, _connection) = connect(&gateway).await;
    let (response, _upload) = send(&mut sender, request("POST", "/"), false);
    assert_eq!(read(response).await.0.status(), 408);
}

#[tokio::test]
async fn draining_finishes_open_streams_and_takes_no_more() {
    let backend = Backend::scripted(|mut connection| async move {
        connection.request().await;
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        connection
            .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .await;
    })
    .await;
    let mut gateway = in_front_of(&backend).await;
    let (mut sender, connection) = connect(&gateway).await;
    let (response, _) = send(&mut sender, request("GET", "/"), true);
    backend.wait_for_requests(1).await;
    gateway.signal("TERM").await;
    assert_eq!(read(response).await.1, b"ok");
    within("the end", connection).await.unwrap().unwrap();
    assert!(gateway.exit().await.success());
}

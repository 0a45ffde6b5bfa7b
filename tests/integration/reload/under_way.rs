//! What is under way when its route is replaced or removed.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::json;
use testkit::http2::{Client, flag, kind};
use testkit::{Backend, within};
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::{change, connect, echo, file, is_alive, route, saying};
use crate::http2::websocket::{connect_to, data, masked, plain as unmasked};
use crate::{gateway, http2};

#[tokio::test]
async fn a_websocket_of_a_removed_route_is_closed_with_1001_when_its_time_is_over() {
    let (sockets, plain) = (echo().await, saying("plain").await);
    let routes = file(&[route("goes", &sockets), route("stays", &plain)]);
    let gateway = gateway()
        .routes(&routes)
        .env("DRAIN_TIMEOUT", "1.5")
        .start()
        .await;
    let mut socket = connect(&gateway, "/goes/1").await;
    change(&gateway, &file(&[route("stays", &plain)])).await;
    assert!(is_alive(&mut socket).await);
    // Who comes back in time has lost nothing.
    change(&gateway, &routes).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(is_alive(&mut socket).await);
    change(&gateway, &file(&[route("stays", &plain)])).await;
    let Some(Ok(Message::Close(Some(frame)))) = within("a close", socket.next()).await else {
        panic!("no close frame");
    };
    assert_eq!(frame.code, CloseCode::Away);
    assert!(within("the end", socket.next()).await.is_none());
    let lines = gateway.log(1).await;
    assert_eq!(lines[0]["error"], "route-removed");
}

#[tokio::test]
async fn an_answer_that_streams_on_a_removed_route_is_broken_off_when_its_time_is_over() {
    let stream = Backend::scripted(|mut connection| async move {
        connection.request().await;
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n";
        connection.send(head).await;
        connection.ended().await;
    })
    .await;
    let gateway = gateway()
        .routes(&file(&[route("goes", &stream)]))
        .env("DRAIN_TIMEOUT", "0")
        .start()
        .await;
    let mut client = gateway.client().await;
    client.request("GET", "/goes/x", &[]).await;
    client.until("data: 1\n\n").await;
    change(&gateway, &file(&[route("other", &stream)])).await;
    // Without the chunk that would say that it is whole.
    let rest = client.rest().await;
    assert!(!rest.ends_with(b"0\r\n\r\n"), "{rest:?}");
    let lines = gateway.log(1).await;
    assert_eq!(lines[0]["error"], "route-removed");
}

#[tokio::test]
async fn a_request_in_flight_is_answered_by_the_route_that_it_came_by() {
    let slow = Backend::scripted(|mut connection| async move {
        connection.request().await;
        tokio::time::sleep(Duration::from_millis(800)).await;
        connection
            .send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow")
            .await;
    })
    .await;
    let other = saying("other").await;
    let gateway = gateway().routes(&file(&[route("a", &slow)])).start().await;
    let mut client = gateway.client().await;
    client.request("GET", "/a/x", &[]).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    change(&gateway, &file(&[route("a", &other)])).await;
    assert_eq!(gateway.client().await.get("/a/x").await.text(), "other");
    assert_eq!(client.response().await.text(), "slow");
}

#[tokio::test]
async fn a_stream_of_http2_on_a_removed_route_is_reset_when_its_time_is_over() {
    let stream = Backend::scripted(|mut connection| async move {
        connection.request().await;
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n";
        connection.send(head).await;
        connection.ended().await;
    })
    .await;
    let plain = saying("plain").await;
    let stays = route("stays", &plain);
    let gateway = gateway()
        .routes(&file(&[route("goes", &stream), stays.clone()]))
        .env("DRAIN_TIMEOUT", "0")
        .start()
        .await;
    let (mut sender, _connection) = http2::connect(&gateway).await;
    let (response, _) = http2::send(&mut sender, http2::request("GET", "/goes/x"), true);
    let mut body = within("an answer", response).await.unwrap().into_body();
    let first = within("the first event", body.data()).await.unwrap();
    assert_eq!(first.unwrap(), "data: 1\n\n");
    change(&gateway, &file(&[stays])).await;
    let end = within("the end", body.data()).await;
    assert!(end.is_some_and(|end| end.is_err_and(|error| error.is_reset())));
    assert_eq!(gateway.log(1).await[0]["error"], "route-removed");
    // The connection has nothing to do with it.
    let (response, _) = http2::send(&mut sender, http2::request("GET", "/stays/x"), true);
    let (head, text, _) = http2::read(response).await;
    assert_eq!((head.status().as_u16(), &*text), (200, &b"plain"[..]));
}

#[tokio::test]
async fn a_websocket_over_http2_of_a_removed_route_is_closed_with_1001_too() {
    let (sockets, plain) = (echo().await, saying("plain").await);
    let stays = route("stays", &plain);
    let gateway = gateway()
        .routes(&file(&[route("goes", &sockets), stays.clone()]))
        .env("DRAIN_TIMEOUT", "0")
        .start()
        .await;
    let mut client = Client::connect(gateway.address()).await;
    connect_to(&mut client, 1, "/goes/1").await;
    client.frame(kind::DATA, 0, 1, &masked("hi")).await;
    assert_eq!(data(&mut client, 1, 4).await, unmasked("hi"));
    change(&gateway, &file(&[stays])).await;
    let answer = client.answer(1).await;
    assert_eq!(
        (&*answer.body, answer.reset),
        (&[0x88, 2, 0x03, 0xe9][..], None)
    );
    // The client's own close, and its end.
    let close = [0x88, 0x80, 0, 0, 0, 0];
    client.frame(kind::DATA, flag::END_STREAM, 1, &close).await;
    assert_eq!(gateway.log(1).await[0]["error"], "route-removed");
    // The connection has nothing to do with it.
    client.get(3, "/stays/x").await;
    assert_eq!(client.answer(3).await.body, b"plain");
}

#[tokio::test]
async fn the_backend_of_a_websocket_over_http2_is_told_after_the_message_that_was_on_its_way() {
    let (told, mut tells) = tokio::sync::mpsc::unbounded_channel();
    let backend = Backend::scripted(move |connection| {
        let told = told.clone();
        async move {
            let mut socket = accept_async(connection.stream).await.unwrap();
            while let Some(Ok(message)) = socket.next().await {
                told.send(message).unwrap();
            }
        }
    })
    .await;
    let plain = saying("plain").await;
    let gateway = gateway()
        .routes(&file(&[route("goes", &backend)]))
        .env("DRAIN_TIMEOUT", "0")
        .start()
        .await;
    let mut client = Client::connect(gateway.address()).await;
    connect_to(&mut client, 1, "/goes/1").await;
    let message = masked("in two parts");
    client.frame(kind::DATA, 0, 1, &message[..9]).await;
    change(&gateway, &file(&[route("stays", &plain)])).await;
    let answer = client.answer(1).await;
    assert_eq!(answer.body, [0x88, 2, 0x03, 0xe9]);
    // What follows the message belongs to nobody any more.
    client
        .frame(
            kind::DATA,
            0,
            1,
            &[&message[9..], &masked("another")].concat(),
        )
        .await;
    let first = within("the message", tells.recv()).await.unwrap();
    assert_eq!(first, Message::text("in two parts"));
    let Some(Message::Close(Some(frame))) = within("a close", tells.recv()).await else {
        panic!("no close frame");
    };
    assert_eq!(frame.code, CloseCode::Away);
}

#[tokio::test]
async fn requests_on_whatever_way_are_answered_though_everything_is_replaced() {
    let slow = Backend::scripted(|mut connection| async move {
        while connection.request().await.is_some() {
            tokio::time::sleep(Duration::from_millis(1500)).await;
            let answer =
                "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 4\r\n\r\nslow";
            connection.send(answer).await;
        }
    })
    .await;
    let (gone, copies) = (Backend::refused().await, Backend::ok().await);
    let gone = format!("http://{gone}");
    let upstream = |urls: &[String]| json!({"endpoints": urls, "outliers": false});
    let routes = json!({
        "upstreams": {
            "slow": upstream(&[slow.url()]),
            "pair": upstream(&[gone.clone(), slow.url()]),
            "copies": upstream(&[copies.url()]),
            "gone": upstream(&[gone]),
        },
        "routes": [
            {"name": "retried", "path": "/retried", "upstream": "pair", "retry": {"attempts": 3}},
            {"name": "hedged", "path": "/hedged", "upstream": "slow", "hedge": {"after": 0.1}},
            {"name": "mirrored", "path": "/mirrored", "upstream": "slow", "mirror": {"upstream": "copies"}},
            {"name": "cached", "path": "/cached", "upstream": "slow", "cacheable": true},
            {"name": "fallen", "path": "/fallen", "upstream": "gone", "fallback": {"upstream": "slow"}},
        ],
    });
    let gateway = gateway()
        .routes(&routes)
        .env("DRAIN_TIMEOUT", "0")
        .start()
        .await;
    let mut asking = Vec::new();
    for path in [
        "/retried",
        "/hedged",
        "/mirrored",
        "/cached",
        "/cached",
        "/fallen",
    ] {
        let mut client = gateway.client().await;
        client.request("GET", path, &[]).await;
        asking.push((path, client));
    }
    // Nobody has an answer yet.
    slow.wait_for_requests(4).await;
    let other = saying("other").await;
    for name in ["one", "two", "three"] {
        change(&gateway, &file(&[route(name, &other)])).await;
    }
    for (path, client) in &mut asking {
        let answer = client.response().await;
        assert_eq!((answer.status(), &*answer.text()), (200, "slow"), "{path}");
        assert_eq!(client.get("/three/x").await.text(), "other");
    }
    let in_memory = "api_gateway_config_generations_in_memory ";
    assert!(gateway.metric(in_memory).await <= 2);
}

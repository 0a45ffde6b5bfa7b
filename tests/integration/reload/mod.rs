//! Replacing the configuration while it is served.

mod back;
mod files;
mod knowledge;
mod under_way;

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use testkit::{ADMIN_FIELD, Backend, Client, Gateway, within};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};

use crate::gateway;

/// Sends back what it gets.
async fn echo() -> Backend {
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

/// Answers everything with this text.
async fn saying(text: &'static str) -> Backend {
    let length = text.len();
    Backend::answering(format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{text}"
    ))
    .await
}

async fn connect(gateway: &Gateway, path: &str) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(gateway.address()).await.unwrap();
    let url = format!("ws://gateway.test{path}");
    within("the handshake", client_async(url, stream))
        .await
        .unwrap()
        .0
}

async fn is_alive(socket: &mut WebSocketStream<TcpStream>) -> bool {
    socket.send(Message::text("hello")).await.is_ok()
        && matches!(
            within("an echo", socket.next()).await,
            Some(Ok(Message::Text(_)))
        )
}

fn route(name: &str, backend: &Backend) -> Value {
    json!({"name": name, "path": format!("/{name}/*rest"), "targetURL": backend.url()})
}

fn file(routes: &[Value]) -> Value {
    json!({ "routes": routes })
}

async fn status(gateway: &Gateway, target: &str) -> u16 {
    gateway.client().await.get(target).await.status()
}

/// Puts another routes file in place, and waits until it is served.
pub(crate) async fn change(gateway: &Gateway, file: &Value) {
    let before = gateway.metric("api_gateway_config_generation ").await;
    gateway.set_routes(&file.to_string());
    wait_for(gateway, "api_gateway_config_generation ", before + 1).await;
}

async fn wait_for(gateway: &Gateway, series: &str, value: u64) {
    within(series, async {
        while gateway.metric(series).await < value {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

const REFUSED: &str = "api_gateway_config_reloads_total{result=\"failure\"} ";

#[tokio::test]
async fn a_changed_file_is_served_and_websockets_of_routes_that_stay_are_not_closed() {
    let (sockets, plain) = (echo().await, saying("plain").await);
    let stays = route("stays", &sockets);
    let routes = file(&[stays.clone(), route("goes", &plain)]);
    let gateway = gateway().routes(&routes).start().await;
    let mut socket = connect(&gateway, "/stays/1").await;
    let mut kept = gateway.client().await;
    assert_eq!(kept.get("/goes/x").await.status(), 200);
    assert_eq!(status(&gateway, "/comes/x").await, 404);
    change(&gateway, &file(&[stays, route("comes", &plain)])).await;
    // Also on the connection that was there before.
    assert_eq!(kept.get("/goes/x").await.status(), 404);
    assert_eq!(kept.get("/comes/x").await.status(), 200);
    for _ in 0..5 {
        change(&gateway, &routes).await;
        change(&gateway, &file(&[route("stays", &sockets)])).await;
        assert!(is_alive(&mut socket).await);
    }
    let in_memory = gateway
        .metric("api_gateway_config_generations_in_memory ")
        .await;
    assert!(in_memory <= 2, "{in_memory}");
}

#[tokio::test]
async fn memory_does_not_grow_with_reloads() {
    let backend = saying("x").await;
    let routes = |number: usize| {
        let many = (0..50).map(|it| route(&format!("r{}", it + number % 2), &backend));
        file(&many.collect::<Vec<_>>()).to_string()
    };
    let gateway = gateway()
        .routes(&file(&[route("a", &backend)]))
        .env("WATCH_CONFIG", "false")
        .env("DRAIN_TIMEOUT", "0")
        .start()
        .await;
    let mut admin = Client::connect(gateway.admin()).await;
    let mut reload = async |numbers: std::ops::Range<usize>| {
        for number in numbers {
            gateway.set_routes(&routes(number));
            admin
                .request(
                    "POST",
                    "/config/reload",
                    &[ADMIN_FIELD, "Content-Length: 0"],
                )
                .await;
            assert_eq!(admin.response().await.status(), 200);
        }
    };
    reload(0..50).await;
    let before = gateway.peak_memory();
    reload(50..250).await;
    let after = gateway.peak_memory();
    assert!(after < before + 4 * 1024, "{before} KiB, then {after} KiB");
}

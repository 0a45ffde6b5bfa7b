//! What load balancers say of whose connection it is.

use testkit::{Authority, Backend, Client, GatewayBuilder, read_message, within};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::fixtures::{Tls, showing};
use crate::{everything_to, gateway};

const VERSION_1: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 8443\r\n";
const VERSION_2: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0f\xc0\0\x02\x07\xc6\x33\x64\x01\x12\x67\x20\xfb\x04\0\0";

fn behind(backend: &Backend, trusted: &str) -> GatewayBuilder {
    gateway()
        .routes(&everything_to(&backend.url()))
        .env("PROXY_PROTOCOL", "true")
        .env("TRUSTED_PROXIES", trusted)
}

#[tokio::test]
async fn the_address_of_the_client_is_the_one_in_the_header() {
    let backend = Backend::ok().await;
    let gateway = behind(&backend, "127.0.0.1").start().await;
    for header in [VERSION_1, VERSION_2] {
        let mut client = gateway.client().await;
        // In one piece with the request, and in many.
        client
            .send([header, b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"].concat())
            .await;
        assert_eq!(client.response().await.status(), 200);
        let mut client = gateway.client().await;
        for byte in header {
            client.send([*byte]).await;
            tokio::task::yield_now().await;
        }
        let spoof = "X-Forwarded-For: 203.0.113.9";
        client.request("GET", "/2", &[spoof]).await;
        assert_eq!(client.response().await.status(), 200);
        let seen = backend.last();
        // The client is not a trusted proxy, though its load balancer is one.
        assert_eq!(seen.field("x-forwarded-for"), Some("192.0.2.7"));
        assert_eq!(seen.field("x-forwarded-port"), Some("8443"));
    }
    for line in gateway.log(4).await {
        assert_eq!(line["client"], "192.0.2.7");
    }
}

#[tokio::test]
async fn health_checks_of_the_load_balancer_are_its_own() {
    let backend = Backend::ok().await;
    let gateway = behind(&backend, "127.0.0.1").start().await;
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    for header in [&b"PROXY UNKNOWN\r\n"[..], local] {
        let mut client = gateway.client().await;
        client.send(header).await;
        // Who says nothing of the client vouches for nothing that comes behind.
        let made_up = ["X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https"];
        client.request("GET", "/", &made_up).await;
        assert_eq!(client.response().await.status(), 200);
        let seen = backend.last();
        assert_eq!(seen.field("x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(seen.field("x-forwarded-proto"), Some("http"));
    }
    for line in gateway.log(2).await {
        assert_eq!(line["client"], "127.0.0.1");
    }
}

#[tokio::test]
async fn a_header_from_anybody_else_is_no_request() {
    let backend = Backend::ok().await;
    let gateway = behind(&backend, "10.0.0.0/8").start().await;
    let mut client = gateway.client().await;
    client.send(VERSION_1).await;
    client.request("GET", "/", &[]).await;
    // What begins so is no HTTP that is spoken here.
    assert_eq!(client.response().await.status(), 505);
    assert!(backend.requests().is_empty());
    // Without one they are served, and are who they are.
    assert_eq!(gateway.client().await.get("/").await.status(), 200);
    assert_eq!(gateway.log(2).await[1]["client"], "127.0.0.1");
}

#[tokio::test]
async fn who_has_to_send_a_header_and_does_not_is_cut_off() {
    let backend = Backend::ok().await;
    let gateway = behind(&backend, "127.0.0.1")
        .env("HEAD_TIMEOUT", "0.5")
        .start()
        .await;
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
        b"PROXY TCP4 nonsense\r\n",
        b"",
        b"PROXY TCP4 1",
    ] {
        let mut client = Client::connect(gateway.address()).await;
        client.send(bytes).await;
        assert_eq!(client.rest().await, b"");
    }
    assert!(backend.requests().is_empty());
}

#[tokio::test]
async fn it_goes_before_tls() {
    let authority = Authority::new("test");
    let backend = Backend::ok().await;
    let gateway = showing(&backend, &authority.issue(&["api.test"]))
        .env("PROXY_PROTOCOL", "true")
        .env("TRUSTED_PROXIES", "127.0.0.1")
        .start()
        .await;
    let mut socket = TcpStream::connect(gateway.https()).await.unwrap();
    socket.write_all(VERSION_2).await.unwrap();
    let connector = TlsConnector::from(Tls::trusting(&authority).config());
    let name = "api.test".try_into().unwrap();
    let mut stream = within("the handshake", connector.connect(name, socket))
        .await
        .unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: api.test\r\n\r\n")
        .await
        .unwrap();
    let answer = within(
        "a response",
        read_message(&mut stream, &mut Vec::new(), false),
    )
    .await;
    assert_eq!(answer.unwrap().status(), 200);
    let seen = backend.last();
    assert_eq!(seen.field("x-forwarded-for"), Some("192.0.2.7"));
    assert_eq!(seen.field("x-forwarded-proto"), Some("https"));
}

//! What clients should not send to a port with TLS.

use std::time::{Duration, Instant};

use testkit::{Authority, Backend, Client, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::fixtures::{Tls, run, showing};
use crate::assert_problem;

fn failures(reason: &str) -> String {
    format!("api_gateway_tls_handshake_failures_total{{reason=\"{reason}\"}}")
}

#[tokio::test]
async fn plain_http_is_told_that_the_port_is_for_https() {
    let authority = Authority::new("test");
    let backend = Backend::ok().await;
    let gateway = showing(&backend, &authority.issue(&["api.test"]))
        .start()
        .await;
    let mut client = Client::connect(gateway.https()).await;
    let answer = client.get("/").await;
    assert_problem(&answer, 400, "malformed-request", "http_request_error");
    assert!(
        answer.text().contains("This port speaks HTTPS"),
        "{}",
        answer.text()
    );
    // So is HTTP/2, by its own means.
    let socket = TcpStream::connect(gateway.https()).await.unwrap();
    let (mut sender, connection) = h2::client::handshake(socket).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("http://api.test/").body(()).unwrap();
    let (response, _) = sender.send_request(request, true).unwrap();
    let response = within("a response", response).await.unwrap();
    assert_eq!(response.status(), 400);
    assert!(backend.requests().is_empty());
    assert_eq!(gateway.metric(&failures("not-tls")).await, 2);
    let log = gateway.log(2).await;
    assert!(log.iter().all(|line| line["status"] == 400), "{log:?}");
}

#[tokio::test]
async fn garbage_is_refused_and_others_are_served() {
    let authority = Authority::new("test");
    let backend = Backend::ok().await;
    let gateway = showing(&backend, &authority.issue(&["api.test"]))
        .env("HEAD_TIMEOUT", "0.5")
        .start()
        .await;
    let hello = [&[22, 3, 1, 0x40, 0][..], &[7; 0x4000]].concat();
    let long = [&[22, 3, 1, 0xff, 0xff][..], &[1; 100_000]].concat();
    let mut random = vec![0; 50_000];
    random.fill_with(|| fastrand::u8(..));
    random[0] = 22;
    for bytes in [
        &b"\0\0\0\0"[..],
        &[22, 3, 1, 0, 0],
        &[22, 3, 1, 0, 4, 1, 0, 0, 0],
        // An empty record, over and over.
        &[22, 3, 3, 0, 0].repeat(1000),
        &[21, 3, 3, 0, 2, 2, 40],
        &hello,
        &long,
        &random,
    ] {
        let mut client = Client::connect(gateway.https()).await;
        client.send(bytes).await;
        client.rest().await;
    }
    let mut client = Tls::trusting(&authority)
        .connect(gateway.https(), "api.test")
        .await
        .unwrap();
    assert_eq!(client.get("api.test", "/", &[]).await.status(), 200);
    assert_eq!(backend.requests().len(), 1);
}

#[tokio::test]
async fn who_has_nothing_in_common_is_told_so() {
    let authority = Authority::new("test");
    let backend = Backend::ok().await;
    let gateway = showing(&backend, &authority.issue(&["api.test"]))
        .start()
        .await;
    let address = gateway.https().to_string();
    for arguments in [
        // A certificate of a kind that there is none of.
        &["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"][..],
        &["-tls1_3", "-sigalgs", "RSA-PSS+SHA256"],
        // Ciphers without forward secrecy.
        &["-tls1_2", "-cipher", "AES128-GCM-SHA256"],
    ] {
        let arguments = [&["s_client", "-connect", &address], arguments].concat();
        let output = run("openssl", &arguments).await;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            text.contains("alert handshake failure"),
            "{arguments:?}: {text}"
        );
    }
    assert_eq!(gateway.metric(&failures("protocol")).await, 3);
}

#[tokio::test]
async fn half_handshakes_by_the_thousand_cost_little_and_end_in_time() {
    let authority = Authority::new("test");
    let backend = Backend::ok().await;
    let gateway = showing(&backend, &authority.issue(&["api.test"]))
        .env("HEAD_TIMEOUT", "4")
        .start()
        .await;
    let mut warm = Tls::trusting(&authority)
        .connect(gateway.https(), "api.test")
        .await
        .unwrap();
    assert_eq!(warm.get("api.test", "/", &[]).await.status(), 200);
    let before = gateway.peak_memory();
    let started = Instant::now();
    let mut halves = Vec::new();
    for index in 0..2000 {
        let mut socket = TcpStream::connect(gateway.https()).await.unwrap();
        // Nothing, the beginning of a record, the beginning of a long one.
        let begun: &[u8] = match index % 3 {
            0 => b"",
            1 => &[22, 3, 1],
            _ => &[22, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc, 3, 3, 9, 9],
        };
        socket.write_all(begun).await.unwrap();
        halves.push(socket);
    }
    // Meanwhile others are served.
    let mut client = Tls::trusting(&authority)
        .connect(gateway.https(), "api.test")
        .await
        .unwrap();
    assert_eq!(client.get("api.test", "/", &[]).await.status(), 200);
    let grown = gateway.peak_memory().saturating_sub(before);
    assert!(grown < 2000 * 12, "{grown} KiB for 2000 connections");
    for socket in &mut halves {
        let mut rest = Vec::new();
        let _ = within("the end", socket.read_to_end(&mut rest)).await;
    }
    let took = started.elapsed();
    assert!(took < Duration::from_secs(30), "{took:?}");
    assert!(gateway.metric(&failures("timeout")).await >= 1990);
}

#[tokio::test]
async fn who_never_finishes_a_handshake_does_not_hold_up_the_end() {
    let authority = Authority::new("test");
    let backend = Backend::ok().await;
    let mut gateway = showing(&backend, &authority.issue(&["api.test"]))
        .env("HEAD_TIMEOUT", "600")
        .start()
        .await;
    let mut half = TcpStream::connect(gateway.https()).await.unwrap();
    half.write_all(&[22, 3, 1]).await.unwrap();
    // Served, so that what came before has been accepted.
    let tls = Tls::trusting(&authority);
    let mut client = tls.connect(gateway.https(), "api.test").await.unwrap();
    assert_eq!(client.get("api.test", "/", &[]).await.status(), 200);
    gateway.signal("TERM").await;
    assert_eq!(gateway.exit().await.code(), Some(0));
    assert_eq!(half.read(&mut [0]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn a_session_that_is_tampered_with_ends_and_its_request_reaches_nobody() {
    let authority = Authority::new("test");
    let backend = Backend::ok().await;
    let gateway = showing(&backend, &authority.issue(&["api.test"]))
        .start()
        .await;
    let client = Tls::trusting(&authority)
        .connect(gateway.https(), "api.test")
        .await
        .unwrap();
    let (mut socket, _) = client.stream.into_inner();
    socket
        .write_all(&[&[23, 3, 3, 0, 64][..], &[5; 64]].concat())
        .await
        .unwrap();
    let mut rest = Vec::new();
    let _ = within("the end", socket.read_to_end(&mut rest)).await;
    assert!(backend.requests().is_empty());
}

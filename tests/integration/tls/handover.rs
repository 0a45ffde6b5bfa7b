//! Listening sockets that are there before the process that serves them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;
use testkit::{Authority, Backend, within};

use super::fixtures::{Tls, connect, showing};
use crate::shutdown::slow;
use crate::upgrade::activated;
use crate::{everything_to, gateway};

#[tokio::test]
async fn no_connection_fails_while_one_process_takes_over_from_another() {
    let authority = Authority::new("test");
    let issued = authority.issue(&["api.test"]);
    let backend = Backend::ok().await;
    let listeners = json!({
        "certificates": [{ "certificate": "cert.pem", "key": "key.pem" }],
        "listeners": [
            { "address": "127.0.0.1:0" },
            { "address": "127.0.0.1:0", "tls": true },
            { "address": "127.0.0.1:0", "tls": { "minVersion": "1.3" } },
        ],
    });
    let mut gateway = gateway()
        .routes(&everything_to(&backend.url()))
        .file("cert.pem", &issued.certificate)
        .file("key.pem", &issued.key)
        .file("listeners.json", &listeners.to_string())
        .env("LISTENERS_FILE", "listeners.json")
        .env("WORKERS", "2")
        .env("ACCESS_LOG", "off")
        .start()
        .await;
    let over = Arc::new(AtomicBool::new(false));
    let served = Arc::new(AtomicUsize::new(0));
    let clients = gateway.listening("https").into_iter().map(|address| {
        let (over, served) = (Arc::clone(&over), Arc::clone(&served));
        let config = Tls::trusting(&authority).config();
        tokio::spawn(async move {
            while !over.load(Ordering::Relaxed) {
                let client = connect(config.clone(), address, "api.test").await;
                let mut client = client.expect("a connection");
                assert_eq!(client.get("api.test", "/", &[]).await.status(), 200);
                served.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    let clients: Vec<_> = clients.collect();
    assert_eq!(clients.len(), 2);
    let first = gateway.pid();
    for _ in 0..2 {
        let before = served.load(Ordering::Relaxed);
        assert_ne!(gateway.upgrade().await, first);
        within("more requests", async {
            while served.load(Ordering::Relaxed) < before + 20 {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        })
        .await;
    }
    over.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(gateway.client().await.get("/").await.status(), 200);
    assert_eq!(
        gateway.exit().await.code(),
        Some(0),
        "the first has drained"
    );
}

#[tokio::test]
async fn what_is_in_flight_ends_where_it_began() {
    let authority = Authority::new("test");
    let backend = slow(700).await;
    let mut gateway = showing(&backend, &authority.issue(&["api.test"]))
        .start()
        .await;
    let tls = Tls::trusting(&authority);
    let mut busy = tls.connect(gateway.https(), "api.test").await.unwrap();
    busy.send("GET / HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
    backend.wait_for_requests(1).await;
    gateway.upgrade().await;
    let answer = busy.response().await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.field("connection"), Some("close"));
    assert_eq!(busy.rest().await.unwrap(), b"");
    assert_eq!(gateway.exit().await.code(), Some(0));
    let mut fresh = tls.connect(gateway.https(), "api.test").await.unwrap();
    assert_eq!(fresh.get("api.test", "/", &[]).await.status(), 200);
}

#[tokio::test]
async fn sockets_of_systemd_are_served_with_tls_and_without() {
    let authority = Authority::new("test");
    let issued = authority.issue(&["api.test"]);
    let folder = std::env::temp_dir().join(format!("api-gateway-tls-{:x}", fastrand::u64(..)));
    std::fs::create_dir(&folder).unwrap();
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&certificate, &issued.certificate).unwrap();
    std::fs::write(&key, &issued.key).unwrap();
    let backend = Backend::ok().await;
    let (http, https) = (testkit::free_port(), testkit::free_port());
    let (http, https) = (format!("127.0.0.1:{http}"), format!("127.0.0.1:{https}"));
    // The order of the sockets is not that of the setting: it is the addresses that count.
    let _gateway = activated(
        &[(&https, "web"), (&http, "web")],
        &[
            ("LISTEN", &format!("http://{http},https://{https}")),
            ("TLS_CERT", certificate.to_str().unwrap()),
            ("TLS_KEY", key.to_str().unwrap()),
            ("ADMIN_ADDR", "off"),
            ("WORKERS", "3"),
            ("BACKEND_URL", &backend.url()),
            ("ACCESS_LOG", "off"),
        ],
    )
    .await;
    let tls = Tls::trusting(&authority);
    for _ in 0..20 {
        let client = tls.connect(https.parse().unwrap(), "api.test").await;
        let answer = client.unwrap().get("api.test", "/", &[]).await;
        assert_eq!(answer.status(), 200);
        let mut client = testkit::Client::connect(http.parse().unwrap()).await;
        assert_eq!(client.get("/").await.status(), 200);
    }
    std::fs::remove_dir_all(folder).unwrap();
}

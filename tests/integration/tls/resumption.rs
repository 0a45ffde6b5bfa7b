//! Sessions that go on with another connection.

use rustls::HandshakeKind;
use testkit::{Authority, Backend};

use super::fixtures::{ONLY_TLS_1_2, ONLY_TLS_1_3, Tls, connect, run, showing};

#[tokio::test]
async fn a_session_is_resumed_by_whichever_worker() {
    let authority = Authority::new("test");
    let backend = Backend::ok().await;
    let gateway = showing(&backend, &authority.issue(&["api.test"]))
        .env("WORKERS", "4")
        .start()
        .await;
    for versions in [ONLY_TLS_1_2, ONLY_TLS_1_3] {
        let config = Tls::trusting(&authority).versions(versions).config();
        let mut resumed = 0;
        for _ in 0..20 {
            let mut client = connect(config.clone(), gateway.https(), "api.test")
                .await
                .unwrap();
            assert_eq!(client.get("api.test", "/", &[]).await.status(), 200);
            let kind = client.stream.get_ref().1.handshake_kind();
            resumed += usize::from(kind == Some(HandshakeKind::Resumed));
        }
        assert_eq!(resumed, 19, "all but the first");
    }
    let log = gateway.log(40).await;
    assert_eq!(
        log.iter().filter(|line| line["tlsResumed"] == true).count(),
        38
    );
    let series = "api_gateway_tls_handshakes_total{version=\"1.3\",resumed=\"true\"}";
    assert_eq!(gateway.metric(series).await, 19);
}

#[tokio::test]
async fn openssl_resumes_too() {
    let authority = Authority::new("test");
    let backend = Backend::ok().await;
    let gateway = showing(&backend, &authority.issue(&["api.test"]))
        .start()
        .await;
    let session = gateway.folder().join("session.pem");
    let (session, address) = (session.to_str().unwrap(), gateway.https().to_string());
    let arguments = [
        "s_client",
        "-tls1_2",
        "-connect",
        &address,
        "-servername",
        "api.test",
    ];
    let first = run(
        "openssl",
        &[&arguments[..], &["-sess_out", session]].concat(),
    )
    .await;
    let text = String::from_utf8_lossy(&first.stdout).into_owned();
    assert!(text.contains("New, TLSv1.2"), "{text}");
    let second = run(
        "openssl",
        &[&arguments[..], &["-sess_in", session]].concat(),
    )
    .await;
    let text = String::from_utf8_lossy(&second.stdout).into_owned();
    assert!(text.contains("Reused, TLSv1.2"), "{text}");
}

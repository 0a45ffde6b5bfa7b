//! Which certificate a client is shown, and what happens when its files change.

use serde_json::json;
use testkit::{Authority, Backend, Gateway, within};

use super::fixtures::{BOTH, ONLY_TLS_1_2, Tls, der, run, showing};
use crate::{everything_to, gateway};

const NOT_AFTER: &str = "api_gateway_certificate_not_after_timestamp_seconds";

/// Waits until so many changes have been read, with this result.
async fn reloads(gateway: &Gateway, result: &str, count: u64) {
    let series = format!("api_gateway_tls_reloads_total{{result=\"{result}\"}}");
    within("a change to be noticed", async {
        while gateway.metric(&series).await < count {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn names_wildcards_and_everybody_else_have_their_certificates() {
    let authority = Authority::new("test");
    let first = authority.issue(&["first.test"]);
    let wildcard = authority.issue(&["*.apps.test"]);
    let exact = authority.issue(&["one.apps.test"]);
    let backend = Backend::ok().await;
    let gateway = gateway()
        .routes(&everything_to(&backend.url()))
        .file("tls/a.pem", &first.certificate)
        .file("tls/a.key", &first.key)
        .file("tls/b.pem", &wildcard.certificate)
        .file("tls/b.key", &wildcard.key)
        .file("tls/c.pem", &exact.certificate)
        .file("tls/c.key", &exact.key)
        .env("LISTEN", BOTH)
        .env("TLS_CERT", "tls/a.pem, tls/b.pem, tls/c.pem")
        .env("TLS_KEY", "tls/a.key, tls/b.key, tls/c.key")
        .start()
        .await;
    let tls = Tls::trusting(&authority);
    for (name, issued) in [
        ("first.test", &first),
        ("two.apps.test", &wildcard),
        ("one.apps.test", &exact),
        ("ONE.apps.test", &exact),
    ] {
        let client = tls.connect(gateway.https(), name).await.unwrap();
        assert!(client.shown() == der(issued), "{name}");
    }
    // Clients check whom they have got, and do not go on.
    for name in ["apps.test", "a.b.apps.test", "unknown.test"] {
        let error = tls.connect(gateway.https(), name).await.err().unwrap();
        assert!(error.to_string().contains("first.test"), "{error}");
    }
}

#[tokio::test]
async fn ecdsa_is_shown_to_those_who_understand_it_and_rsa_to_others() {
    let authority = Authority::new("test");
    let (rsa, ecdsa) = (
        authority.issue_rsa(&["api.test"]),
        authority.issue(&["api.test"]),
    );
    let backend = Backend::ok().await;
    let gateway = showing(&backend, &rsa)
        .file("ecdsa.pem", &ecdsa.certificate)
        .file("ecdsa.key", &ecdsa.key)
        .env("TLS_CERT", "cert.pem,ecdsa.pem")
        .env("TLS_KEY", "key.pem,ecdsa.key")
        .start()
        .await;
    let client = Tls::trusting(&authority)
        .connect(gateway.https(), "api.test")
        .await
        .unwrap();
    assert!(
        client.shown() == der(&ecdsa),
        "whatever the order of the files"
    );
    let address = gateway.https().to_string();
    let output = run(
        "openssl",
        &[
            "s_client",
            "-connect",
            &address,
            "-servername",
            "api.test",
            "-sigalgs",
            "RSA-PSS+SHA256:RSA+SHA256",
        ],
    )
    .await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("Peer signature type: RSA-PSS"), "{text}");
}

#[tokio::test]
async fn a_changed_certificate_is_shown_and_no_connection_is_lost() {
    let authority = Authority::new("test");
    let (old, new) = (
        authority.issue(&["api.test"]),
        authority.issue(&["api.test"]),
    );
    let backend = Backend::ok().await;
    let gateway = showing(&backend, &old).start().await;
    let tls = Tls::trusting(&authority);
    let mut before = tls.connect(gateway.https(), "api.test").await.unwrap();
    assert!(before.shown() == der(&old));
    std::fs::write(gateway.folder().join("cert.pem"), &new.certificate).unwrap();
    std::fs::write(gateway.folder().join("key.pem"), &new.key).unwrap();
    reloads(&gateway, "success", 1).await;
    let after = tls.connect(gateway.https(), "api.test").await.unwrap();
    assert!(after.shown() == der(&new));
    assert_eq!(before.get("api.test", "/", &[]).await.status(), 200);
}

#[tokio::test]
async fn a_link_that_leads_elsewhere_is_a_change() {
    let authority = Authority::new("test");
    let (old, new) = (
        authority.issue(&["api.test"]),
        authority.issue(&["api.test"]),
    );
    let backend = Backend::ok().await;
    let folder = std::env::temp_dir().join(format!("api-gateway-links-{:x}", fastrand::u64(..)));
    for (name, issued) in [("1", &old), ("2", &new)] {
        std::fs::create_dir_all(folder.join(name)).unwrap();
        std::fs::write(folder.join(name).join("tls.crt"), &issued.certificate).unwrap();
        std::fs::write(folder.join(name).join("tls.key"), &issued.key).unwrap();
    }
    // As Kubernetes does with secrets.
    std::os::unix::fs::symlink("1", folder.join("..data")).unwrap();
    let gateway = showing(&backend, &old)
        .env("TLS_CERT", folder.join("..data/tls.crt"))
        .env("TLS_KEY", folder.join("..data/tls.key"))
        .start()
        .await;
    std::os::unix::fs::symlink("2", folder.join("..new")).unwrap();
    std::fs::rename(folder.join("..new"), folder.join("..data")).unwrap();
    reloads(&gateway, "success", 1).await;
    let client = Tls::trusting(&authority)
        .connect(gateway.https(), "api.test")
        .await
        .unwrap();
    assert!(client.shown() == der(&new));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn one_bad_certificate_breaks_neither_its_own_name_nor_others() {
    let authority = Authority::new("test");
    let (good, bad) = (
        authority.issue(&["good.test"]),
        authority.issue(&["bad.test"]),
    );
    let renewed = authority.issue(&["good.test"]);
    let backend = Backend::ok().await;
    let gateway = showing(&backend, &good)
        .file("bad.pem", &bad.certificate)
        .file("bad.key", &bad.key)
        .env("TLS_CERT", "cert.pem,bad.pem")
        .env("TLS_KEY", "key.pem,bad.key")
        .start()
        .await;
    let tls = Tls::trusting(&authority);
    std::fs::write(gateway.folder().join("bad.pem"), "garbage").unwrap();
    reloads(&gateway, "failure", 1).await;
    std::fs::write(gateway.folder().join("cert.pem"), &renewed.certificate).unwrap();
    std::fs::write(gateway.folder().join("key.pem"), &renewed.key).unwrap();
    reloads(&gateway, "success", 1).await;
    for (name, issued) in [("good.test", &renewed), ("bad.test", &bad)] {
        let client = tls.connect(gateway.https(), name).await.unwrap();
        assert!(client.shown() == der(issued), "{name}");
    }
    let diagnostics = gateway.diagnostics().join("\n");
    assert!(
        diagnostics.contains("bad.pem: holds no certificate"),
        "{diagnostics}"
    );
    // A file that is gone is no reason to stop, either.
    let failures = gateway
        .metric("api_gateway_tls_reloads_total{result=\"failure\"}")
        .await;
    std::fs::remove_file(gateway.folder().join("bad.key")).unwrap();
    reloads(&gateway, "failure", failures + 1).await;
    tls.connect(gateway.https(), "bad.test").await.unwrap();
}

#[tokio::test]
async fn an_expired_certificate_is_served_with_a_loud_warning() {
    let authority = Authority::new("test");
    let backend = Backend::ok().await;
    let gateway = showing(&backend, &authority.issue_expired(&["api.test"]))
        .start()
        .await;
    let diagnostics = gateway.diagnostics().join("\n");
    assert!(
        diagnostics
            .contains("cert.pem: the certificate for api.test HAS EXPIRED (2021-01-01T00:00:00Z)"),
        "{diagnostics}"
    );
    let series = format!("{NOT_AFTER}{{name=\"api.test\",file=\"cert.pem\"}}");
    assert_eq!(gateway.metric(&series).await, 1_609_459_200);
    let address = gateway.https().to_string();
    let output = run("openssl", &["s_client", "-connect", &address]).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.contains("NotAfter: Jan  1 00:00:00 2021 GMT"),
        "{text}"
    );
}

#[tokio::test]
async fn an_ocsp_response_is_stapled() {
    let authority = Authority::new("test");
    let issued = authority.issue(&["api.test"]);
    let backend = Backend::ok().await;
    let gateway = gateway()
        .routes(&everything_to(&backend.url()))
        .file("cert.pem", &issued.certificate)
        .file("key.pem", &issued.key)
        // The smallest one there is: "try later" (RFC 6960 §4.2.1).
        .file("cert.ocsp", "\x30\x03\x0a\x01\x03")
        .file(
            "listeners.json",
            &json!({
                "certificates": [
                    { "certificate": "cert.pem", "key": "key.pem", "ocsp": "cert.ocsp" }
                ],
                "listeners": [{ "address": "127.0.0.1:0", "tls": true }]
            })
            .to_string(),
        )
        .env("LISTENERS_FILE", "listeners.json")
        .start()
        .await;
    let address = gateway.https().to_string();
    let output = run("openssl", &["s_client", "-connect", &address, "-status"]).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.contains("OCSP Response Status: trylater (0x3)"),
        "{text}"
    );
}

#[tokio::test]
async fn old_versions_are_refused_where_that_is_asked_for() {
    let authority = Authority::new("test");
    let issued = authority.issue(&["api.test"]);
    let backend = Backend::ok().await;
    let listeners = json!({
        "certificates": [{ "certificate": "cert.pem", "key": "key.pem" }],
        "listeners": [
            { "address": "127.0.0.1:0", "tls": { "minVersion": "1.3" } },
            { "address": "127.0.0.1:0", "tls": true }
        ]
    });
    let gateway = gateway()
        .routes(&everything_to(&backend.url()))
        .file("cert.pem", &issued.certificate)
        .file("key.pem", &issued.key)
        .file("listeners.json", &listeners.to_string())
        .env("LISTENERS_FILE", "listeners.json")
        .start()
        .await;
    let [new, usual] = gateway.listening("https")[..] else {
        panic!("two listeners");
    };
    let tls = Tls::trusting(&authority);
    let old = tls.clone().versions(ONLY_TLS_1_2);
    assert!(old.connect(new, "api.test").await.is_err());
    assert!(tls.connect(new, "api.test").await.is_ok());
    assert!(old.connect(usual, "api.test").await.is_ok());
    // Anything older is never spoken.
    let address = usual.to_string();
    let output = run(
        "openssl",
        &[
            "s_client",
            "-connect",
            &address,
            "-tls1_1",
            "-cipher",
            "ALL:@SECLEVEL=0",
        ],
    )
    .await;
    assert!(!output.status.success(), "{output:?}");
}

#[tokio::test]
async fn the_key_exchange_is_hybrid_where_the_client_can() {
    let authority = Authority::new("test");
    let backend = Backend::ok().await;
    let gateway = showing(&backend, &authority.issue(&["api.test"]))
        .start()
        .await;
    let client = Tls::trusting(&authority)
        .connect(gateway.https(), "api.test")
        .await
        .unwrap();
    let group = client.stream.get_ref().1.negotiated_key_exchange_group();
    assert_eq!(
        group.map(|it| it.name()),
        Some(rustls::NamedGroup::X25519MLKEM768)
    );
}

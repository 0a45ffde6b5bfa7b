//! Settings and files that cannot be meant.

use serde_json::json;
use testkit::{Authority, GatewayBuilder};

use super::fixtures::BOTH;
use crate::{everything_to, gateway};

fn checking() -> GatewayBuilder {
    gateway()
        .argument("check")
        .routes(&everything_to("http://127.0.0.1:1"))
}

async fn complains(builder: GatewayBuilder, parts: &[&str]) {
    let (status, _, errors) = builder.finish().await;
    assert_eq!(status.code(), Some(1), "{errors}");
    for part in parts {
        assert!(errors.contains(part), "{part}: {errors}");
    }
    // Nothing of a key is shown: all of them are P-256 keys in PKCS #8, which begin so.
    assert!(!errors.contains("MIGHAgEAMBMGByqGSM49"), "{errors}");
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named() {
    let authority = Authority::new("test");
    let (one, other) = (authority.issue(&["a.test"]), authority.issue(&["b.test"]));
    let with = |certificate: &str, key: &str| {
        checking()
            .file("cert.pem", certificate)
            .file("key.pem", key)
            .env("LISTEN", BOTH)
            .env("TLS_CERT", "cert.pem")
            .env("TLS_KEY", "key.pem")
    };
    let encrypted = one.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let cut: String = one
        .certificate
        .lines()
        .take(4)
        .collect::<Vec<_>>()
        .join("\n");
    for (certificate, key, part) in [
        (
            &*one.certificate,
            &*other.key,
            "key.pem: is not the key of cert.pem",
        ),
        ("", &one.key, "cert.pem: holds no certificate"),
        (&one.key, &one.key, "cert.pem: holds no certificate"),
        (&cut, &one.key, "cert.pem: is not valid PEM"),
        (&one.certificate, "", "key.pem: holds no private key"),
        (
            &one.certificate,
            &one.certificate,
            "key.pem: holds no private key",
        ),
        (
            &one.certificate,
            &encrypted,
            "key.pem: is encrypted; decrypt it",
        ),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            &one.key,
            "cert.pem: holds what is no X.509 certificate",
        ),
        (
            &one.certificate,
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "key.pem: is of a kind that is not supported",
        ),
    ] {
        complains(with(certificate, key), &[part]).await;
    }
    let missing = with(&one.certificate, &one.key).env("TLS_KEY", "nowhere.pem");
    complains(missing, &["nowhere.pem: cannot be read: No such file"]).await;
    // A gateway that is to serve does not start, either.
    let (status, _, errors) = gateway()
        .file("cert.pem", &one.certificate)
        .file("key.pem", &other.key)
        .env("LISTEN", BOTH)
        .env("TLS_CERT", "cert.pem")
        .env("TLS_KEY", "key.pem")
        .finish()
        .await;
    assert_eq!(status.code(), Some(1));
    assert!(
        errors.contains("key.pem: is not the key of cert.pem"),
        "{errors}"
    );
}

#[tokio::test]
async fn settings_that_contradict_each_other_are_told() {
    for (settings, part) in [
        (
            &[("LISTEN", "https://[::]:8443")][..],
            "LISTEN (environment): holds https://, and there is no certificate",
        ),
        (
            &[("TLS_CERT", "a"), ("TLS_KEY", "b")],
            "TLS_CERT (environment): needs an address for TLS",
        ),
        (
            &[("LISTEN", BOTH), ("TLS_CERT", "a,b"), ("TLS_KEY", "c")],
            "TLS_KEY (environment): names 1 files, and TLS_CERT 2",
        ),
        (
            &[("LISTEN", BOTH), ("TLS_CERT", "a")],
            "TLS_CERT (environment): names 0 files, and TLS_CERT 1",
        ),
        (
            &[("HTTPS_REDIRECT", "on")],
            "HTTPS_REDIRECT (environment): needs an address for TLS",
        ),
        (
            &[("TLS_CLIENT_CA", "a")],
            "TLS_CLIENT_CA (environment): needs an address for TLS",
        ),
        (
            &[("LISTEN", "http://:80,:80")],
            "LISTEN (environment): holds [::]:80 twice",
        ),
        (&[("LISTEN", "ftp://[::]:80")], "must be an address such as"),
        (&[("LISTEN", "localhost:80")], "must be an address such as"),
        (
            &[("LISTENERS_FILE", "a.json"), ("LISTEN", ":80")],
            "LISTEN (environment): stands together with LISTENERS_FILE",
        ),
        (
            &[("PROXY_PROTOCOL", "on")],
            "PROXY_PROTOCOL: needs TRUSTED_PROXIES",
        ),
        (
            &[("PROXY_PROTOCOL", "on"), ("TRUSTED_PROXY_HOPS", "1")],
            "PROXY_PROTOCOL: needs TRUSTED_PROXIES",
        ),
        (
            &[("LISTENERS_FILE", "nowhere.json")],
            "nowhere.json: LISTENERS_FILE cannot be read",
        ),
    ] {
        let builder = settings.iter().fold(checking(), |builder, (name, value)| {
            builder.env(name, value)
        });
        complains(builder, &[part]).await;
    }
}

#[tokio::test]
async fn mistakes_in_the_file_of_listeners_have_their_places() {
    let listener = |keys: serde_json::Value| {
        let mut listener = json!({ "address": "127.0.0.1:0" });
        listener
            .as_object_mut()
            .unwrap()
            .extend(keys.as_object().unwrap().clone());
        json!({ "listeners": [listener] })
    };
    for (file, part) in [
        (json!({}), "\"listeners\" is missing"),
        (json!({ "listeners": [] }), "must not be empty"),
        (
            listener(json!({ "adress": "x" })),
            "did you mean \"address\"?",
        ),
        (
            listener(json!({ "address": "443" })),
            "\"443\" must be an address with a port",
        ),
        (
            listener(json!({ "tls": true })),
            "a listener has \"tls\", and there are no \"certificates\"",
        ),
        (
            listener(json!({ "tls": { "minVersion": "1.1" } })),
            "\"1.1\" must be \"1.2\" or \"1.3\"",
        ),
        (
            listener(json!({ "redirectToHttps": true })),
            "there is no listener with \"tls\" to redirect to",
        ),
        (
            listener(json!({ "tls": true, "redirectToHttps": true })),
            "this listener has \"tls\" itself",
        ),
        (
            listener(json!({ "tls": { "clientAuth": { "ca": "ca.pem", "mode": "maybe" } } })),
            "\"maybe\" must be \"required\" or \"optional\"",
        ),
        (
            listener(json!({ "tls": { "clientAuth": { "ca": "ca.pem", "forward": "all" } } })),
            "\"all\" must be \"certificate\", \"chain\" or \"nothing\"",
        ),
        (
            json!({ "listeners": [{ "address": "[::]:80" }, { "address": "[::]:80" }] }),
            "another listener has [::]:80, too",
        ),
        (
            json!({
                "listeners": [{ "address": "[::]:80" }],
                "certificates": [{ "certificate": "a", "key": "b" }]
            }),
            "no listener shows them",
        ),
    ] {
        let builder = checking()
            .file("conf/listeners.json", &file.to_string())
            .env("LISTENERS_FILE", "conf/listeners.json");
        complains(builder, &["conf/listeners.json:1:", part]).await;
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_with_its_setting() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let (status, _, errors) = gateway()
        .routes(&everything_to("http://127.0.0.1:1"))
        .env("LISTEN", format!("127.0.0.1:0,{address}"))
        .finish()
        .await;
    assert_eq!(status.code(), Some(1));
    let expected = format!("LISTEN: {address} is in use by another program");
    assert!(errors.contains(&expected), "{errors}");
}

//! Purging, by the admin listener and by the command line.

use serde_json::{Value, json};
use testkit::{ADMIN_FIELD, Client, Gateway, Message};

use super::{answer, backend, get, in_front_of, status, with};
use crate::gateway;

/// Cached at `/a`, `/b/1`, `/b/2` and `/c`, each with its number; `/c` has the tag `red`.
async fn filled(gateway: &Gateway) {
    for (number, target) in ["/a?x=1", "/b/1", "/b/2", "/c"].into_iter().enumerate() {
        assert_eq!(get(gateway, target, &[]).await.text(), number.to_string());
        assert_eq!(get(gateway, target, &[]).await.text(), number.to_string());
    }
}

async fn tagging() -> testkit::Backend {
    backend(|request, number| {
        let tag = if request.target() == "/c" {
            "Cache-Tag: blue, red\r\n"
        } else {
            ""
        };
        let fields = format!("ETag: \"{number}\"\r\n{tag}");
        answer("200 OK", &fields, &number.to_string())
    })
    .await
}

async fn post(gateway: &Gateway, fields: &[&str], body: &str) -> Message {
    let mut admin = Client::connect(gateway.admin()).await;
    let length = format!("Content-Length: {}", body.len());
    admin
        .request(
            "POST",
            "/cache/purge",
            &[fields, &[ADMIN_FIELD, &length]].concat(),
        )
        .await;
    admin.send(body).await;
    admin.response().await
}

pub(super) async fn purge(gateway: &Gateway, what: &Value) -> Message {
    post(
        gateway,
        &["Content-Type: application/json"],
        &what.to_string(),
    )
    .await
}

/// What the test's clients ask.
pub(super) const ORIGIN: &str = "http://gateway.test";

#[tokio::test]
async fn what_is_purged_is_asked_for_again_and_nothing_else() {
    for (what, gone) in [
        (json!({ "url": "/a?x=1" }), &["/a?x=1"][..]),
        (json!({ "url": "/a" }), &[]),
        (json!({ "prefix": "/b/" }), &["/b/1", "/b/2"]),
        (json!({ "tag": "red" }), &["/c"]),
        (json!({ "tag": "green" }), &[]),
        (json!({ "all": true }), &["/a?x=1", "/b/1", "/b/2", "/c"]),
    ] {
        let backend = tagging().await;
        let gateway = in_front_of(&backend).await;
        filled(&gateway).await;
        let mut what = what;
        for key in ["url", "prefix"] {
            if let Some(path) = what.get(key).and_then(Value::as_str) {
                what[key] = json!(format!("{ORIGIN}{path}"));
            }
        }
        let purged = purge(&gateway, &what).await;
        assert_eq!(
            (purged.status(), purged.json()),
            (200, json!({ "purged": what }))
        );
        for target in ["/a?x=1", "/b/1", "/b/2", "/c"] {
            let answer = get(&gateway, target, &[]).await;
            let is_gone = status(&answer) == "fwd=uri-miss; stored";
            assert_eq!(
                is_gone,
                gone.contains(&target),
                "{what} {target} {answer:?}"
            );
        }
    }
}

#[tokio::test]
async fn what_is_purged_softly_is_validated() {
    let backend = backend(|request, _| match request.field("if-none-match") {
        Some(_) => "HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\n\r\n".to_owned(),
        None => answer("200 OK", "ETag: \"1\"\r\n", "x"),
    })
    .await;
    let gateway = in_front_of(&backend).await;
    get(&gateway, "/", &[]).await;
    purge(&gateway, &json!({ "all": true, "soft": true })).await;
    let answer = get(&gateway, "/", &[]).await;
    assert!(
        status(&answer).starts_with("fwd=stale; fwd-status=304"),
        "{answer:?}"
    );
    assert!(status(&get(&gateway, "/", &[]).await).starts_with("hit"));
}

#[tokio::test]
async fn what_cannot_be_understood_or_comes_from_a_web_page_purges_nothing() {
    let backend = tagging().await;
    let gateway = in_front_of(&backend).await;
    get(&gateway, "/a", &[]).await;
    let json = "Content-Type: application/json";
    let all = r#"{"all": true}"#;
    for (fields, body, status) in [
        (&[json, "Origin: http://evil.example"][..], all, 403),
        (&["Content-Type: text/plain"], all, 415),
        (&[], all, 415),
        (&[json], "{", 400),
        (&[json], "{}", 400),
        (&[json], r#"{"all": true, "tag": "x"}"#, 400),
        (&[json], r#"{"tag": ""}"#, 400),
        (&[json], r#"{"url": "/a"}"#, 400),
        (&[json], r#"{"every": true}"#, 422),
    ] {
        let refused = post(&gateway, fields, body).await;
        assert_eq!(refused.status(), status, "{body}: {}", refused.text());
        assert!(refused.json()["error"].is_string());
    }
    assert!(super::status(&get(&gateway, "/a", &[]).await).starts_with("hit"));
    let mut admin = Client::connect(gateway.admin()).await;
    admin.request("GET", "/cache/purge", &[ADMIN_FIELD]).await;
    assert_eq!(admin.response().await.status(), 405);
}

#[tokio::test]
async fn where_nothing_is_cached_nothing_can_be_purged() {
    let backend = tagging().await;
    let gateway = with(json!({ "path": "/*path", "targetURL": backend.url() }))
        .start()
        .await;
    let refused = purge(&gateway, &json!({ "all": true })).await;
    assert_eq!(refused.status(), 409);
}

#[tokio::test]
async fn the_command_line_purges_too() {
    for arguments in [
        &["--url", "http://gateway.test/a"][..],
        &["--prefix", "http://gateway.test/"],
        &["--tag", "red"],
        &["--all"],
        &["--all", "--soft"],
    ] {
        let backend = super::numbering("Cache-Tag: red\r\n").await;
        let running = in_front_of(&backend).await;
        assert_eq!(get(&running, "/a", &[]).await.text(), "0");
        let mut command = gateway().argument("cache").argument("purge");
        for argument in arguments {
            command = command.argument(argument);
        }
        let (status, _, errors) = command
            .env("ADMIN_ADDR", running.admin().to_string())
            .finish()
            .await;
        assert!(status.success(), "{arguments:?}: {errors}");
        assert_eq!(get(&running, "/a", &[]).await.text(), "1", "{arguments:?}");
    }
}

#[tokio::test]
async fn the_command_line_says_why_nothing_was_purged() {
    let backend = tagging().await;
    let running = in_front_of(&backend).await;
    let purge = |address: String, arguments: &'static [&'static str]| async move {
        let mut command = gateway().argument("cache").argument("purge");
        for argument in arguments {
            command = command.argument(argument);
        }
        let (status, _, errors) = command.env("ADMIN_ADDR", address).finish().await;
        assert!(!status.success());
        errors
    };
    let admin = running.admin().to_string();
    for (address, arguments, message) in [
        (admin.clone(), &["--url", "/a"][..], "must be a URL"),
        (admin.clone(), &[], "required"),
        (admin, &["--all", "--tag", "a"], "cannot be used with"),
        ("off".to_owned(), &["--all"], "ADMIN_ADDR is off"),
        ("127.0.0.1:1".to_owned(), &["--all"], "does not answer"),
    ] {
        let errors = purge(address, arguments).await;
        assert!(errors.contains(message), "{errors}");
    }
}

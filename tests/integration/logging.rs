//! What the logs tell.

use std::process::Stdio;

use testkit::{Backend, within};

use crate::{everything_to, gateway, in_front_of};

#[tokio::test]
async fn a_line_tells_all_about_a_request() {
    let backend = Backend::ok().await;
    let gateway = in_front_of(&backend).await;
    let mut client = gateway.client().await;
    client
        .send("POST /a/b?token=secret HTTP/1.1\r\nHost: gateway.test\r\nUser-Agent: \"quoted\" \\ agent\r\nX-Request-ID: id-1\r\nContent-Length: 5\r\n\r\nhello")
        .await;
    client.response().await;
    let line = &gateway.log(1).await[0];
    for (key, value) in [
        ("requestId", "id-1".into()),
        ("client", "127.0.0.1".into()),
        ("method", "POST".into()),
        ("path", "/a/b".into()),
        ("host", "gateway.test".into()),
        ("route", "/{*path}".into()),
        ("status", 200.into()),
        ("error", serde_json::Value::Null),
        ("bytesIn", 5.into()),
        ("bytesOut", 2.into()),
        ("upstream", backend.address().to_string().into()),
        ("protocol", "HTTP/1.1".into()),
        ("userAgent", "\"quoted\" \\ agent".into()),
    ] {
        assert_eq!(line[key], value, "{key}");
    }
    let (total, upstream) = (
        line["durationMs"].as_f64().unwrap(),
        line["upstreamMs"].as_f64().unwrap(),
    );
    assert!(upstream > 0.0 && total >= upstream, "{line}");
    let time = line["time"].as_str().unwrap();
    assert!(time.len() == 24 && time.ends_with('Z'), "{time}");
    assert!(
        !line.to_string().contains("secret"),
        "queries stay out of the log"
    );
}

#[tokio::test]
async fn bytes_that_are_no_request_have_a_line_too() {
    let backend = Backend::ok().await;
    let gateway = in_front_of(&backend).await;
    let mut client = gateway.client().await;
    client.send("nonsense\r\n\r\n").await;
    client.response().await;
    let line = &gateway.log(1).await[0];
    assert_eq!(
        (line["status"].as_u64(), line["error"].as_str()),
        (Some(400), Some("malformed-request"))
    );
    assert!(line["method"].is_null() && line["path"].is_null() && line["upstream"].is_null());
}

#[tokio::test]
async fn lines_go_to_standard_output_or_nowhere() {
    let backend = Backend::ok().await;
    for (setting, style, expected) in [
        ("stdout", "json", "\"status\":200"),
        ("stdout", "text", "GET / 200"),
        ("off", "json", ""),
    ] {
        let folder =
            std::env::temp_dir().join(format!("api-gateway-stdout-{:x}", fastrand::u64(..)));
        let file = std::fs::File::create(&folder).unwrap();
        let mut gateway = gateway()
            .routes(&everything_to(&backend.url()))
            .env("ACCESS_LOG", setting)
            .env("ACCESS_LOG_FORMAT", style)
            .stdout(Stdio::from(file))
            .start()
            .await;
        gateway.client().await.get("/").await;
        gateway.signal("TERM").await;
        assert!(gateway.exit().await.success());
        let text = std::fs::read_to_string(&folder).unwrap();
        std::fs::remove_file(&folder).unwrap();
        assert!(
            text.contains(expected) && text.lines().count() == usize::from(!expected.is_empty()),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_log_that_nobody_reads_stalls_nothing() {
    let backend = Backend::ok().await;
    // A pipe whose reader sleeps: it takes 64 KiB and no more.
    let (reader, writer) = std::io::pipe().unwrap();
    let mut gateway = gateway()
        .routes(&everything_to(&backend.url()))
        .env("ACCESS_LOG", "stdout")
        .stdout(Stdio::from(writer))
        .start()
        .await;
    let mut client = gateway.client().await;
    // Far more than pipe, buffers and queue hold together.
    let agent = format!("User-Agent: {}", "x".repeat(50_000));
    within("answers", async {
        for _ in 0..200 {
            client.request("GET", "/", &[&agent]).await;
            assert_eq!(client.response().await.status(), 200);
        }
    })
    .await;
    gateway.signal("TERM").await;
    assert!(gateway.exit().await.success(), "it also ends");
    drop(reader);
}

#[tokio::test]
async fn a_log_file_that_cannot_be_opened_stops_the_start() {
    let (status, _, error) = gateway()
        .env("ACCESS_LOG", "/nowhere/access.log")
        .finish()
        .await;
    assert!(!status.success());
    assert!(
        error.contains("ACCESS_LOG: cannot append to /nowhere/access.log"),
        "{error}"
    );
}

#[tokio::test]
async fn secrets_appear_in_no_log() {
    let backend = Backend::ok().await;
    let mut gateway = gateway()
        .routes(&everything_to(&backend.url()))
        .env("JWT_SECRET", "hush-hush-hush")
        .env("LOG_LEVEL", "trace")
        .start()
        .await;
    let mut client = gateway.client().await;
    client
        .request("GET", "/?key=s3cr3t", &["Authorization: Bearer s3cr3t"])
        .await;
    client.response().await;
    let line = gateway.log(1).await[0].to_string();
    gateway.signal("TERM").await;
    gateway.exit().await;
    let all = gateway.diagnostics().join("\n") + &line;
    assert!(!all.contains("hush-hush-hush") && !all.contains("s3cr3t"));
}

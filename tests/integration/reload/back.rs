//! The way back to what was served before.

use std::time::Duration;

use serde_json::json;
use testkit::{Backend, GatewayBuilder};

use super::{change, file, route, saying, status, wait_for};
use crate::gateway;

#[tokio::test]
async fn applied_files_are_kept_compared_and_served_again() {
    let backend = saying("x").await;
    let builder = gateway().routes(&file(&[route("first", &backend)]));
    let state = builder.folder().join("state");
    let gateway = builder.env("STATE_DIR", &state).start().await;
    change(&gateway, &file(&[route("second", &backend)])).await;
    let cli = |arguments: &[&str]| {
        let builder = GatewayBuilder::new(env!("CARGO_BIN_EXE_api-gateway"))
            .env("STATE_DIR", &state)
            .env("ROUTES_CONFIG_PATH", gateway.folder().join("routes.json"))
            .env("ADMIN_ADDR", gateway.admin().to_string());
        let builder = arguments
            .iter()
            .fold(builder, |builder, it| builder.argument(it));
        builder.finish()
    };
    let (_, listed, _) = cli(&["config", "history"]).await;
    assert_eq!(listed.lines().count(), 2, "{listed}");
    assert!(
        listed
            .lines()
            .next()
            .unwrap_or_default()
            .ends_with("as the routes file")
    );
    let (_, diff, _) = cli(&["config", "diff", "2"]).await;
    assert!(
        diff.contains("\n-") && diff.contains("first") && diff.contains("second"),
        "{diff}"
    );
    let (done, said, error) = cli(&["config", "rollback"]).await;
    assert!(
        done.success() && said.contains("is as it was"),
        "{said}{error}"
    );
    assert_eq!(status(&gateway, "/first/x").await, 200);
    assert_eq!(status(&gateway, "/second/x").await, 404);
    let (done, _, error) = cli(&["config", "rollback", "99"]).await;
    assert!(
        !done.success() && error.contains("config history"),
        "{error}"
    );
    // The file counts again when it is changed.
    change(&gateway, &file(&[route("third", &backend)])).await;
    assert_eq!(status(&gateway, "/third/x").await, 200);
}

#[tokio::test]
async fn a_start_with_a_broken_file_serves_the_last_good_one_if_that_is_wanted() {
    let backend = saying("x").await;
    let good = file(&[route("good", &backend)]).to_string();
    let started = |switch: &'static str| {
        // As it would have been kept.
        let kept = format!("state/routes/00001700000000000-{}.json", "0123456789ab");
        let builder = gateway().routes(&json!({"routes": 1})).file(&kept, &good);
        let state = builder.folder().join("state");
        builder
            .env("STATE_DIR", state)
            .env("START_FROM_LAST_GOOD", switch)
    };
    let gateway = started("true").start().await;
    assert_eq!(status(&gateway, "/good/x").await, 200);
    let (done, _, error) = started("false").finish().await;
    assert!(
        !done.success() && error.contains("routes.json:1"),
        "{error}"
    );
}

#[tokio::test]
async fn a_change_that_makes_requests_fail_is_taken_back() {
    let (good, bad) = (
        saying("good").await,
        Backend::scripted(|mut connection| async move {
            while connection.request().await.is_some() {
                connection
                    .send("HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n")
                    .await;
            }
        })
        .await,
    );
    let gateway = gateway()
        .routes(&file(&[route("a", &good)]))
        .env("ROLLBACK_WINDOW", "60")
        .env("ROLLBACK_MIN_REQUESTS", "20")
        .start()
        .await;
    let mut client = gateway.client().await;
    for _ in 0..20 {
        assert_eq!(client.get("/a/x").await.status(), 200);
    }
    change(&gateway, &file(&[route("a", &bad)])).await;
    for _ in 0..20 {
        assert_eq!(client.get("/a/x").await.status(), 500);
    }
    wait_for(
        &gateway,
        "api_gateway_config_reloads_total{result=\"rollback\"} ",
        1,
    )
    .await;
    assert_eq!(client.get("/a/x").await.status(), 200);
    gateway
        .wait_for_diagnostics(1, "it has been taken back")
        .await;
    // What is in the file is not tried again until it is another.
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(client.get("/a/x").await.status(), 200);
}

#[tokio::test]
async fn routes_are_served_where_they_cannot_be_kept() {
    let backend = saying("x").await;
    let builder = gateway()
        .routes(&file(&[route("first", &backend)]))
        .file("state", "no folder");
    let state = builder.folder().join("state");
    let gateway = builder.env("STATE_DIR", &state).start().await;
    gateway
        .wait_for_diagnostics(
            1,
            "STATE_DIR: the routes file that was applied cannot be kept",
        )
        .await;
    change(&gateway, &file(&[route("second", &backend)])).await;
    assert_eq!(status(&gateway, "/second/x").await, 200);
}

#[tokio::test]
async fn a_start_from_the_last_good_file_serves_the_mended_one() {
    let backend = saying("x").await;
    let good = file(&[route("good", &backend)]).to_string();
    let kept = "state/routes/00001700000000000-0123456789ab.json";
    let builder = gateway().routes(&json!({"routes": 1})).file(kept, &good);
    let state = builder.folder().join("state");
    let gateway = builder
        .env("STATE_DIR", state)
        .env("START_FROM_LAST_GOOD", "true")
        .start()
        .await;
    assert_eq!(status(&gateway, "/good/x").await, 200);
    change(&gateway, &file(&[route("mended", &backend)])).await;
    assert_eq!(status(&gateway, "/mended/x").await, 200);
}

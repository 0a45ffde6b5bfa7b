//! What the files may be like.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use testkit::{ADMIN_FIELD, Client, Gateway, within};

use super::{REFUSED, change, file, route, saying, status, wait_for};
use crate::gateway;

#[tokio::test]
async fn a_broken_file_changes_nothing_however_often_it_comes() {
    let backend = saying("x").await;
    let routes = file(&[route("a", &backend)]);
    let gateway = gateway().routes(&routes).start().await;
    for number in 1..=100_u64 {
        let broken = match number % 3 {
            0 => format!("{{\"routes\": [ {number}"),
            1 => json!({"routes": [{"path": "/x", "targetURL": format!("ftp://{number}")}]})
                .to_string(),
            _ => format!("{{\"routes\": [{{\"path\": \"/x\", \"nonsense\": {number}}}]}}"),
        };
        gateway.set_routes(&broken);
        gateway.signal("HUP").await;
        wait_for(&gateway, REFUSED, number).await;
        assert_eq!(status(&gateway, "/a/x").await, 200);
    }
    assert_eq!(gateway.metric("api_gateway_config_generation ").await, 1);
    assert_eq!(
        gateway
            .metric("api_gateway_config_last_reload_success ")
            .await,
        0
    );
    // Where, and what: as "check" says it.
    let mut admin = Client::connect(gateway.admin()).await;
    admin.request("GET", "/config/status", &[ADMIN_FIELD]).await;
    let told = admin.response().await.text();
    assert!(told.contains("routes.json:1:"), "{told}");
    change(&gateway, &file(&[route("b", &backend)])).await;
    assert_eq!(status(&gateway, "/b/x").await, 200);
    assert_eq!(
        gateway
            .metric("api_gateway_config_last_reload_success ")
            .await,
        1
    );
}

#[tokio::test]
async fn a_file_that_is_gone_changes_nothing() {
    let backend = saying("x").await;
    let routes = file(&[route("a", &backend)]);
    let gateway = gateway().routes(&routes).start().await;
    std::fs::remove_file(gateway.folder().join("routes.json")).unwrap();
    wait_for(&gateway, REFUSED, 1).await;
    assert_eq!(status(&gateway, "/a/x").await, 200);
    change(&gateway, &file(&[route("b", &backend)])).await;
    assert_eq!(status(&gateway, "/b/x").await, 200);
}

#[tokio::test]
async fn the_links_of_a_config_map_are_followed() {
    let backend = saying("x").await;
    let builder = gateway()
        .file(
            "mounted/..first/routes.json",
            &file(&[route("a", &backend)]).to_string(),
        )
        .file(
            "mounted/..second/routes.json",
            &file(&[route("b", &backend)]).to_string(),
        );
    let mounted = builder.folder().join("mounted");
    let link = |target: &str, name: &str| {
        let unfinished = mounted.join("..tmp");
        std::os::unix::fs::symlink(target, &unfinished).unwrap();
        std::fs::rename(unfinished, mounted.join(name)).unwrap();
    };
    link("..first", "..data");
    link("..data/routes.json", "routes.json");
    let path = mounted.join("routes.json");
    let gateway = builder.env("ROUTES_CONFIG_PATH", &path).start().await;
    assert_eq!(status(&gateway, "/a/x").await, 200);
    link("..second", "..data");
    std::fs::remove_dir_all(mounted.join("..first")).unwrap();
    wait_for(&gateway, "api_gateway_config_generation ", 2).await;
    assert_eq!(status(&gateway, "/b/x").await, 200);
    assert_eq!(status(&gateway, "/a/x").await, 404);
}

#[tokio::test]
async fn what_is_no_routes_file_changes_nothing() {
    let backend = saying("x").await;
    let routes = file(&[route("a", &backend)]);
    let gateway = gateway().routes(&routes).start().await;
    let path = gateway.folder().join("routes.json");
    let folder = gateway.folder().to_owned();
    let make_pipe = || {
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
    };
    let link = |target: &str| std::os::unix::fs::symlink(folder.join(target), &path).unwrap();
    let empty = |size: u64| std::fs::File::create(&path).unwrap().set_len(size).unwrap();
    let cases: [(&str, &dyn Fn()); 7] = [
        ("is no regular file", &|| {
            std::fs::create_dir(&path).unwrap()
        }),
        // Whoever opened it would wait for somebody to write.
        ("is no regular file", &make_pipe),
        ("is no regular file", &|| {
            std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        }),
        ("cannot be read", &|| link("nowhere")),
        ("cannot be read", &|| link("routes.json")),
        ("is larger than 64 MiB", &|| empty(100 * 1024 * 1024)),
        ("routes.json:1:1", &|| empty(0)),
    ];
    for (expected, put) in cases {
        match std::fs::symlink_metadata(&path).unwrap().is_dir() {
            true => std::fs::remove_dir(&path).unwrap(),
            false => std::fs::remove_file(&path).unwrap(),
        }
        put();
        gateway.signal("HUP").await;
        within(expected, async {
            while !errors(&gateway).await.contains(expected) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        assert_eq!(status(&gateway, "/a/x").await, 200);
    }
    std::fs::remove_file(&path).unwrap();
    change(&gateway, &file(&[route("b", &backend)])).await;
    assert_eq!(status(&gateway, "/b/x").await, 200);
    assert_eq!(errors(&gateway).await, "[]");
}

/// What was wrong with the last reload.
async fn errors(gateway: &Gateway) -> String {
    let mut admin = Client::connect(gateway.admin()).await;
    admin.request("GET", "/config/status", &[ADMIN_FIELD]).await;
    admin.response().await.json()["errors"].to_string()
}

#[tokio::test]
async fn a_file_that_nobody_has_named_is_missed_once_it_was_there() {
    let backend = saying("x").await;
    let routes = file(&[route("a", &backend)]).to_string();
    let gateway = gateway().file("configs/routes.json", &routes).start().await;
    assert_eq!(status(&gateway, "/other").await, 404);
    std::fs::remove_file(gateway.folder().join("configs/routes.json")).unwrap();
    wait_for(&gateway, REFUSED, 1).await;
    // Not everything to the default backend.
    assert_eq!(status(&gateway, "/other").await, 404);
    assert_eq!(status(&gateway, "/a/x").await, 200);
}

#[tokio::test]
async fn a_file_that_was_not_there_is_served_when_it_comes() {
    let backend = saying("x").await;
    let gateway = gateway().env("BACKEND_URL", backend.url()).start().await;
    assert_eq!(status(&gateway, "/other").await, 200);
    gateway.signal("HUP").await;
    wait_for(&gateway, "api_gateway_config_generation ", 2).await;
    assert_eq!(status(&gateway, "/other").await, 200);
    let folder = gateway.folder().join("configs");
    std::fs::create_dir(&folder).unwrap();
    let routes = file(&[route("a", &backend)]).to_string();
    std::fs::write(folder.join("routes.json"), routes).unwrap();
    wait_for(&gateway, "api_gateway_config_generation ", 3).await;
    assert_eq!(status(&gateway, "/other").await, 404);
    assert_eq!(status(&gateway, "/a/x").await, 200);
}

#[tokio::test]
async fn secrets_that_come_through_a_pipe_are_read_once() {
    let backend = saying("x").await;
    let (reader, mut writer) = std::io::pipe().unwrap();
    std::io::Write::write_all(&mut writer, br#"{"consumers": []}"#).unwrap();
    drop(writer);
    let gateway = gateway()
        .routes(&file(&[route("a", &backend)]))
        .stdin_from(reader)
        .env("CONSUMERS_FILE", "/dev/stdin")
        .start()
        .await;
    // Long enough for files to be looked at.
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(gateway.metric(REFUSED).await, 0);
    gateway.signal("HUP").await;
    wait_for(&gateway, REFUSED, 1).await;
    assert!(errors(&gateway).await.contains("is no regular file"));
    assert_eq!(status(&gateway, "/a/x").await, 200);
}

#[tokio::test]
async fn changes_that_come_all_at_once_end_with_the_last_one() {
    let backend = saying("x").await;
    let gateway = gateway()
        .routes(&file(&[route("stays", &backend)]))
        .start()
        .await;
    let gateway = Arc::new(gateway);
    let askers = (0..8).map(|_| {
        let gateway = Arc::clone(&gateway);
        tokio::spawn(async move {
            let mut admin = Client::connect(gateway.admin()).await;
            for _ in 0..10 {
                admin
                    .request(
                        "POST",
                        "/config/reload",
                        &[ADMIN_FIELD, "Content-Length: 0"],
                    )
                    .await;
                assert_eq!(admin.response().await.status(), 200);
            }
        })
    });
    let askers: Vec<_> = askers.collect();
    for number in 0..40 {
        let routes = file(&[
            route(&format!("r{number}"), &backend),
            route("stays", &backend),
        ]);
        gateway.set_routes(&routes.to_string());
        gateway.signal("HUP").await;
        assert_eq!(status(&gateway, "/stays/x").await, 200);
    }
    for asker in askers {
        within("an asker", asker).await.unwrap();
    }
    within("the last one", async {
        while status(&gateway, "/r39/x").await != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(gateway.metric(REFUSED).await, 0);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let in_memory = "api_gateway_config_generations_in_memory ";
    assert_eq!(gateway.metric(in_memory).await, 1);
}

#[tokio::test]
async fn settings_that_have_changed_are_named_and_not_shown() {
    let backend = saying("x").await;
    let gateway = gateway()
        .routes(&file(&[route("a", &backend)]))
        .file(
            ".env",
            "DRAIN_TIMEOUT=7\nJWT_SECRET=the-first-of-two-secrets\nLOG_LEVEL=info\n",
        )
        .env("KEEP_ALIVE_TIMEOUT", "5")
        .start()
        .await;
    let path = gateway.folder().join(".env");
    let changed = "DRAIN_TIMEOUT=8\nJWT_SECRET=the-second-of-two-secrets\nLOG_LEVEL=info\nKEEP_ALIVE_TIMEOUT=9\n";
    std::fs::write(path, changed).unwrap();
    gateway.signal("HUP").await;
    gateway
        .wait_for_diagnostics(1, "JWT_SECRET, DRAIN_TIMEOUT in the .env file")
        .await;
    let diagnostics = gateway.diagnostics().concat();
    assert!(!diagnostics.contains("of-two-secrets"), "{diagnostics}");
}

//! What is cached on disk: it is there after a restart, and nothing of it that was purged or damaged.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use testkit::{Backend, Gateway, GatewayBuilder, Message, within};

use super::purging::{ORIGIN, purge};
use super::{answer, backend, cached, cached_as, get, numbering, send, status, with};

/// A folder that goes with this value.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("api-gateway-disk-{}-{number}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn blocks(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.0.join("data")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

fn on_disk(builder: GatewayBuilder, folder: &Path) -> GatewayBuilder {
    builder
        .env("CACHE_DISK_PATH", folder)
        .env("CACHE_DISK_SIZE", "128MiB")
}

async fn start(backend: &Backend, folder: &Folder) -> Gateway {
    on_disk(with(cached(&backend.url())), &folder.0)
        .start()
        .await
}

/// Waits until the tier has been given so many responses.
async fn written(gateway: &Gateway, tier: &str, count: u64) {
    let series =
        format!("api_gateway_cache_tier_writes_total{{tier=\"{tier}\",result=\"written\"}}");
    within(&series, async {
        while gateway.metric(&series).await < count {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    // Handed over is not on disk yet.
    tokio::time::sleep(Duration::from_millis(200)).await;
}

async fn kill(mut gateway: Gateway) {
    gateway.signal("KILL").await;
    gateway.exit().await;
}

fn is_from_disk(message: &Message) -> bool {
    let status = status(message);
    status.starts_with("hit; ttl=") && status.ends_with("; detail=disk")
}

#[tokio::test]
async fn what_was_cached_is_there_after_a_restart_with_its_age() {
    let (folder, large) = (Folder::new(), "x".repeat(300_000));
    let body = large.clone();
    let backend = backend(move |request, number| match request.target() {
        "/large" => answer("200 OK", "", &body),
        "/v" => answer("200 OK", "Vary: Accept-Language\r\n", &number.to_string()),
        _ => answer("200 OK", "Age: 7\r\nETag: \"e\"\r\n", &number.to_string()),
    })
    .await;
    for sign in ["TERM", "KILL"] {
        let mut gateway = start(&backend, &folder).await;
        let small = get(&gateway, "/small", &[]).await.text();
        get(&gateway, "/large", &[]).await;
        get(&gateway, "/v", &["Accept-Language: en"]).await;
        let french = get(&gateway, "/v", &["Accept-Language: fr"]).await.text();
        if sign == "TERM" {
            written(&gateway, "disk", 4).await;
        }
        gateway.signal(sign).await;
        gateway.exit().await;

        let gateway = start(&backend, &folder).await;
        let answer = get(&gateway, "/small", &[]).await;
        assert!(is_from_disk(&answer), "{sign}: {}", status(&answer));
        assert_eq!(answer.text(), small);
        let age: u32 = answer.field("age").unwrap().parse().unwrap();
        assert!((7..60).contains(&age), "{age}");
        assert_eq!(get(&gateway, "/large", &[]).await.text(), large);
        let answer = get(&gateway, "/v", &["Accept-Language: fr"]).await;
        assert!(is_from_disk(&answer), "{}", status(&answer));
        assert_eq!(answer.text(), french);
        let unknown = format!("Accept-Language: x-{sign}");
        let other = get(&gateway, "/v", &[&unknown]).await;
        assert!(!is_from_disk(&other), "{}", status(&other));
        // From memory now, and also for who has it already.
        let again = get(&gateway, "/small", &["If-None-Match: \"e\""]).await;
        assert_eq!(again.status(), 304);
        assert!(!status(&again).contains("detail"), "{}", status(&again));
        kill(gateway).await;
    }
}

#[tokio::test]
async fn what_was_purged_does_not_come_back_after_a_restart() {
    let folder = Folder::new();
    let backend = numbering("Cache-Tag: t\r\n").await;
    for what in [
        json!({ "url": format!("{ORIGIN}/a") }),
        json!({ "prefix": format!("{ORIGIN}/a") }),
        json!({ "tag": "t" }),
        json!({ "all": true }),
    ] {
        let gateway = start(&backend, &folder).await;
        get(&gateway, "/a", &[]).await;
        written(&gateway, "disk", 1).await;
        assert_eq!(purge(&gateway, &what).await.status(), 200);
        kill(gateway).await;
        let gateway = start(&backend, &folder).await;
        let answer = get(&gateway, "/a", &[]).await;
        assert_eq!(status(&answer), "fwd=uri-miss; stored", "{what}");
        written(&gateway, "disk", 1).await;
        kill(gateway).await;
        let gateway = start(&backend, &folder).await;
        let answer = get(&gateway, "/a", &[]).await;
        assert!(is_from_disk(&answer), "{what}: {}", status(&answer));
        purge(&gateway, &json!({ "all": true })).await;
        kill(gateway).await;
    }
}

#[tokio::test]
async fn what_an_unsafe_request_makes_invalid_does_not_come_back() {
    let folder = Folder::new();
    let backend = numbering("").await;
    let gateway = start(&backend, &folder).await;
    get(&gateway, "/a", &[]).await;
    written(&gateway, "disk", 1).await;
    assert_eq!(send(&gateway, "POST", "/a", &[]).await.status(), 200);
    tokio::time::sleep(Duration::from_millis(200)).await;
    kill(gateway).await;
    let gateway = start(&backend, &folder).await;
    let answer = get(&gateway, "/a", &[]).await;
    assert_eq!(status(&answer), "fwd=uri-miss; stored");
}

#[tokio::test]
async fn a_softly_purged_answer_is_validated_after_a_restart() {
    let folder = Folder::new();
    let backend = backend(|request, number| {
        if request.field("if-none-match") == Some("\"e\"") {
            return "HTTP/1.1 304 Not Modified\r\nETag: \"e\"\r\n\r\n".to_owned();
        }
        answer("200 OK", "ETag: \"e\"\r\n", &number.to_string())
    })
    .await;
    let gateway = start(&backend, &folder).await;
    get(&gateway, "/a", &[]).await;
    written(&gateway, "disk", 1).await;
    purge(&gateway, &json!({ "all": true, "soft": true })).await;
    kill(gateway).await;
    let gateway = start(&backend, &folder).await;
    let answer = get(&gateway, "/a", &[]).await;
    assert_eq!(answer.text(), "0");
    assert!(
        status(&answer).contains("fwd=stale; fwd-status=304"),
        "{}",
        status(&answer)
    );
}

#[tokio::test]
async fn a_dead_backend_is_answered_for_from_disk() {
    let folder = Folder::new();
    let backend = numbering("Cache-Control: max-age=1\r\n").await;
    let route = cached_as(&backend.url(), json!({ "staleIfError": "1h" }));
    let gateway = on_disk(with(route.clone()), &folder.0).start().await;
    get(&gateway, "/a", &[]).await;
    written(&gateway, "disk", 1).await;
    kill(gateway).await;
    super::end(backend).await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let gateway = on_disk(with(route), &folder.0).start().await;
    let answer = get(&gateway, "/a", &[]).await;
    assert_eq!((answer.status(), answer.text().as_str()), (200, "0"));
    assert!(
        status(&answer).contains("detail=stale-if-error"),
        "{}",
        status(&answer)
    );
}

#[tokio::test]
async fn of_many_at_once_one_asks_the_disk() {
    let folder = Folder::new();
    let backend = numbering("").await;
    let gateway = start(&backend, &folder).await;
    get(&gateway, "/a", &[]).await;
    written(&gateway, "disk", 1).await;
    kill(gateway).await;
    let gateway = start(&backend, &folder).await;
    let answers = futures_util::future::join_all((0..100).map(|_| get(&gateway, "/a", &[]))).await;
    assert!(answers.iter().all(|it| it.text() == "0"));
    let hits = "api_gateway_cache_tier_lookups_total{tier=\"disk\",result=\"hit\"}";
    let asked = gateway.metric(hits).await;
    // Those that come when the first has been answered find it in memory.
    assert_eq!(asked, 1);
}

#[tokio::test]
async fn damaged_files_are_skipped_and_written_anew() {
    type Damage = fn(&Folder);
    let damages: [(&str, Damage); 5] = [
        ("flipped", |folder| {
            for block in folder.blocks() {
                let mut bytes = std::fs::read(&block).unwrap();
                for at in (0..bytes.len().min(200_000)).step_by(101) {
                    bytes[at] ^= 0x55;
                }
                std::fs::write(&block, bytes).unwrap();
            }
        }),
        ("truncated", |folder| {
            for block in folder.blocks() {
                let file = std::fs::OpenOptions::new().write(true).open(block).unwrap();
                // In the middle of the first response, which comes after a page that says where it is.
                file.set_len(4_096 + 100).unwrap();
            }
        }),
        ("garbage", |folder| {
            for block in folder.blocks() {
                std::fs::write(block, b"garbage ".repeat(1_000_000)).unwrap();
            }
            std::fs::write(folder.0.join("data/other"), "garbage").unwrap();
        }),
        ("a damaged journal", |folder| {
            let mut bytes = std::fs::read(folder.0.join("purges")).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            std::fs::write(folder.0.join("purges"), bytes).unwrap();
        }),
        ("a journal of another version", |folder| {
            std::fs::write(folder.0.join("purges"), b"agcj\x63later").unwrap();
        }),
    ];
    for (name, damage) in damages {
        let folder = Folder::new();
        let backend = numbering("").await;
        let gateway = start(&backend, &folder).await;
        get(&gateway, "/a", &[]).await;
        written(&gateway, "disk", 1).await;
        kill(gateway).await;
        damage(&folder);
        let gateway = start(&backend, &folder).await;
        let answer = get(&gateway, "/a", &[]).await;
        assert_eq!(answer.text(), "1", "{name}");
        assert_eq!(status(&answer), "fwd=uri-miss; stored", "{name}");
        written(&gateway, "disk", 1).await;
        kill(gateway).await;
        let gateway = start(&backend, &folder).await;
        let answer = get(&gateway, "/a", &[]).await;
        assert!(is_from_disk(&answer), "{name}: {}", status(&answer));
        assert_eq!(answer.text(), "1", "{name}");
    }
}

#[tokio::test]
async fn a_folder_of_another_size_is_no_obstacle() {
    let folder = Folder::new();
    let backend = numbering("").await;
    for size in ["256MiB", "128MiB", "512MiB"] {
        let gateway = on_disk(with(cached(&backend.url())), &folder.0)
            .env("CACHE_DISK_SIZE", size)
            .start()
            .await;
        assert_eq!(get(&gateway, "/a", &[]).await.text(), "0", "{size}");
        if size == "256MiB" {
            written(&gateway, "disk", 1).await;
        }
        kill(gateway).await;
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_told_of_at_the_start() {
    let folder = Folder::new();
    let backend = numbering("").await;
    let gateway = start(&backend, &folder).await;
    let (status, _, errors) = on_disk(with(cached(&backend.url())), &folder.0)
        .finish()
        .await;
    assert!(!status.success());
    assert!(
        errors.contains("CACHE_DISK_PATH")
            && errors.contains("is in use by another gateway; give each a folder of its own"),
        "{errors}"
    );
    drop(gateway);

    // A file where the folder is to be, which stops even those who may write everywhere.
    let file = Folder::new();
    std::fs::write(&file.0, "").unwrap();
    let (status, _, errors) = on_disk(with(cached(&backend.url())), &file.0.join("cache"))
        .finish()
        .await;
    let _gone = std::fs::remove_file(&file.0);
    assert!(!status.success());
    assert!(
        errors.contains("CACHE_DISK_PATH")
            && errors.contains("it has to be a folder that the gateway may write to"),
        "{errors}"
    );
}

//! Another process takes over, and nobody notices.

use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use testkit::load::{Load, Reuse};
use testkit::{Backend, Client, Gateway, within};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::shutdown::slow;
use crate::{PROGRAM, everything_to, gateway};

#[tokio::test]
async fn no_request_fails_while_one_process_takes_over_from_another() {
    let backend = Backend::ok().await;
    let mut gateway = gateway()
        .routes(&everything_to(&backend.url()))
        .env("WORKERS", "2")
        .env("ACCESS_LOG", "off")
        .start()
        .await;
    let mut kept = Load::steady(gateway.address(), 300.0, Duration::from_secs(4));
    kept.methods = vec!["GET", "POST"];
    let fresh = Load {
        reuse: Reuse::Fresh,
        ..kept.clone()
    };
    let (kept, fresh) = (kept.start(), fresh.start());
    let first = gateway.pid();
    let mut pids = vec![first];
    for turn in 1..=3 {
        kept.until(Duration::from_secs(turn)).await;
        pids.push(gateway.upgrade().await);
    }
    pids.dedup();
    assert_eq!(pids.len(), 4);
    for report in [kept.finish().await, fresh.finish().await] {
        assert_eq!(report.failed(), 0, "{:?}", report.failures_by_kind());
        assert_eq!(report.total(), 1200);
    }
    assert_eq!(
        gateway.exit().await.code(),
        Some(0),
        "the first has drained"
    );
}

#[tokio::test]
async fn what_is_in_flight_ends_where_it_began_and_what_is_idle_may_still_be_used() {
    let backend = slow(700).await;
    let mut gateway = gateway()
        .routes(&everything_to(&backend.url()))
        .start()
        .await;
    let mut busy = gateway.client().await;
    busy.request("GET", "/", &[]).await;
    let mut silent = gateway.client().await;
    backend.wait_for_requests(1).await;
    gateway.upgrade().await;
    assert_eq!(busy.response().await.status(), 200);
    // It belongs to the process before, and has not been used.
    let answer = silent.get("/").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.field("connection"), Some("close"));
    assert_eq!(gateway.exit().await.code(), Some(0));
    assert_eq!(gateway.client().await.get("/").await.status(), 200);
}

#[tokio::test]
async fn idle_connections_are_closed_when_half_of_the_shutdown_time_is_over() {
    let backend = Backend::ok().await;
    let mut gateway = gateway()
        .routes(&everything_to(&backend.url()))
        .env("SHUTDOWN_TIMEOUT", "1")
        .start()
        .await;
    let mut idle = gateway.client().await;
    idle.get("/").await;
    gateway.upgrade().await;
    assert!(idle.is_silent_for(Duration::from_millis(200)).await);
    assert_eq!(idle.rest().await, b"");
    assert_eq!(gateway.exit().await.code(), Some(0));
}

#[tokio::test]
async fn a_process_that_cannot_start_changes_nothing() {
    let backend = Backend::ok().await;
    let gateway = gateway()
        .routes(&everything_to(&backend.url()))
        .start()
        .await;
    let mut client = gateway.client().await;
    let routes = gateway.folder().join("routes.json");
    std::fs::write(routes, "{ broken").unwrap();
    for turn in 1..=2 {
        gateway.signal("USR2").await;
        gateway
            .wait_for_diagnostics(turn, "not upgraded; this process goes on")
            .await;
        assert_eq!(client.get("/").await.status(), 200);
        assert_eq!(gateway.client().await.get("/").await.status(), 200);
    }
    assert_eq!(gateway.serving().await, Some(gateway.pid()));
    assert!(
        gateway.diagnostics().concat().contains("routes.json:1:"),
        "it says why"
    );
}

#[tokio::test]
async fn a_signal_to_stop_ends_an_upgrade_as_well() {
    let backend = Backend::ok().await;
    let mut gateway = gateway()
        .routes(&everything_to(&backend.url()))
        .start()
        .await;
    let address = gateway.address();
    gateway.signal("USR2").await;
    gateway
        .wait_for_diagnostics(1, "another process is starting")
        .await;
    gateway.signal("TERM").await;
    assert_eq!(gateway.exit().await.code(), Some(0));
    within("the port to be free", async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

async fn command(gateway: &Gateway) -> (bool, String) {
    let output = Command::new(PROGRAM)
        .env_clear()
        .current_dir(gateway.folder())
        .env("ADMIN_ADDR", gateway.admin().to_string())
        .arg("upgrade")
        .stdin(Stdio::null())
        .output();
    let output = within("the command", output).await.unwrap();
    let told = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(told).unwrap())
}

#[tokio::test]
async fn the_command_upgrades_and_says_what_has_come_of_it() {
    let backend = Backend::ok().await;
    let mut gateway = gateway()
        .routes(&everything_to(&backend.url()))
        .start()
        .await;
    let before = gateway.pid();
    let (succeeded, told) = command(&gateway).await;
    let now = gateway.succeeded(before).await;
    assert!(
        succeeded && told.contains(&format!("process {now} ")),
        "{told}"
    );
    assert!(told.contains(&format!("from process {before} ")), "{told}");

    std::fs::write(gateway.folder().join("routes.json"), "{ broken").unwrap();
    let (succeeded, told) = command(&gateway).await;
    assert!(!succeeded && told.contains("not upgraded"), "{told}");
    assert_eq!(gateway.serving().await, Some(now));
}

#[tokio::test]
async fn the_service_manager_hears_who_is_the_main_process() {
    let folder = std::env::temp_dir().join(format!("api-gateway-notify-{:x}", fastrand::u64(..)));
    std::fs::create_dir(&folder).unwrap();
    let path = folder.join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let manager = Arc::new(manager);
    let heard = || {
        let manager = Arc::clone(&manager);
        tokio::task::spawn_blocking(move || {
            let mut message = [0; 256];
            let length = manager.recv(&mut message).expect("a message");
            String::from_utf8_lossy(&message[..length]).into_owned()
        })
    };
    let backend = Backend::ok().await;
    let mut gateway = gateway()
        .routes(&everything_to(&backend.url()))
        .env("NOTIFY_SOCKET", &path)
        .start()
        .await;
    assert_eq!(heard().await.unwrap(), "READY=1");
    let now = gateway.upgrade().await;
    assert_eq!(heard().await.unwrap(), format!("MAINPID={now}\nREADY=1"));
    assert_eq!(gateway.exit().await.code(), Some(0));
    gateway.signal_serving("TERM").await;
    assert_eq!(heard().await.unwrap(), "STOPPING=1");
    std::fs::remove_dir_all(folder).unwrap();
}

/// A gateway that systemd's own tool starts with its sockets at the first connection, which is made.
pub(crate) async fn activated(
    sockets: &[(&str, &str)],
    settings: &[(&str, &str)],
) -> tokio::process::Child {
    let mut command = Command::new("systemd-socket-activate");
    for (address, _) in sockets {
        command.args(["-l", address]);
    }
    let names: Vec<&str> = sockets.iter().map(|(_, name)| *name).collect();
    command.arg(format!("--fdname={}", names.join(":")));
    for (name, value) in settings {
        command.arg(format!("--setenv={name}={value}"));
    }
    command
        .arg(PROGRAM)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let started = command.spawn();
    let started = started.expect("systemd-socket-activate is missing: apt-get install systemd");
    within("a first connection", async {
        while TcpStream::connect(sockets[0].0).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    started
}

#[tokio::test]
async fn sockets_of_systemd_are_served_by_all_workers() {
    let backend = Backend::ok().await;
    let (port, admin) = (testkit::free_port(), testkit::free_port());
    let (http, admin) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{admin}"));
    let _gateway = activated(
        &[(&http, "web"), (&admin, "admin")],
        &[
            ("HOST", "127.0.0.1"),
            ("PORT", &port.to_string()),
            ("ADMIN_ADDR", "127.0.0.1:0"),
            ("WORKERS", "3"),
            ("BACKEND_URL", &backend.url()),
            ("ACCESS_LOG", "off"),
        ],
    )
    .await;
    // The first connection has started it, and others wait with it.
    for _ in 0..20 {
        let mut client = Client::connect(http.parse().unwrap()).await;
        assert_eq!(client.get("/").await.status(), 200);
    }
    let mut client = Client::connect(admin.parse().unwrap()).await;
    assert_eq!(client.get("/readyz").await.status(), 200);
}

#[tokio::test]
async fn a_socket_that_no_setting_is_about_stops_the_start() {
    let (port, other) = (testkit::free_port(), testkit::free_port());
    let http = format!("127.0.0.1:{port}");
    let gateway = activated(
        &[(&http, "web")],
        &[
            ("HOST", "127.0.0.1"),
            ("PORT", &other.to_string()),
            ("ADMIN_ADDR", "off"),
        ],
    )
    .await;
    let output = within("the end", gateway.wait_with_output()).await.unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        told.contains(&format!("LISTEN_FDS: a socket at {http}")),
        "{told}"
    );
    assert_eq!(output.status.code(), Some(1));
}

#[tokio::test]
async fn the_admin_listener_is_handed_over_too_and_only_one_process_answers_there() {
    let backend = Backend::silent().await;
    let mut gateway = gateway()
        .routes(&everything_to(&backend.url()))
        .start()
        .await;
    // Keeps the process before alive.
    let mut client = gateway.client().await;
    client.request("GET", "/", &[]).await;
    backend.wait_for_requests(1).await;
    let now = gateway.upgrade().await;
    gateway.wait_for_diagnostics(1, "draining").await;
    for _ in 0..50 {
        let mut admin = Client::connect(gateway.admin()).await;
        assert_eq!(admin.get("/process").await.json()["pid"], now);
        assert_eq!(admin.get("/readyz").await.status(), 200);
    }
}

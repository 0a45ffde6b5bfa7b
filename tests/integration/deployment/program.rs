//! What the program does for those who run it in containers and as a service.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use testkit::{Backend, Client, within};

use crate::{everything_to, gateway, in_front_of};

#[tokio::test]
async fn the_health_check_passes_while_requests_are_taken() {
    let backend = Backend::ok().await;
    let gateway = in_front_of(&backend).await;
    let (status, _, error) = check(&gateway.admin().to_string(), &[]).await;
    assert_eq!((status, error.as_str()), (Some(0), ""));
}

#[tokio::test]
async fn the_health_check_of_a_listener_on_all_addresses_asks_on_loopback() {
    let backend = Backend::ok().await;
    let gateway = gateway()
        .routes(&everything_to(&backend.url()))
        .env("ADMIN_ADDR", "0.0.0.0:0")
        .start()
        .await;
    let address = format!("0.0.0.0:{}", gateway.admin().port());
    assert_eq!(check(&address, &[]).await.0, Some(0));
}

#[tokio::test]
async fn the_health_check_fails_while_the_gateway_drains_but_it_still_lives() {
    let backend = Backend::silent().await;
    let gateway = in_front_of(&backend).await;
    let mut client = gateway.client().await;
    client.request("GET", "/", &[]).await;
    backend.wait_for_requests(1).await;
    gateway.signal("TERM").await;
    gateway.wait_for_diagnostics(1, "draining").await;
    let admin = gateway.admin().to_string();
    let (status, _, error) = check(&admin, &[]).await;
    assert_eq!(status, Some(1));
    assert!(error.contains("says 503"), "{error}");
    assert_eq!(check(&admin, &["--live"]).await.0, Some(0));
}

#[tokio::test]
async fn the_health_check_says_what_keeps_it_from_asking() {
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap().to_string();
    drop(nobody);
    let (status, _, error) = check(&address, &[]).await;
    assert_eq!(status, Some(1));
    assert!(
        error.contains(&format!("{address} does not answer")),
        "{error}"
    );
    let (status, _, error) = check("off", &[]).await;
    assert_eq!(status, Some(1));
    assert!(error.contains("ADMIN_ADDR is off"), "{error}");
}

async fn check(admin: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = gateway().argument("healthcheck").env("ADMIN_ADDR", admin);
    for argument in arguments {
        command = command.argument(argument);
    }
    let (status, output, error) = command.finish().await;
    (status.code(), output, error)
}

#[tokio::test]
async fn the_service_manager_is_told_when_requests_are_taken_and_when_the_end_begins() {
    let folder = std::env::temp_dir().join(format!("api-gateway-notify-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("socket");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let told = || {
        let mut bytes = [0; 256];
        let length = manager.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    let backend = Backend::ok().await;
    let mut gateway = gateway()
        .routes(&everything_to(&backend.url()))
        .env("NOTIFY_SOCKET", &path)
        .start()
        .await;
    assert_eq!(told(), "READY=1");
    assert_eq!(gateway.client().await.get("/").await.status(), 200);
    // A manager that has asked for a reload waits for both, whatever comes of it.
    for routes in [
        everything_to(&backend.url()),
        serde_json::json!({"routes": 1}),
    ] {
        gateway.set_routes(&routes.to_string());
        gateway.signal("HUP").await;
        let said = told();
        let time = said.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
        assert!(time.is_some_and(|it| it.parse::<u64>().is_ok()), "{said}");
        assert_eq!(told(), "READY=1");
    }
    assert_eq!(gateway.client().await.get("/").await.status(), 200);
    gateway.signal("TERM").await;
    assert_eq!(told(), "STOPPING=1");
    assert_eq!(gateway.exit().await.code(), Some(0));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn the_sample_backends_serve_a_gateway_elsewhere() {
    // An address of their own: another demo may run here.
    const ADDRESS: &str = "127.0.0.81";
    let mut backends = std::process::Command::new(crate::PROGRAM)
        .args(["demo", "--backends"])
        .env_clear()
        .env("HOST", ADDRESS)
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let users = format!("{ADDRESS}:8081");
    let listening = async {
        while tokio::net::TcpStream::connect(&users).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within("the sample backends to listen", listening).await;
    let mut client = Client::connect(users.parse().unwrap()).await;
    assert_eq!(client.get("/").await.status(), 200);
    let told = std::process::Command::new("kill")
        .arg(backends.id().to_string())
        .status();
    assert!(told.unwrap().success());
    assert_eq!(backends.wait().unwrap().code(), Some(0));
}

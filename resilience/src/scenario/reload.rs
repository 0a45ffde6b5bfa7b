//! Routes are replaced again and again, under load and with idle WebSockets.
#![allow(
    clippy::expect_used,
    reason = "without its stage the scenario has nothing to tell"
)]

use std::time::Duration;

use serde_json::{Value, json};
use testkit::load::Load;
use testkit::{ADMIN_FIELD, Client, Gateway, faults::FaultyBackend, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, interval};

use super::Outcome;
use crate::Plan;
use crate::stage::gateway;

/// Between two reloads.
const PAUSE: Duration = Duration::from_millis(200);
/// Sockets that are opened at once.
const AT_ONCE: usize = 200;
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
/// A text of one letter; the mask is none.
const HELLO: &[u8] = &[0x81, 0x81, 0, 0, 0, 0, b'x'];

pub(super) async fn run(plan: &Plan) -> Outcome {
    let (plain, sockets) = (FaultyBackend::start().await, echo().await);
    let routes = |number: usize| routes(&plain.url(), &sockets, number);
    let gateway = gateway(plan)
        .env("WATCH_CONFIG", "false")
        .env("DRAIN_TIMEOUT", "1")
        .routes(&routes(0))
        .start()
        .await;
    let mut open = Vec::new();
    while open.len() < plan.sockets {
        let most = AT_ONCE.min(plan.sockets - open.len());
        let opened = (0..most).map(|_| tokio::spawn(connect(gateway.address())));
        for socket in opened.collect::<Vec<_>>() {
            open.push(socket.await.expect("a socket"));
        }
    }
    let mut admin = Client::connect(gateway.admin()).await;
    let duration = PAUSE * u32::try_from(plan.reloads).unwrap_or(u32::MAX);
    let load = Load::steady(gateway.address(), plan.rate, duration);
    let under_load = tokio::spawn(load.run());
    let (mut memory, mut longest) = (Vec::new(), Duration::ZERO);
    let mut pace = interval(PAUSE);
    for number in 1..=plan.reloads {
        pace.tick().await;
        gateway.set_routes(&routes(number).to_string());
        let began = Instant::now();
        admin
            .request(
                "POST",
                "/config/reload",
                &[ADMIN_FIELD, "Content-Length: 0"],
            )
            .await;
        assert_eq!(admin.response().await.status(), 200, "reload {number}");
        longest = longest.max(began.elapsed());
        memory.push(resident(&gateway));
    }
    let report = under_load.await.expect("the load");
    let mut closed = 0;
    for socket in &mut open {
        closed += usize::from(!is_alive(socket).await);
    }
    let at = |share: usize| {
        memory
            .get(memory.len() * share / 100)
            .copied()
            .unwrap_or_default()
            / 1024
    };
    Outcome::new(format!(
        "{} reloads, {} idle WebSockets",
        plan.reloads, plan.sockets
    ))
    .failures("failed requests", &report)
    .figure("WebSockets closed", format!("{closed} of {}", plan.sockets))
    .figure(
        "resident memory, MiB, after 10 %, 50 % and all of the reloads",
        format!(
            "{}, {}, {}",
            at(10),
            at(50),
            memory.last().copied().unwrap_or_default() / 1024
        ),
    )
    .figure("longest reload", format!("{longest:?}"))
}

/// Every file has other routes than the one before, besides the two that stay.
fn routes(plain: &str, sockets: &str, number: usize) -> Value {
    let others = (0..20).map(|it| {
        let name = format!("r{}", number + it);
        json!({"name": name, "path": format!("/{name}/*rest"), "targetURL": plain, "timeout": 1 + number % 50})
    });
    let stay = [
        json!({"name": "sockets", "path": "/socket", "targetURL": sockets}),
        json!({"name": "plain", "path": "/*rest", "targetURL": plain}),
    ];
    json!({ "routes": others.chain(stay).collect::<Vec<_>>() })
}

/// The URL of a server that switches protocols, and sends back what it gets.
async fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    format!("http://{address}")
}

async fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    drop(head);
    stream.write_all(SWITCH.as_bytes()).await?;
    let mut bytes = [0; 64];
    loop {
        match stream.read(&mut bytes).await? {
            0 => return Ok(()),
            read => stream.write_all(&bytes[..read]).await?,
        }
    }
}

async fn connect(address: std::net::SocketAddr) -> TcpStream {
    let mut stream = within("connecting", TcpStream::connect(address))
        .await
        .expect("a connection");
    let request = "GET /socket HTTP/1.1\r\nHost: gateway.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream
        .write_all(request.as_bytes())
        .await
        .expect("a request");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let read = within("the switch", stream.read_buf(&mut head)).await;
        assert!(read.is_ok_and(|read| read > 0), "no switch: {head:?}");
    }
    stream
}

async fn is_alive(socket: &mut TcpStream) -> bool {
    let mut answer = [0; HELLO.len()];
    socket.write_all(HELLO).await.is_ok()
        && within("an echo", socket.read_exact(&mut answer))
            .await
            .is_ok()
        && answer == HELLO
}

/// The resident memory of the gateway, in KiB.
fn resident(gateway: &Gateway) -> u64 {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", gateway.pid())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    number.unwrap_or_default()
}

//! A backend that does as it is told.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::Query;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{any, get};
use serde_json::json;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use crate::load::{Answer, Connection};

/// Milliseconds that an answer takes.
static LATENCY: AtomicU64 = AtomicU64::new(1);
/// The status of answers.
static STATUS: AtomicU64 = AtomicU64::new(200);
static REQUESTS: AtomicU64 = AtomicU64::new(0);

/// Serves until SIGTERM, and then what is in flight.
pub(crate) async fn serve(port: u16) -> anyhow::Result<()> {
    let router = Router::new()
        .route("/control", get(control))
        .route("/health", get(async || "ok"))
        .fallback(any(answer));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    let mut stop = signal(SignalKind::terminate())?;
    axum::serve(listener, router)
        .with_graceful_shutdown(async move {
            stop.recv().await;
        })
        .await?;
    Ok(())
}

async fn answer(_: HeaderMap) -> (StatusCode, &'static str) {
    REQUESTS.fetch_add(1, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(LATENCY.load(Ordering::Relaxed))).await;
    let status = u16::try_from(STATUS.load(Ordering::Relaxed)).unwrap_or(500);
    (StatusCode::from_u16(status).unwrap_or_default(), "ok")
}

/// Sets what the query names, and tells how many requests there have been.
async fn control(Query(set): Query<HashMap<String, String>>) -> String {
    // One at a time.
    static ORDER: Mutex<()> = Mutex::new(());
    let _order = ORDER.lock();
    for (name, place) in [("latency", &LATENCY), ("status", &STATUS)] {
        if let Some(value) = set.get(name).and_then(|value| value.parse().ok()) {
            place.store(value, Ordering::Relaxed);
        }
    }
    json!({ "requests": REQUESTS.load(Ordering::Relaxed) }).to_string()
}

/// A backend in a process of its own; it goes with this value.
pub(crate) struct Backend {
    port: u16,
    child: Child,
}

impl Backend {
    /// Starts one on a free port.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let free = std::net::TcpListener::bind("127.0.0.1:0")?
            .local_addr()?
            .port();
        Self::start_on(free).await
    }

    /// Starts one there.
    pub(crate) async fn start_on(port: u16) -> anyhow::Result<Self> {
        let child = Command::new(std::env::current_exe()?)
            .args(["backend", "--port", &port.to_string()])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let backend = Self { port, child };
        for _ in 0..200 {
            if backend.control("").await.is_ok() {
                return Ok(backend);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        anyhow::bail!("the backend does not start")
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Sets what `query` says; the requests so far.
    pub(crate) async fn control(&self, query: &str) -> anyhow::Result<u64> {
        let mut connection = Connection::open(([127, 0, 0, 1], self.port).into()).await?;
        let request = format!("GET /control?{query} HTTP/1.1\r\nHost: a\r\n\r\n");
        let Answer { body, .. } = connection.exchange(&request).await?;
        let told: serde_json::Value = serde_json::from_slice(&body)?;
        told["requests"].as_u64().context("a number")
    }

    /// Ends it at once.
    pub(crate) async fn kill(mut self) -> anyhow::Result<u16> {
        self.child.kill().await?;
        Ok(self.port)
    }

    /// Has it finish what is in flight, and end.
    pub(crate) async fn drain(mut self) -> anyhow::Result<u16> {
        let pid = self.child.id().context("a running backend")?;
        Command::new("kill")
            .args(["-s", "TERM", &pid.to_string()])
            .status()
            .await?;
        tokio::time::timeout(Duration::from_secs(10), self.child.wait()).await??;
        Ok(self.port)
    }
}

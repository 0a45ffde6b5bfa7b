//! A real OpenTelemetry collector, Rotel, that tells of every span it gets.

use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::folder::Folder;
use crate::port::free_port;
use crate::process::spawn;
use crate::within;

/// Where `scripts/tools` puts it.
const PROGRAM: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../target/tools/rotel/rotel/rotel-agent"
);

/// A running collector; it goes with this value.
#[derive(Debug)]
pub struct Collector {
    _child: Child,
    port: u16,
    folder: Folder,
}

/// A span, as the collector has understood it.
#[derive(Debug, Clone, Default)]
pub struct Span {
    /// 32 digits.
    pub trace_id: String,
    /// 16 digits, or nothing.
    pub parent_id: String,
    /// 16 digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Such as `SPAN_KIND_SERVER`.
    pub kind: String,
    /// Such as `STATUS_CODE_ERROR`.
    pub status: String,
    /// From its start to its end.
    pub nanoseconds: u64,
    /// Values as the collector writes them: `Str(a)`, `Int(1)`.
    pub attributes: HashMap<String, String>,
    /// The traces that it is linked to.
    pub links: Vec<String>,
    /// What is said of who has sent it.
    pub resource: HashMap<String, String>,
}

impl Collector {
    /// Starts one, and waits until it listens.
    pub async fn start() -> Self {
        let (port, grpc, folder) = (free_port(), free_port(), Folder::new());
        let log = std::fs::File::create(folder.path().join("spans")).expect("a file");
        let mut command = Command::new(Path::new(PROGRAM));
        command
            .env_clear()
            .arg("start")
            .args(["--exporter", "blackhole", "--batch-timeout", "20ms"])
            .args(["--debug-log", "traces", "--debug-log-verbosity", "detailed"])
            .args(["--otlp-http-endpoint", &format!("127.0.0.1:{port}")])
            .args(["--otlp-grpc-endpoint", &format!("127.0.0.1:{grpc}")])
            .arg("--pid-file")
            .arg(folder.path().join("pid"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file"))
            .stderr(log);
        let child = spawn(&mut command, "the collector is missing: run scripts/tools");
        within("the collector to listen", async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        Self {
            _child: child,
            port,
            folder,
        }
    }

    /// Where it takes OTLP over HTTP.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its spans, once there are so many.
    pub async fn spans(&self, count: usize) -> Vec<Span> {
        within("spans", async {
            loop {
                let spans = self.spans_so_far();
                if spans.len() >= count {
                    return spans;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
    }

    /// Its spans up to now.
    #[must_use]
    pub fn spans_so_far(&self) -> Vec<Span> {
        let told = std::fs::read_to_string(self.folder.path().join("spans")).expect("a file");
        let mut spans: Vec<Span> = Vec::new();
        let (mut resource, mut is_of_resource) = (HashMap::new(), false);
        let mut started = 0;
        for line in told.lines() {
            if line.starts_with("ResourceSpans #") {
                (resource, is_of_resource) = (HashMap::new(), true);
            } else if line.starts_with("Span #") {
                is_of_resource = false;
                spans.push(Span {
                    resource: resource.clone(),
                    ..Span::default()
                });
            }
            let Some((name, value)) = line.split_once(": ") else {
                continue;
            };
            let value = value.to_owned();
            if let Some(name) = line
                .strip_prefix("     -> ")
                .and(name.strip_prefix("     -> "))
            {
                match (spans.last_mut(), name) {
                    _ if is_of_resource => drop(resource.insert(name.to_owned(), value)),
                    (Some(span), "Trace ID") => span.links.push(value),
                    (Some(span), _) => drop(span.attributes.insert(name.to_owned(), value)),
                    (None, _) => {}
                }
                continue;
            }
            let Some(span) = spans.last_mut() else {
                continue;
            };
            match name.trim() {
                "Trace ID" => span.trace_id = value,
                "Parent ID" => span.parent_id = value,
                "ID" => span.id = value,
                "Name" => span.name = value,
                "Kind" => span.kind = value,
                "Status code" => span.status = value,
                "Start time" => started = value.parse().expect("a time"),
                "End time" => {
                    let ended: u64 = value.parse().expect("a time");
                    span.nanoseconds = ended.checked_sub(started).expect("an end after the start");
                }
                _ => {}
            }
        }
        spans
    }
}

impl Span {
    /// An attribute, as the collector writes it; nothing where there is none.
    #[must_use]
    pub fn told(&self, attribute: &str) -> &str {
        self.attributes.get(attribute).map_or("", String::as_str)
    }
}

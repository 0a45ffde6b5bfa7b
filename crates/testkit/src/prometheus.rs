//! A real Prometheus, and its tool.

use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::folder::Folder;
use crate::port::free_port;
use crate::process::spawn;
use crate::{Client, within};

const CURE: &str = "prometheus and promtool are missing: apt-get install prometheus";

/// A running server on a port of its own; it goes with this value.
#[derive(Debug)]
pub struct Prometheus {
    _child: Child,
    address: SocketAddr,
    _folder: Folder,
}

impl Prometheus {
    /// Starts a server that scrapes `target` several times a second, as the job `api-gateway`.
    pub async fn scraping(target: SocketAddr) -> Self {
        let folder = Folder::new();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let configuration = format!(
            "global: {{ scrape_interval: 250ms, scrape_timeout: 250ms }}\n\
             scrape_configs:\n- job_name: api-gateway\n  static_configs: [{{ targets: [\"{target}\"] }}]\n"
        );
        let file = folder.path().join("prometheus.yml");
        std::fs::write(&file, configuration).expect("a file");
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .arg("--enable-feature=exemplar-storage")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = spawn(&mut command, CURE);
        let ready = async || {
            if TcpStream::connect(address).await.is_err() {
                return false;
            }
            let mut client = Client::connect(address).await;
            client.get("/-/ready").await.status() == 200
        };
        within("Prometheus to start", async {
            while !ready().await {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
        Self {
            _child: child,
            address,
            _folder: folder,
        }
    }

    /// What a query has come to: its series.
    ///
    /// # Errors
    /// What Prometheus says is wrong with it.
    pub async fn query(&self, query: &str) -> Result<Vec<Value>, String> {
        let answer = self.ask("query", &[("query", query)]).await;
        match (&answer["data"]["result"], &answer["error"]) {
            (Value::Array(series), _) => Ok(series.clone()),
            (_, error) => Err(error.to_string()),
        }
    }

    /// The exemplars of a query in the last hour.
    pub async fn exemplars(&self, query: &str) -> Vec<Value> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = now.expect("a time after 1970").as_secs();
        let (start, end) = ((now - 3600).to_string(), (now + 60).to_string());
        let parameters = [("query", query), ("start", &start), ("end", &end)];
        let answer = self.ask("query_exemplars", &parameters).await;
        answer["data"].as_array().cloned().unwrap_or_default()
    }

    async fn ask(&self, what: &str, parameters: &[(&str, &str)]) -> Value {
        let mut target = format!("/api/v1/{what}?");
        for (name, value) in parameters {
            target += name;
            target.push('=');
            for byte in value.bytes() {
                write!(target, "%{byte:02x}").expect("memory");
            }
            target.push('&');
        }
        Client::connect(self.address)
            .await
            .get(&target)
            .await
            .json()
    }
}

/// Runs `promtool` with `input`, in `folder`.
///
/// # Errors
/// What it complains of.
pub async fn promtool(folder: &Path, arguments: &[&str], input: &str) -> Result<(), String> {
    let mut command = Command::new("promtool");
    command
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = spawn(&mut command, CURE);
    let mut stdin = child.stdin.take().expect("standard input");
    // One that does not read it has failed, and says so.
    let _read = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = within("promtool", child.wait_with_output())
        .await
        .expect("promtool");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    if output.status.success() {
        Ok(())
    } else {
        Err(said)
    }
}

//! The real program in a process of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::folder::Folder;
use crate::process::{signal, signal_process};
use crate::{Client, within};

/// How the program is to be started.
#[derive(Debug)]
pub struct GatewayBuilder {
    command: Command,
    folder: Folder,
}

/// A running gateway; it goes with this value.
#[derive(Debug)]
pub struct Gateway {
    child: Child,
    successors: Vec<Successor>,
    address: SocketAddr,
    admin: SocketAddr,
    listeners: Vec<String>,
    diagnostics: Arc<Mutex<Vec<String>>>,
    folder: Folder,
}

/// What gateways that are tested ask for at their admin listener.
const ADMIN_TOKEN: &str = "a-token-for-tests-alone";
/// The field that shows it.
pub const ADMIN_FIELD: &str = "Authorization: Bearer a-token-for-tests-alone";

/// A process that has taken over; it goes with this value.
#[derive(Debug)]
struct Successor(u32);

impl Drop for Successor {
    fn drop(&mut self) {
        let mut kill = std::process::Command::new("kill");
        kill.args(["-s", "KILL", &self.0.to_string()]);
        // It may have ended long ago.
        let _ = kill.stderr(Stdio::null()).status();
    }
}

impl GatewayBuilder {
    /// Starts `program` with ports of its own, one worker, an access log in a file, and nothing of the environment.
    #[must_use]
    pub fn new(program: &str) -> Self {
        let folder = Folder::new();
        let mut command = Command::new(program);
        command
            .env_clear()
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .env("HOST", "127.0.0.1")
            .env("PORT", "0")
            .env("ADMIN_ADDR", "127.0.0.1:0")
            .env("ADMIN_TOKEN", ADMIN_TOKEN)
            .env("WORKERS", "1")
            .env("LOG_FORMAT", "json")
            .env("ACCESS_LOG", folder.path().join("access.log"))
            .env("ACCESS_LOG_FORMAT", "json");
        Self { command, folder }
    }

    /// With this routes file.
    #[must_use]
    pub fn routes(mut self, routes: &Value) -> Self {
        let path = self.folder.path().join("routes.json");
        std::fs::write(&path, routes.to_string()).expect("a file");
        self.command.env("ROUTES_CONFIG_PATH", path);
        self
    }

    /// The folder that will be its working directory.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// With this file in its working directory, or in a folder there.
    #[must_use]
    pub fn file(self, name: &str, content: &str) -> Self {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, content).expect("a file");
        self
    }

    /// With this environment variable.
    #[must_use]
    pub fn env(mut self, variable: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(variable, value);
        self
    }

    /// With this argument.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.command.arg(argument);
        self
    }

    /// With this text on standard input.
    #[must_use]
    pub fn stdin(mut self, text: &str) -> Self {
        let path = self.folder.path().join("stdin");
        std::fs::write(&path, text).expect("a file");
        self.command
            .stdin(std::fs::File::open(path).expect("a file"));
        self
    }

    /// With standard input coming from there.
    #[must_use]
    pub fn stdin_from(mut self, stdin: impl Into<Stdio>) -> Self {
        self.command.stdin(stdin);
        self
    }

    /// With standard output going there.
    #[must_use]
    pub fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.command.stdout(stdout);
        self
    }

    /// Runs the program to its end: its status, standard output and standard error.
    pub async fn finish(mut self) -> (ExitStatus, String, String) {
        self.command.stdout(Stdio::piped());
        let output = within("the end of the program", self.command.output())
            .await
            .expect("the program");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status, text(&output.stdout), text(&output.stderr))
    }

    /// Starts the program and waits until it listens.
    pub async fn start(mut self) -> Gateway {
        let mut child = self.command.spawn().expect("the program");
        let mut lines = BufReader::new(child.stderr.take().expect("standard error")).lines();
        let mut seen = Vec::new();
        let (address, admin, listeners) = within("the gateway to listen", async {
            while let Ok(Some(line)) = lines.next_line().await {
                let event: Value = serde_json::from_str(&line).unwrap_or_default();
                seen.push(line);
                if event["fields"]["message"] == "listening" {
                    let address = |name: &str| {
                        event["fields"][name]
                            .as_str()
                            .and_then(|text| text.parse().ok())
                    };
                    return (
                        address("address").expect("an address"),
                        address("admin").expect("an address"),
                        event["fields"]["listeners"]
                            .as_str()
                            .expect("listeners")
                            .split(", ")
                            .map(str::to_owned)
                            .collect(),
                    );
                }
            }
            panic!("the gateway does not start: {seen:?}");
        })
        .await;
        let diagnostics = Arc::new(Mutex::new(seen));
        let kept = Arc::clone(&diagnostics);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                kept.lock().expect("a lock").push(line);
            }
        });
        Gateway {
            child,
            successors: Vec::new(),
            address,
            admin,
            listeners,
            diagnostics,
            folder: self.folder,
        }
    }
}

impl Gateway {
    /// Where it takes requests.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it takes requests with `scheme`, in the order of its configuration.
    #[must_use]
    pub fn listening(&self, scheme: &str) -> Vec<SocketAddr> {
        let own = self
            .listeners
            .iter()
            .filter_map(|url| url.strip_prefix(scheme)?.strip_prefix("://"));
        own.map(|address| address.parse().expect("an address"))
            .collect()
    }

    /// Where it takes requests with TLS first.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn https(&self) -> SocketAddr {
        *self.listening("https").first().expect("a TLS listener")
    }

    /// Its admin listener.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Puts this routes file in the place of the one that it was started with, as a whole.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn set_routes(&self, text: &str) {
        let (new, path) = (
            self.folder().join("routes.new"),
            self.folder().join("routes.json"),
        );
        std::fs::write(&new, text).expect("a file");
        std::fs::rename(new, path).expect("a file");
    }

    /// A new connection to it.
    pub async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    /// Its process id.
    ///
    /// # Panics
    /// When it has ended.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id().expect("a running gateway")
    }

    /// The process that serves, as it says itself; none while it does not answer.
    pub async fn serving(&self) -> Option<u32> {
        const REQUEST: &[u8] = b"GET /process HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let mut stream = TcpStream::connect(self.admin).await.ok()?;
        stream.write_all(REQUEST).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        let told: Value = serde_json::from_str(body).ok()?;
        told["pid"].as_u64()?.try_into().ok()
    }

    /// Has another process take over: its id, once it serves.
    pub async fn upgrade(&mut self) -> u32 {
        let before = self.serving().await.expect("a running gateway");
        signal_process(before, "USR2").await;
        self.succeeded(before).await
    }

    /// Sends a signal to the process that serves.
    pub async fn signal_serving(&self, name: &str) {
        let pid = self.serving().await.expect("a running gateway");
        signal_process(pid, name).await;
    }

    /// Waits until another process than `before` serves: its id.
    pub async fn succeeded(&mut self, before: u32) -> u32 {
        let pid = within("another process", async {
            loop {
                match self.serving().await {
                    Some(pid) if pid != before => return pid,
                    _ => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        })
        .await;
        self.successors.push(Successor(pid));
        pid
    }

    /// Its diagnostics so far.
    #[must_use]
    pub fn diagnostics(&self) -> Vec<String> {
        self.diagnostics.lock().expect("a lock").clone()
    }

    /// Waits until so many lines of the diagnostics hold `text`.
    pub async fn wait_for_diagnostics(&self, count: usize, text: &str) {
        within(text, async {
            let holds = |line: &String| line.contains(text);
            while self.diagnostics().iter().filter(|line| holds(line)).count() < count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }

    /// The value that `/metrics` has for a series.
    pub async fn metric(&self, series: &str) -> u64 {
        let text = Client::connect(self.admin)
            .await
            .get("/metrics")
            .await
            .text();
        let value = |line: &str| line.strip_prefix(series)?.trim().parse().ok();
        text.lines().find_map(value).expect(series)
    }

    /// The access log once it has so many lines.
    pub async fn log(&self, lines: usize) -> Vec<Value> {
        let path = self.folder.path().join("access.log");
        within("access log lines", async {
            loop {
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                if text.lines().count() >= lines && text.ends_with('\n') {
                    return text
                        .lines()
                        .map(|line| serde_json::from_str(line).expect(line))
                        .collect();
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
    }

    /// The largest resident memory so far, in KiB.
    #[must_use]
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))
            .expect("a running gateway");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .expect("VmHWM");
        line.trim()
            .trim_end_matches(" kB")
            .parse()
            .expect("a number")
    }

    /// Sends a signal: `TERM`, `INT`.
    pub async fn signal(&self, name: &str) {
        signal(&self.child, name).await;
    }

    /// Waits for its end.
    pub async fn exit(&mut self) -> ExitStatus {
        within("the gateway to end", self.child.wait())
            .await
            .expect("a status")
    }
}

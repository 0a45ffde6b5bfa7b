//! Real Redis servers, each in a process and a folder of its own.

mod cluster;
mod sentinel;

pub use cluster::RedisCluster;
pub use sentinel::RedisWithSentinel;

use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use crate::folder::Folder;
use crate::port::free_port;
use crate::process::{signal, spawn};
use crate::within;

const IN_MEMORY: [&str; 4] = ["--bind", "127.0.0.1", "--save", ""];

/// A running server on a port of its own; it goes with this value.
#[derive(Debug)]
pub struct Redis {
    /// None while it is killed.
    child: Option<Child>,
    port: u16,
    arguments: Vec<String>,
    folder: Folder,
}

impl Redis {
    /// Starts a server that keeps everything in memory.
    pub async fn start() -> Self {
        Self::with_arguments(&[]).await
    }

    /// Starts a server with further settings, as on its command line.
    pub(crate) async fn with_arguments(arguments: &[&str]) -> Self {
        let (port, folder) = (free_port(), Folder::new());
        let (of_port, of_folder) = (port.to_string(), folder.path().display().to_string());
        let own = ["--port", &of_port, "--dir", &of_folder];
        let all = own.iter().chain(&IN_MEMORY).chain(arguments);
        let all = all.map(ToString::to_string).collect();
        Self::run(port, folder, all).await
    }

    async fn run(port: u16, folder: Folder, arguments: Vec<String>) -> Self {
        let mut redis = Self {
            child: None,
            port,
            arguments,
            folder,
        };
        redis.restart().await;
        redis
    }

    /// Starts it where it was, with nothing of what it knew.
    pub async fn restart(&mut self) {
        let mut command = Command::new("redis-server");
        command
            .args(&self.arguments)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let cure = "redis-server is missing: apt-get install redis-server";
        self.child = Some(spawn(&mut command, cure));
        self.wait_for(&["PING"], |answer| answer == "PONG").await;
    }

    /// Its port, on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Ends it at once, without a word to its clients.
    pub async fn kill(&mut self) {
        let mut child = self.child.take().expect("a running server");
        within("the end of redis-server", child.kill())
            .await
            .expect("a process");
    }

    /// Stops it, though it stays connected.
    pub async fn hang(&self) {
        self.signal("STOP").await;
    }

    /// Lets it go on.
    pub async fn go_on(&self) {
        self.signal("CONT").await;
    }

    async fn signal(&self, name: &str) {
        signal(self.child.as_ref().expect("a running server"), name).await;
    }

    /// The answer to a command, as `redis-cli` shows it.
    pub async fn ask(&self, words: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port.to_string()])
            .args(words)
            .stdin(Stdio::null())
            .output();
        let output = within("an answer of Redis", output)
            .await
            .expect("redis-cli");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Waits until the answer to a command is as wanted.
    pub async fn wait_for(&self, words: &[&str], wanted: impl Fn(&str) -> bool) {
        within(&words.join(" "), async {
            while !wanted(&self.ask(words).await) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }
}

//! A real DNS server (dnsmasq), in a process and a folder of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::folder::Folder;
use crate::port::free_port;
use crate::process::{signal, spawn};
use crate::within;

/// What it does: it knows all names under `test`, and refuses to tell about others; whatever it says holds for a
/// second; nothing of the machine it runs on is read.
const ARGUMENTS: [&str; 10] = [
    "--keep-in-foreground",
    "--log-facility=-",
    "--conf-file=/dev/null",
    "--pid-file=",
    "--no-resolv",
    "--no-hosts",
    "--local=/test/",
    "--local-ttl=1",
    "--bind-interfaces",
    "--listen-address=127.0.0.1",
];

/// A running server on a port of its own; it goes with this value.
#[derive(Debug)]
pub struct Dns {
    /// None while it is killed.
    child: Option<Child>,
    port: u16,
    arguments: Vec<String>,
    folder: Folder,
}

impl Dns {
    /// Starts a server that knows the names in `hosts`, a text as in a hosts file.
    pub async fn start(hosts: &str) -> Self {
        Self::with_arguments(hosts, &[]).await
    }

    /// Starts a server with further settings, as on dnsmasq's command line.
    pub async fn with_arguments(hosts: &str, arguments: &[&str]) -> Self {
        let mut dns = Self {
            child: None,
            port: free_port(),
            arguments: arguments.iter().map(ToString::to_string).collect(),
            folder: Folder::new(),
        };
        dns.write(hosts);
        dns.restart().await;
        dns
    }

    /// Where it listens, both UDP and TCP.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Has it know these names instead, before long.
    pub async fn set_hosts(&self, hosts: &str) {
        self.write(hosts);
        if let Some(child) = &self.child {
            signal(child, "HUP").await;
        }
    }

    /// Has it be started with these further settings next time.
    pub fn set_arguments(&mut self, arguments: &[&str]) {
        self.arguments = arguments.iter().map(ToString::to_string).collect();
    }

    /// Ends it at once.
    pub async fn kill(&mut self) {
        let mut child = self.child.take().expect("a running server");
        within("the end of dnsmasq", child.kill())
            .await
            .expect("a process");
    }

    /// Starts it where it was.
    pub async fn restart(&mut self) {
        // Where Debian has it; not everybody looks there.
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin";
        let mut command = Command::new("dnsmasq");
        command
            .env("PATH", path)
            .args(ARGUMENTS)
            .arg(format!("--port={}", self.port))
            .arg(format!("--addn-hosts={}", self.hosts().display()))
            // As another user it could not read the file again.
            .arg("--user=root")
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let cure = "dnsmasq is missing: apt-get install dnsmasq-base";
        self.child = Some(spawn(&mut command, cure));
        within("a DNS server", async {
            while TcpStream::connect(self.address()).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }

    /// Stops it: it stays there, and does not answer.
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

    fn write(&self, hosts: &str) {
        std::fs::write(self.hosts(), hosts).expect("a file");
    }

    fn hosts(&self) -> PathBuf {
        self.folder.path().join("hosts")
    }
}

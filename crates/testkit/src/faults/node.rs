//! A Node.js server, for the race between its keep-alive and the next request.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::process::Command;

use super::Executions;
use super::child::Child;
use crate::folder::Folder;
use crate::port::free_port;

/// Whether answers say when an idle connection will be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// `Keep-Alive: timeout=`, which Node sends by itself.
    Given,
    /// Nothing, as with most other servers.
    Withheld,
}

/// A running server; it goes with this value.
#[derive(Debug)]
pub struct NodeServer {
    child: Child,
    port: u16,
    folder: Folder,
}

impl NodeServer {
    /// Starts one that closes connections that have been idle for so long. Node's own default is 5 s.
    ///
    /// # Panics
    /// When Node.js is not installed.
    pub async fn start(keep_alive: Duration, hint: Hint) -> Self {
        let (port, folder) = (free_port(), Folder::new());
        let script = folder.path().join("server.cjs");
        std::fs::write(&script, include_str!("node.js")).expect("a file");
        let mut command = Command::new("node");
        command
            .arg(script)
            .args([port.to_string(), keep_alive.as_millis().to_string()])
            .arg(folder.path().join("journal"))
            .arg(match hint {
                Hint::Given => "hint",
                Hint::Withheld => "silent",
            });
        let cure = "node is missing: apt-get install nodejs";
        let mut child = Child::start(&mut command, cure);
        assert_eq!(child.line().await, "listening");
        Self {
            child,
            port,
            folder,
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// What it has executed.
    #[must_use]
    pub fn executions(&self) -> Executions {
        Executions::read(&self.folder.path().join("journal"))
    }
}

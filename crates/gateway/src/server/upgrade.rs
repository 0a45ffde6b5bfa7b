//! Upgrading without losing a request: another process takes the listening sockets over, and this one drains.
//!
//! The new process is the program as it lies on disk now, with the same arguments and environment. It inherits the sockets
//! as from a service manager ([`super::inherited`]), starts as always, and says so over its standard input, which is a
//! socket to its predecessor. Until then the old process serves alone; when the new one ends first, or says nothing in
//! time, the old one goes on as if nothing had been. Connections that wait in a socket are lost in no case: the socket is
//! the same in both processes, and is never closed.

use std::ffi::OsString;
use std::io::{self, Write};
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use super::inherited;

/// How long the new process may take to start.
const PATIENCE: Duration = Duration::from_secs(60);
/// Tells a process that its standard input leads to its predecessor.
const PREDECESSOR: &str = "API_GATEWAY_PREDECESSOR";
const STANDARD_INPUT: &str = "stdin";
const READY: &[u8] = b"READY=1\n";
/// Where systemd's protocol has the first socket.
const FIRST_SOCKET: i32 = 3;

/// What another process would need.
#[derive(Debug)]
pub(super) struct Upgrade {
    /// Where the program was when this process started: it may be another one by now.
    program: io::Result<PathBuf>,
    arguments: Vec<OsString>,
    http: Vec<TcpListener>,
    admin: Option<TcpListener>,
    failures: Arc<AtomicU64>,
}

/// Why there was no upgrade.
#[derive(Debug, thiserror::Error)]
pub(super) enum UpgradeError {
    #[error("this is process 1, whose end is the end of the container: replace the container")]
    Init,
    #[error("the program cannot be started: {0}")]
    Start(#[from] io::Error),
    #[error("the new process has ended before it was ready ({0})")]
    Ended(ExitStatus),
    #[error("the new process was not ready within {} s", PATIENCE.as_secs())]
    Late,
}

/// A process that is starting; it ends with the value.
#[derive(Debug)]
struct Starting(Option<Child>);

impl Upgrade {
    /// `http` and `admin` are the sockets; `failures` counts upgrades that have failed.
    pub(super) fn new(
        http: Vec<TcpListener>,
        admin: Option<TcpListener>,
        failures: Arc<AtomicU64>,
    ) -> Self {
        Self {
            program: std::env::current_exe(),
            arguments: std::env::args_os().skip(1).collect(),
            http,
            admin,
            failures,
        }
    }

    /// Has another process take over: its id, once it serves.
    ///
    /// # Errors
    /// When it does not; then it has ended.
    pub(super) async fn run(&self) -> Result<u32, UpgradeError> {
        let result = self.start().await;
        if result.is_err() {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        result
    }

    async fn start(&self) -> Result<u32, UpgradeError> {
        if std::process::id() == 1 {
            return Err(UpgradeError::Init);
        }
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let mut ours = tokio::net::UnixStream::from_std(ours)?;
        let mut starting = self.spawn(theirs)?;
        tracing::info!(
            process = starting.id(),
            "upgrading: another process is starting"
        );
        let mut word = [0; READY.len()];
        match timeout(PATIENCE, ours.read_exact(&mut word)).await {
            Ok(Ok(_)) if word == READY => Ok(starting.release()),
            Ok(_) => Err(UpgradeError::Ended(starting.end()?)),
            Err(_) => Err(UpgradeError::Late),
        }
    }

    fn spawn(&self, theirs: UnixStream) -> io::Result<Starting> {
        let program = self.program.as_ref();
        let program = program.map_err(|error| io::Error::new(error.kind(), error.to_string()))?;
        let (mut mappings, mut names) = (Vec::new(), Vec::new());
        let http = self.http.iter().map(|socket| (inherited::HTTP, socket));
        let admin = self.admin.iter().map(|socket| (inherited::ADMIN, socket));
        for (child_fd, (name, socket)) in (FIRST_SOCKET..).zip(http.chain(admin)) {
            mappings.push(FdMapping {
                parent_fd: socket.as_fd().try_clone_to_owned()?,
                child_fd,
            });
            names.push(name);
        }
        let mut command = Command::new(program);
        command
            .args(&self.arguments)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .env(PREDECESSOR, STANDARD_INPUT)
            .env_remove("LISTEN_PID")
            .env("LISTEN_FDS", names.len().to_string())
            .env("LISTEN_FDNAMES", names.join(":"))
            .fd_mappings(mappings)
            .map_err(io::Error::other)?;
        command.spawn().map(|child| Starting(Some(child)))
    }
}

impl Starting {
    fn id(&self) -> Option<u32> {
        self.0.as_ref().map(Child::id)
    }

    /// It has started: it goes on without us.
    fn release(&mut self) -> u32 {
        self.0.take().map_or(0, |child| child.id())
    }

    /// Ends it, if it has not ended.
    fn end(&mut self) -> io::Result<ExitStatus> {
        let Some(mut child) = self.0.take() else {
            return Ok(ExitStatus::default());
        };
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        child.kill()?;
        child.wait()
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        // Either way there is nothing left to do.
        let _ = self.end();
    }
}

/// Tells the process that this one takes over from, where there is one, that requests are taken.
pub(super) fn tell_predecessor() -> Told {
    if std::env::var_os(PREDECESSOR).is_none_or(|way| way != STANDARD_INPUT) {
        return Told::Nobody;
    }
    let told = io::stdin().as_fd().try_clone_to_owned();
    let told = told.and_then(|socket| UnixStream::from(socket).write_all(READY));
    if let Err(error) = told {
        tracing::warn!(%error, "the process before cannot be told");
    }
    Told::Predecessor
}

/// Who has been told that requests are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Predecessor,
    Nobody,
}

//! The harness of a faulty backend.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitStatus;

use tokio::process::Command as Program;

use super::child::Child;
use super::program::program;
use super::{Behaviour, Command, Executions, Health, Latency};
use crate::folder::Folder;
use crate::port::free_port;

/// A backend in a process of its own, on a port of its own; it goes with this value.
#[derive(Debug)]
pub struct FaultyBackend {
    /// None while it is killed or stopped.
    child: Option<Child>,
    port: u16,
    /// What it has been told; a restarted one is told again.
    told: Told,
    folder: Folder,
}

/// The last of each that a backend has been told.
#[derive(Debug, Default)]
struct Told {
    behaviour: Option<Command>,
    latency: Option<Command>,
    health: Option<Command>,
    lead: Option<Command>,
}

impl FaultyBackend {
    /// Starts one with which nothing is wrong.
    pub async fn start() -> Self {
        let mut backend = Self {
            child: None,
            port: free_port(),
            told: Told::default(),
            folder: Folder::new(),
        };
        backend.restart().await;
        backend
    }

    /// Starts it where it was, once it is killed or stopped; it does what it was told before.
    ///
    /// # Panics
    /// When it is running.
    pub async fn restart(&mut self) {
        assert!(self.child.is_none(), "it is running");
        let mut command = Program::new(program());
        command
            .arg(self.port.to_string())
            .arg(self.folder.path().join("journal"));
        let mut child = Child::start(&mut command, "the program has gone");
        assert_eq!(child.line().await, "listening");
        self.child = Some(child);
        let Told {
            behaviour,
            latency,
            health,
            lead,
        } = &self.told;
        for command in [*latency, *health, *lead, *behaviour].into_iter().flatten() {
            self.tell(command).await;
        }
    }

    /// Makes it behave so from now on.
    pub async fn behave(&mut self, behaviour: impl Into<Behaviour>) {
        self.tell(Command::Behave(behaviour.into())).await;
    }

    /// Makes its answers take so long.
    pub async fn latency(&mut self, latency: Latency) {
        self.tell(Command::Latency(latency)).await;
    }

    /// Makes `/health` say so.
    pub async fn health(&mut self, health: Health) {
        self.tell(Command::Health(health)).await;
    }

    /// Tells it anything of the above; it holds when this returns.
    ///
    /// # Panics
    /// When it is not running.
    pub async fn tell(&mut self, command: Command) {
        let kept = match command {
            Command::Behave(_) => &mut self.told.behaviour,
            Command::Latency(_) => &mut self.told.latency,
            Command::Health(_) => &mut self.told.health,
            Command::Lead(_) => &mut self.told.lead,
        };
        *kept = Some(command);
        let child = self.child.as_mut().expect("a running backend");
        child.say(&command.to_string()).await;
        assert_eq!(child.line().await, "ok", "{command}");
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
    ///
    /// # Panics
    /// When it is not running.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.running().pid()
    }

    /// Ends it at once, without a word to its clients.
    pub async fn kill(&mut self) {
        let mut child = self.child.take().expect("a running backend");
        child.signal("KILL").await;
        child.exit().await;
    }

    /// Asks it to end as a well-behaved server does, and waits until it has.
    pub async fn drain(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("a running backend");
        child.signal("TERM").await;
        child.exit().await
    }

    /// Stops the process, though its connections stay; the kernel takes new ones for it, and nobody answers.
    pub async fn freeze(&self) {
        self.running().signal("STOP").await;
    }

    /// Lets a frozen process go on.
    pub async fn thaw(&self) {
        self.running().signal("CONT").await;
    }

    fn running(&self) -> &Child {
        self.child.as_ref().expect("a running backend")
    }

    /// What it has executed since it was first started, `/health` aside.
    #[must_use]
    pub fn executions(&self) -> Executions {
        Executions::read(&self.folder.path().join("journal"))
    }
}

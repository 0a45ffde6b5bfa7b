//! The process of a faulty backend: it listens, does as it is told, and ends with its standard input.
//!
//! One thread. The main loop owns the listener and the clock of a flap, and publishes what holds now; connections look
//! it up for each request, and are woken when it changes.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::Instant;

use super::connection;
use super::{Behaviour, Command, Fault, Health, Latency};

/// How long idle connections may bring one more request once the backend drains.
const GRACE: Duration = Duration::from_millis(500);
/// How long requests in flight may take to end.
const DRAIN: Duration = Duration::from_secs(10);

/// What holds now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Now {
    pub(super) fault: Fault,
    pub(super) latency: Latency,
    pub(super) health: Health,
    /// How long a connection may be idle, when the backend is about to end.
    pub(super) draining: Option<Duration>,
}

struct Server {
    port: u16,
    /// None while connections are refused.
    listener: Option<TcpListener>,
    behaviour: Behaviour,
    /// When it was taken up.
    since: Instant,
    lead: Duration,
    now: watch::Sender<Now>,
    journal: Rc<File>,
    connections: JoinSet<()>,
}

/// Serves on `port` of 127.0.0.1, and writes what is executed into `journal`.
///
/// Each line of standard input is a [`Command`], answered by `ok` or by what is wrong with it; the first line that is
/// printed is `listening`. SIGTERM drains: idle connections are closed soon, answers carry `Connection: close`, and the
/// process ends when the last one has been given. The end of standard input ends it at once, so that none is left over
/// from a test that died.
///
/// # Panics
/// When it cannot listen.
pub fn serve(port: u16, journal: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let journal = OpenOptions::new().create(true).append(true).open(journal);
    let journal = Rc::new(journal.expect("the journal"));
    LocalSet::new().block_on(&runtime, async move {
        let mut server = Server {
            port,
            listener: None,
            behaviour: Fault::Nothing.into(),
            since: Instant::now(),
            lead: Duration::ZERO,
            now: watch::Sender::new(Now {
                fault: Fault::Nothing,
                latency: Latency::Fixed(Duration::ZERO),
                health: Health::AsItIs,
                draining: None,
            }),
            journal,
            connections: JoinSet::new(),
        };
        server.run().await;
    });
    // Standard input is read by a thread that a runtime would wait for.
    runtime.shutdown_background();
}

impl Server {
    async fn run(&mut self) {
        let mut terminate = signal(SignalKind::terminate()).expect("a signal");
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        self.settle().await;
        say("listening");
        loop {
            let left = self.settle().await;
            tokio::select! {
                stream = accept(self.listener.as_ref()) => self.take(stream),
                () = tokio::time::sleep(left) => {}
                _ = terminate.recv() => return self.drain(&mut terminate).await,
                line = lines.next_line() => {
                    let Ok(Some(line)) = line else { return };
                    match line.parse() {
                        Ok(command) => {
                            self.obey(command);
                            // Who hears "ok" may rely on it.
                            self.settle().await;
                            say("ok");
                        }
                        Err(wrong) => say(&wrong),
                    }
                }
            }
            while self.connections.try_join_next().is_some() {}
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Behave(behaviour) => {
                (self.behaviour, self.since) = (behaviour, Instant::now());
            }
            Command::Latency(latency) => self.now.send_modify(|now| now.latency = latency),
            Command::Health(health) => self.now.send_modify(|now| now.health = health),
            Command::Lead(lead) => self.lead = lead,
        }
    }

    /// Makes true what holds at this time, and says for how long it does.
    async fn settle(&mut self) -> Duration {
        let (fault, left) = self.behaviour.at(self.since.elapsed());
        self.now.send_if_modified(|now| {
            let changed = now.fault != fault;
            now.fault = fault;
            changed
        });
        match (fault, &self.listener) {
            (Fault::Refuse, _) => {
                self.listener = None;
                self.connections.shutdown().await;
            }
            (_, None) => self.listener = Some(listen(self.port).await),
            (_, Some(_)) => {}
        }
        left.unwrap_or(Duration::from_secs(3600))
    }

    fn take(&mut self, stream: TcpStream) {
        if self.now.borrow().fault == Fault::ResetOnAccept {
            // Without lingering, a close is a reset.
            let _ = stream.set_zero_linger();
            return;
        }
        let served = connection::serve(stream, self.now.subscribe(), Rc::clone(&self.journal));
        self.connections.spawn_local(served);
    }

    /// Ends as a well-behaved server does; a second SIGTERM ends it at once.
    async fn drain(&mut self, terminate: &mut Signal) {
        let idle = self.lead + GRACE;
        self.now.send_modify(|now| now.draining = Some(idle));
        let lead = tokio::time::sleep(self.lead);
        tokio::pin!(lead);
        loop {
            tokio::select! {
                () = &mut lead => break,
                stream = accept(self.listener.as_ref()) => self.take(stream),
            }
        }
        self.listener = None;
        tokio::select! {
            () = async { while self.connections.join_next().await.is_some() {} } => {}
            () = tokio::time::sleep(DRAIN) => {}
            _ = terminate.recv() => {}
        }
    }
}

/// The next connection; never one while nobody listens.
async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            // The other side is gone already, or descriptors have run out for now.
            Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}

/// Listens; the port of a predecessor may take a moment to become free.
async fn listen(port: u16) -> TcpListener {
    let begun = Instant::now();
    loop {
        match TcpListener::bind(("127.0.0.1", port)).await {
            Ok(listener) => return listener,
            Err(error) if begun.elapsed() > Duration::from_secs(2) => panic!("{port}: {error}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

fn say(line: &str) {
    // Nobody listens any more when the harness is gone; standard input says so, too.
    let mut output = std::io::stdout().lock();
    let _ = writeln!(output, "{line}").and_then(|()| output.flush());
}

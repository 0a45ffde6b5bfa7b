//! A worker: one thread that serves its connections from first byte to last.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{LocalOptions, LocalRuntime};
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::spawn_local;
use tokio::time::Instant;
use wire::Io;
use wire::server::Drain;

use super::StartError;
use super::connection::{self, ClientService, Limits};
use super::opening::{Ends, Opening};
use super::shutdown::Phase;
use crate::auth::Authenticator;
use crate::caching::SharedCache;
use crate::config::{Live, Settings, TracingSettings, View};
use crate::counters::{ProcessCounts, enter_worker};
use crate::handler::{Answers, Clock, Equipment, Handler};
use crate::middleware::access_log::{AccessLog, SinkHandle, Style};
use crate::middleware::rate_limit::StoreHealth;
use crate::proxy::{Mirrors, Pools, Proxy};
use crate::trace::{SpanQueue, Tracer};
use crate::upstream::PoolLimits;

/// How often the clock is set, and idle connections and known credentials are looked over.
const SWEEP: Duration = Duration::from_secs(1);
/// A pause when connections cannot be accepted, because too many are open or the system has no more descriptors.
const FULL_PAUSE: Duration = Duration::from_millis(20);
/// Between two reports of that.
const REPORT_PAUSE: Duration = Duration::from_secs(5);

/// How long handshakes may go on once a worker is draining.
const OPENING_GRACE: Duration = Duration::from_secs(1);

/// What a worker is started with.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) settings: Arc<Settings>,
    pub(super) live: Arc<Live>,
    /// Its sockets, and what is spoken there.
    pub(super) listeners: Vec<(std::net::TcpListener, Arc<Opening>)>,
    pub(super) phase: watch::Receiver<Phase>,
    pub(super) sink: Option<SinkHandle>,
    pub(super) style: Style,
    /// Client connections of all workers.
    pub(super) open_connections: Arc<AtomicUsize>,
    pub(super) most_connections: usize,
    /// How Redis is, for all workers.
    pub(super) store_health: Arc<StoreHealth>,
    pub(super) cache: SharedCache,
    /// None where nothing is traced.
    pub(super) spans: Option<SpanQueue>,
    /// What is counted of the process.
    pub(super) counts: Arc<ProcessCounts>,
    /// Where somebody wants to know how many requests fail: of all workers, and the place of this one.
    pub(super) answers: Option<(Arc<[Answers]>, usize)>,
}

/// A running worker.
#[derive(Debug)]
pub(super) struct WorkerHandle {
    ended: oneshot::Receiver<()>,
}

impl WorkerHandle {
    /// Starts a worker on a thread of its own.
    pub(super) fn start(index: usize, worker: Worker) -> Result<Self, StartError> {
        let failed = |error| StartError::Start {
            what: "a worker",
            error,
        };
        let (end, ended) = oneshot::channel();
        let (start, started) = mpsc::sync_channel(1);
        thread::Builder::new()
            .name(format!("worker-{index}"))
            .spawn(move || {
                // Hangs up in any case, also after a panic.
                let _end = end;
                enter_worker(index);
                match local_runtime() {
                    Ok(runtime) => {
                        let _waits = start.send(Ok(()));
                        worker.run(runtime);
                    }
                    Err(error) => {
                        let _waits = start.send(Err(error));
                    }
                }
            })
            .map_err(failed)?;
        // The thread answers at once, or has panicked.
        started
            .recv()
            .map_err(|_| StartError::WorkerLost)?
            .map_err(failed)?;
        Ok(Self { ended })
    }

    /// Resolves when the worker's thread is about to end.
    pub(super) async fn ended(self) -> bool {
        self.ended.await.is_ok()
    }
}

/// A runtime whose tasks never leave its thread, and which belongs to the thread that makes it.
fn local_runtime() -> io::Result<LocalRuntime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
}

impl Worker {
    /// Serves until told to stop, and hands over the last log lines.
    fn run(mut self, runtime: LocalRuntime) {
        let access_log = Rc::new(AccessLog::new(
            self.sink.take(),
            self.style,
            Arc::clone(&self.counts.failures),
        ));
        let TracingSettings { sampler, trust, .. } = self.settings.tracing;
        let tracer = self.spans.take();
        let tracer = tracer.map(|queue| Rc::new(Tracer::new(sampler, trust, queue)));
        runtime.block_on(self.serve(&access_log, tracer.as_ref()));
        // Tasks that are still there are dropped with their runtime, and log their requests as they go.
        drop(runtime);
        access_log.flush();
        if let Some(tracer) = tracer {
            tracer.flush();
        }
    }

    async fn serve(mut self, access_log: &Rc<AccessLog>, tracer: Option<&Rc<Tracer>>) {
        let listeners = self.listeners.drain(..).map(|(listener, opening)| {
            let listener = TcpListener::from_std(listener)?;
            Ok(Listening { listener, opening })
        });
        let listeners: Vec<Listening> = match listeners.collect() {
            Ok(listeners) => listeners,
            Err::<_, io::Error>(error) => {
                return tracing::error!(%error, "worker cannot listen");
            }
        };
        let connections = Rc::new(Connections {
            handler: Rc::new(handler(
                &self.settings,
                self.live,
                Observers {
                    access_log,
                    tracer,
                    counts: self.counts,
                    answers: self.answers,
                },
                Equipment::new(self.cache, self.store_health),
            )),
            limits: Limits::from(&*self.settings),
            drain: Drain::default(),
            open: Cell::new(0),
            none_left: Notify::new(),
            open_everywhere: self.open_connections,
            most: self.most_connections,
        });
        connections.handler.equip();
        spawn_local(sweep(Rc::clone(&connections.handler)));
        spawn_local(follow(Rc::clone(&connections.handler)));
        spawn_local(flush(Rc::clone(access_log)));
        if let Some(tracer) = tracer.cloned() {
            spawn_local(async move { tracer.flush_in_time().await });
        }

        let is_handed_over = tokio::select! {
            () = connections.accept_all(&listeners) => false,
            phase = self.phase.wait_for(|phase| *phase != Phase::Serving) => {
                phase.is_ok_and(|phase| *phase == Phase::HandedOver)
            }
        };
        if is_handed_over {
            drop(listeners);
            connections.drain.announce();
            tokio::select! {
                () = connections.wait_for_none() => return,
                _ = self.phase.wait_for(|phase| *phase > Phase::HandedOver) => {}
            }
        } else {
            connections.accept_waiting(&listeners);
            drop(listeners);
        }
        connections.drain.begin();
        tokio::select! {
            () = connections.wait_for_none() => {}
            _ = self.phase.wait_for(|phase| *phase == Phase::Stopping) => {}
        }
    }
}

/// Who hears of requests.
struct Observers<'a> {
    access_log: &'a Rc<AccessLog>,
    tracer: Option<&'a Rc<Tracer>>,
    counts: Arc<ProcessCounts>,
    answers: Option<(Arc<[Answers]>, usize)>,
}

fn handler(
    settings: &Arc<Settings>,
    live: Arc<Live>,
    observers: Observers<'_>,
    equipment: Equipment,
) -> Handler {
    let limits = PoolLimits {
        most_idle: settings.upstream_pool.max_idle,
        idle: settings.upstream_pool.idle_timeout,
        lifetime: settings.upstream_pool.max_lifetime,
    };
    let proxy = Rc::new(Proxy {
        settings: Arc::clone(settings),
        pools: Pools::new(limits),
        mirrors: Mirrors::default(),
    });
    Handler {
        authenticator: Authenticator::default(),
        configuration: Rc::new(View::new(live, settings.timeouts.drain)),
        equipment,
        proxy,
        access_log: Rc::clone(observers.access_log),
        tracer: observers.tracer.cloned(),
        counts: observers.counts,
        clock: Clock::new(),
        answers: observers.answers,
        settings: Arc::clone(settings),
    }
}

async fn sweep(handler: Rc<Handler>) {
    let mut interval = tokio::time::interval(SWEEP);
    loop {
        interval.tick().await;
        handler.clock.renew();
        handler.configuration.sweep(Instant::now());
        handler.proxy.pools.sweep();
        handler.authenticator.sweep(handler.clock.now());
    }
}

/// Looks at a new configuration as soon as there is one, whether or not requests come: so nobody keeps the old one.
async fn follow(handler: Rc<Handler>) {
    let mut replacements = handler.configuration.replacements();
    loop {
        if handler.configuration.is_outdated() {
            handler.renew();
        }
        if replacements.changed().await.is_err() {
            return;
        }
    }
}

async fn flush(access_log: Rc<AccessLog>) {
    access_log.flush_in_time().await;
}

/// A socket that connections come in on.
struct Listening {
    listener: TcpListener,
    opening: Arc<Opening>,
}

/// The next connection on any of `listeners`. Those behind `first` go before it, and so each has its turn.
fn poll_accept<'a>(
    listeners: &'a [Listening],
    first: &Cell<usize>,
    context: &mut Context<'_>,
) -> Poll<io::Result<(&'a Listening, TcpStream, SocketAddr)>> {
    for offset in 0..listeners.len() {
        let index = (first.get() + offset) % listeners.len();
        let Some(listening) = listeners.get(index) else {
            continue;
        };
        if let Poll::Ready(accepted) = listening.listener.poll_accept(context) {
            first.set(index + 1);
            return Poll::Ready(accepted.map(|(socket, peer)| (listening, socket, peer)));
        }
    }
    Poll::Pending
}

/// The connections of one worker.
struct Connections {
    handler: Rc<Handler>,
    limits: Limits,
    drain: Drain,
    open: Cell<usize>,
    none_left: Notify,
    /// Of all workers.
    open_everywhere: Arc<AtomicUsize>,
    most: usize,
}

impl Connections {
    /// Serves what comes in, for as long as it is polled.
    async fn accept_all(self: &Rc<Self>, listeners: &[Listening]) {
        let (mut reported, first): (Option<Instant>, _) = (None, Cell::new(0));
        loop {
            // Connections beyond the limit wait in the kernel's queue, which is bounded too.
            while self.open_everywhere.load(Ordering::Relaxed) >= self.most {
                report(&mut reported, "MAX_CONNECTIONS are open; new ones wait");
                tokio::time::sleep(FULL_PAUSE).await;
            }
            match poll_fn(|context| poll_accept(listeners, &first, context)).await {
                Ok((listening, socket, peer)) => self.spawn(&listening.opening, socket, peer),
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => {
                    report(&mut reported, &error.to_string());
                    tokio::time::sleep(FULL_PAUSE).await;
                }
            }
        }
    }

    /// Takes over what the kernel has accepted already: closing the listening socket would reset it.
    fn accept_waiting(self: &Rc<Self>, listeners: &[Listening]) {
        let (mut context, first) = (Context::from_waker(Waker::noop()), Cell::new(0));
        while let Poll::Ready(Ok((listening, socket, peer))) =
            poll_accept(listeners, &first, &mut context)
        {
            self.spawn(&listening.opening, socket, peer);
        }
    }

    fn spawn(self: &Rc<Self>, opening: &Arc<Opening>, socket: TcpStream, peer: SocketAddr) {
        // Without an address of its own it is closed already.
        let Ok(local) = socket.local_addr() else {
            return;
        };
        let ends = Ends { peer, local };
        let connections = Rc::clone(self);
        self.open.set(self.open.get() + 1);
        self.open_everywhere.fetch_add(1, Ordering::Relaxed);
        if !opening.is_immediate() {
            let opening = Arc::clone(opening);
            spawn_local(async move {
                let _open = OpenConnection(&connections);
                connections.open_and_serve(opening, socket, ends).await;
            });
            return;
        }
        // Made here and not in the task, which would keep room for what they are made of.
        let side = opening.plain(ends, &self.handler.settings.trusted_proxies);
        let service = Rc::new(ClientService::new(&self.handler, side));
        let io = Io::new(socket);
        spawn_local(async move {
            let _open = OpenConnection(&connections);
            connection::serve(io, service, &connections.limits, &connections.drain).await;
        });
    }

    /// Waits for what comes before requests, and serves these.
    async fn open_and_serve(&self, opening: Arc<Opening>, socket: TcpStream, ends: Ends) {
        let trusted = &self.handler.settings.trusted_proxies;
        // Boxed: it needs a good deal of room, and is soon over.
        let opened = Box::pin(async {
            tokio::select! {
                opened = opening.wait(socket, ends, trusted) => opened.map(Box::new),
                () = self.last_call() => None,
            }
        });
        let Some(opened) = opened.await else {
            return;
        };
        let (io, side) = *opened;
        let service = Rc::new(ClientService::new(&self.handler, side));
        connection::serve(io, service, &self.limits, &self.drain).await;
    }

    /// Resolves when the worker is draining, and nobody is waited for any more who has not come to a request yet.
    async fn last_call(&self) {
        self.drain.begun().await;
        tokio::time::sleep(OPENING_GRACE).await;
    }

    async fn wait_for_none(&self) {
        while self.open.get() > 0 {
            self.none_left.notified().await;
        }
    }
}

/// Counts a connection for as long as it lives, however it ends.
struct OpenConnection<'a>(&'a Connections);

impl Drop for OpenConnection<'_> {
    fn drop(&mut self) {
        let left = self.0.open.get() - 1;
        self.0.open.set(left);
        self.0.open_everywhere.fetch_sub(1, Ordering::Relaxed);
        if left == 0 {
            self.0.none_left.notify_one();
        }
    }
}

/// A client that has gone before it was accepted says nothing about the next one.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

/// Says so once in a while, not for every connection.
fn report(reported: &mut Option<Instant>, reason: &str) {
    if reported.is_none_or(|last| last.elapsed() >= REPORT_PAUSE) {
        *reported = Some(Instant::now());
        tracing::warn!(reason, "connections cannot be accepted");
    }
}

//! A worker: one thread that serves its connections from first byte to last.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{LocalOptions, LocalRuntime};
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::spawn_local;
use tokio::time::Instant;
use wire::Io;
use wire::server::Drain;

use super::StartError;
use super::connection::{self, ClientService, Limits};
use super::shutdown::Phase;
use crate::auth::Authenticator;
use crate::caching::{Caching, Tiers};
use crate::config::{Settings, Snapshot, TracingSettings};
use crate::counters::{ProcessCounts, enter_worker};
use crate::handler::{Clock, Handler};
use crate::middleware::access_log::{AccessLog, SinkHandle, Style};
use crate::middleware::rate_limit::{self, Store, StoreHealth};
use crate::proxy::{Mirrors, Pools, Proxy};
use crate::trace::{SpanQueue, Tracer};
use crate::upstream::{ConnectionLimit, PoolLimits};

/// How often the clock is set, and idle connections and known credentials are looked over.
const SWEEP: Duration = Duration::from_secs(1);
/// A pause when connections cannot be accepted, because too many are open or the system has no more descriptors.
const FULL_PAUSE: Duration = Duration::from_millis(20);
/// Between two reports of that.
const REPORT_PAUSE: Duration = Duration::from_secs(5);

/// What a worker is started with.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) settings: Arc<Settings>,
    pub(super) snapshot: Arc<Snapshot>,
    /// For services that decide, where a route has one.
    pub(super) services: Option<reqwest::Client>,
    pub(super) listeners: Vec<std::net::TcpListener>,
    pub(super) phase: watch::Receiver<Phase>,
    pub(super) sink: Option<SinkHandle>,
    pub(super) style: Style,
    /// Client connections of all workers.
    pub(super) open_connections: Arc<AtomicUsize>,
    pub(super) most_connections: usize,
    /// How Redis is, for all workers.
    pub(super) store_health: Arc<StoreHealth>,
    /// None where no route is cached.
    pub(super) cache: Option<WorkerCache>,
    /// None where nothing is traced.
    pub(super) spans: Option<SpanQueue>,
    /// What is counted of the process.
    pub(super) counts: Arc<ProcessCounts>,
}

/// The cache that all workers share.
#[derive(Debug)]
pub(super) struct WorkerCache {
    pub(super) cache: cache::Cache,
    pub(super) tiers: Option<Arc<Tiers>>,
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
        let listeners = self.listeners.drain(..).map(TcpListener::from_std);
        let listeners: Vec<_> = match listeners.collect() {
            Ok(listeners) => listeners,
            Err(error) => return tracing::error!(%error, "worker cannot listen"),
        };
        let store = store(&self.settings, &self.snapshot, self.store_health);
        let connections = Rc::new(Connections {
            handler: Rc::new(handler(
                &self.settings,
                &self.snapshot,
                self.services,
                Observers {
                    access_log,
                    tracer,
                    counts: self.counts,
                },
                store,
                self.cache,
            )),
            limits: Limits::from(&*self.settings),
            drain: Drain::default(),
            open: Cell::new(0),
            none_left: Notify::new(),
            open_everywhere: self.open_connections,
            most: self.most_connections,
        });
        spawn_local(sweep(Rc::clone(&connections.handler)));
        for limit in limits(&self.snapshot) {
            // Before a request can be there: nobody who waits is missed.
            let wanted = limit.wanted();
            spawn_local(give_way(Rc::clone(&connections.handler), limit, wanted));
        }
        spawn_local(flush(Rc::clone(access_log)));
        if let Some(tracer) = tracer.cloned() {
            spawn_local(async move { tracer.flush_in_time().await });
        }

        let accepting = listeners.iter();
        let accepting = accepting.map(|listener| connections.accept_all(listener));
        let is_handed_over = tokio::select! {
            _ = join_all(accepting) => false,
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
            for listener in listeners {
                connections.accept_waiting(&listener);
            }
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
}

fn handler(
    settings: &Arc<Settings>,
    snapshot: &Arc<Snapshot>,
    services: Option<reqwest::Client>,
    observers: Observers<'_>,
    store: Option<Rc<Store>>,
    cache: Option<WorkerCache>,
) -> Handler {
    let limits = PoolLimits {
        most_idle: settings.upstream_pool.max_idle,
        idle: settings.upstream_pool.idle_timeout,
        lifetime: settings.upstream_pool.max_lifetime,
    };
    let proxy = Rc::new(Proxy {
        snapshot: Arc::clone(snapshot),
        settings: Arc::clone(settings),
        pools: Pools::new(limits),
        mirrors: Mirrors::default(),
    });
    Handler {
        authenticator: Authenticator::new(services),
        caching: cache.map(|it| Rc::new(Caching::new(it.cache, it.tiers, &proxy))),
        proxy,
        store,
        access_log: Rc::clone(observers.access_log),
        tracer: observers.tracer.cloned(),
        counts: observers.counts,
        clock: Clock::new(),
        settings: Arc::clone(settings),
        snapshot: Arc::clone(snapshot),
    }
}

/// The way to Redis, and somebody who keeps it open; none where no limit is counted there.
fn store(settings: &Settings, snapshot: &Snapshot, health: Arc<StoreHealth>) -> Option<Rc<Store>> {
    let server = settings.redis.server.clone()?;
    snapshot.rate_limits.need_redis().then(|| {
        let store = Rc::new(Store::new(settings.redis.timeout, health));
        spawn_local(rate_limit::keep(Rc::clone(&store), server));
        store
    })
}

async fn sweep(handler: Rc<Handler>) {
    let mut interval = tokio::time::interval(SWEEP);
    loop {
        interval.tick().await;
        handler.clock.renew();
        handler.proxy.pools.sweep();
        handler.authenticator.sweep(handler.clock.now());
    }
}

/// The limits of upstreams whose connections are limited.
fn limits(snapshot: &Snapshot) -> impl Iterator<Item = Arc<ConnectionLimit>> {
    let poolings = snapshot.upstreams.iter();
    let poolings = poolings.filter_map(|upstream| upstream.pooling.as_ref());
    poolings.filter_map(|pooling| pooling.connections.clone())
}

/// Closes idle connections of an upstream whenever requests to it wait, of whatever worker.
async fn give_way(
    handler: Rc<Handler>,
    limit: Arc<ConnectionLimit>,
    mut wanted: watch::Receiver<()>,
) {
    while wanted.changed().await.is_ok() {
        handler.proxy.pools.give_way(&limit);
    }
}

async fn flush(access_log: Rc<AccessLog>) {
    access_log.flush_in_time().await;
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
    async fn accept_all(self: &Rc<Self>, listener: &TcpListener) {
        let mut reported: Option<Instant> = None;
        loop {
            // Connections beyond the limit wait in the kernel's queue, which is bounded too.
            while self.open_everywhere.load(Ordering::Relaxed) >= self.most {
                report(&mut reported, "MAX_CONNECTIONS are open; new ones wait");
                tokio::time::sleep(FULL_PAUSE).await;
            }
            match listener.accept().await {
                Ok((socket, peer)) => self.spawn(socket, peer),
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => {
                    report(&mut reported, &error.to_string());
                    tokio::time::sleep(FULL_PAUSE).await;
                }
            }
        }
    }

    /// Takes over what the kernel has accepted already: closing the listening socket would reset it.
    fn accept_waiting(self: &Rc<Self>, listener: &TcpListener) {
        let mut context = Context::from_waker(Waker::noop());
        while let Poll::Ready(Ok((socket, peer))) = listener.poll_accept(&mut context) {
            self.spawn(socket, peer);
        }
    }

    fn spawn(self: &Rc<Self>, socket: TcpStream, peer: SocketAddr) {
        // Without an address of its own it is closed already.
        let Ok(local) = socket.local_addr() else {
            return;
        };
        // Made here and not in the task, which would keep room for what they are made of.
        let service = Rc::new(ClientService::new(&self.handler, peer, local));
        let io = Io::new(socket);
        let connections = Rc::clone(self);
        self.open.set(self.open.get() + 1);
        self.open_everywhere.fetch_add(1, Ordering::Relaxed);
        spawn_local(async move {
            let _open = OpenConnection(&connections);
            connection::serve(io, service, &connections.limits, &connections.drain).await;
        });
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

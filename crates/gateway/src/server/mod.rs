//! The running program: workers, listeners, connections, and how all of it stops.
//!
//! [`run`] is the plan. Whatever can keep the gateway from starting is found before the first request is taken;
//! after that a worker ends only when it is told to.

mod connection;
mod descriptors;
mod http2;
mod http_client;
mod inherited;
mod listener;
mod notify;
mod shutdown;
mod supervisor;
mod upgrade;
mod worker;

use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use cache::Cache;
use tokio::sync::watch;

use crate::admin::{self, Control, Process};
use crate::caching::{TierError, Tiers};
use crate::config::{AccessLog, AccessLogFormat, DnsSettings, Route, Settings, Snapshot};
use crate::counters::{ProcessCounts, counting_workers};
use crate::metrics::{self, Metrics};
use crate::middleware::access_log::{Sink, SinkError, Style};
use crate::middleware::rate_limit::StoreHealth;
use crate::trace::{self, CollectorError, Export, SpanQueue};
use crate::upstream::{self, Names, Upstream};

pub(crate) use http_client::new as http_client;
use inherited::Inherited;
pub(crate) use shutdown::{Phase, stop_signal};
use upgrade::{Told, Upgrade};
use worker::{Worker, WorkerCache, WorkerHandle};

/// Why the gateway does not start, or does not go on.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Somebody else listens there.
    #[error(
        "{setting}: {address} is in use by another program; stop that one or choose another {setting}"
    )]
    AddressInUse {
        /// The setting to change.
        setting: &'static str,
        /// What was to be listened on.
        address: SocketAddr,
    },
    /// Listening fails for another reason.
    #[error("{setting}: cannot listen on {address}: {error}")]
    Listen {
        /// The setting to change.
        setting: &'static str,
        /// What was to be listened on.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// A socket has been handed over that no setting is about.
    #[error(
        "LISTEN_FDS: a socket at {address} has been handed over, and nothing is to listen there; \
         set HOST and PORT, or ADMIN_ADDR and the name \"admin\", to what it is"
    )]
    Unclaimed {
        /// Where it listens.
        address: SocketAddr,
    },
    /// The process may not open enough files.
    #[error(
        "too few file descriptors: {available} may be open, {needed} are needed for {connections} connections; \
         raise the limit (ulimit -n) or lower MAX_CONNECTIONS"
    )]
    TooFewDescriptors {
        /// The limit of the process.
        available: u64,
        /// What would be needed.
        needed: u64,
        /// Client connections to be served at once.
        connections: usize,
    },
    /// The access log cannot be written.
    #[error(transparent)]
    AccessLog(#[from] SinkError),
    /// What is cached cannot be kept on disk.
    #[error(transparent)]
    CacheTier(#[from] TierError),
    /// A thread or a runtime cannot be made.
    #[error("cannot start {what}: {error}")]
    Start {
        /// What it was for.
        what: &'static str,
        /// What the system said.
        error: io::Error,
    },
    /// The gateway cannot send requests of its own.
    #[error("cannot set up the client for issuers and services: {0}")]
    HttpClient(reqwest::Error),
    /// Spans cannot be exported.
    #[error(transparent)]
    Collector(#[from] CollectorError),
    /// A worker has ended although nobody told it to.
    #[error("a worker has stopped unexpectedly")]
    WorkerLost,
}

/// Serves until a signal says to stop.
///
/// # Errors
/// When the gateway cannot start, or a worker is lost.
pub fn run(settings: Arc<Settings>, snapshot: Arc<Snapshot>) -> Result<(), StartError> {
    let runtime = control_runtime()?;
    runtime.block_on(run_on(settings, snapshot))
}

/// The runtime of everything that is not a request.
///
/// # Errors
/// When the system has no thread for it.
pub fn control_runtime() -> Result<tokio::runtime::Runtime, StartError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(|error| StartError::Start {
            what: "the control runtime",
            error,
        })
}

/// [`run`], on a runtime that is there already.
///
/// # Errors
/// Those of [`run`].
pub async fn run_on(settings: Arc<Settings>, snapshot: Arc<Snapshot>) -> Result<(), StartError> {
    metrics::started();
    let signals = shutdown::StopSignals::take_over()?;
    let names = snapshot.upstreams.iter().map(Upstream::names).sum();
    let most_connections =
        descriptors::most_connections(&settings, upstream::most_dns_sockets(names))?;
    let mut inherited = Inherited::take()?;
    let address = SocketAddr::new(settings.host, settings.port);
    let listeners = listener::bind(address, settings.workers, inherited.at(address))?;
    let admin_listener = match settings.admin_addr {
        Some(address) => Some(listener::bind_admin(address, inherited.admin(address))?),
        None => None,
    };
    inherited.finish()?;
    let failed_upgrades = Arc::default();
    let upgrade = Upgrade::new(
        listeners.copies()?,
        admin_listener.as_ref().map(listener::copy).transpose()?,
        Arc::clone(&failed_upgrades),
    );
    let sink = open_sink(&settings)?;
    let style = style(&settings);

    keep_keys_fresh(&snapshot)?;
    let counts = Arc::new(ProcessCounts::new(counting_workers(&settings)));
    keep_upstreams(&snapshot, &settings.dns, &counts)?;
    let asks_services = snapshot.routes.iter().any(Route::asks_a_service);

    let (phase, _) = watch::channel(Phase::Serving);
    let open_connections = Arc::new(AtomicUsize::new(0));
    let mut workers = Vec::new();
    let address = listeners.address;
    let store_health = Arc::new(StoreHealth::new(
        settings.redis.server.as_ref(),
        settings.workers,
    ));
    let cache = open_cache(&settings, &snapshot).await?;
    let tracing = export_spans(&settings)?;
    for (index, listeners) in listeners.of_workers.into_iter().enumerate() {
        let worker = Worker {
            settings: Arc::clone(&settings),
            snapshot: Arc::clone(&snapshot),
            services: asks_services.then(http_client::new).transpose()?,
            listeners,
            phase: phase.subscribe(),
            sink: sink.as_ref().map(Sink::handle),
            style,
            open_connections: Arc::clone(&open_connections),
            most_connections,
            store_health: Arc::clone(&store_health),
            cache: cache.as_ref().map(|(cache, tiers)| WorkerCache {
                cache: cache.clone(),
                tiers: tiers.clone(),
            }),
            spans: tracing.as_ref().map(|tracing| tracing.queue.clone()),
            counts: Arc::clone(&counts),
        };
        workers.push(WorkerHandle::start(index, worker)?);
    }
    let admin_listener = admin_listener.map(listener::into_tokio).transpose()?;
    let admin_address = admin_listener
        .as_ref()
        .and_then(|listener| listener.local_addr().ok());
    // Before anybody hears that there is somebody to be asked.
    let token = admin_address.and_then(|it| admin::required_token(&settings, it));
    announce(address, admin_address, &settings, &snapshot);
    if upgrade::tell_predecessor() == Told::Nobody {
        notify::ready();
    }
    // Only now: a predecessor has answered here so far.
    if let Some(listener) = admin_listener {
        let current = Arc::clone(&snapshot);
        let metrics = settings.enable_metrics.then(|| Metrics {
            current: Box::new(move || Arc::clone(&current)),
            process: Arc::clone(&counts),
            store: store_health,
            cache: cache.as_ref().map(|(cache, _)| cache.clone()),
            tiers: cache.as_ref().and_then(|(_, tiers)| tiers.clone()),
            spans: tracing.as_ref().map(|tracing| Arc::clone(&tracing.counts)),
        });
        let control = Control {
            settings: Arc::clone(&settings),
            snapshot: Arc::clone(&snapshot),
            cache: cache.as_ref().map(|(cache, _)| cache.clone()),
            tiers: cache.as_ref().and_then(|(_, tiers)| tiers.clone()),
            process: Process { failed_upgrades },
            counts,
        };
        let phase = phase.subscribe();
        tokio::spawn(admin::serve(listener, phase, metrics, control, token));
    }

    let timeout = settings.timeouts.shutdown;
    let result = shutdown::wait(signals, upgrade, &phase, workers, timeout).await;
    if let Some(Tracing { export, queue, .. }) = tracing {
        drop(queue);
        export.finish().await;
    }
    if let Some((_, Some(tiers))) = cache {
        tiers.close().await;
    }
    if let Some(sink) = sink {
        sink.close();
    }
    result
}

/// The way of spans out of the program.
struct Tracing {
    export: Arc<Export>,
    queue: SpanQueue,
    counts: Arc<trace::Counts>,
}

/// Exports spans in the background, where there is a collector.
fn export_spans(settings: &Settings) -> Result<Option<Tracing>, StartError> {
    let Some(collector) = settings.tracing.collector.clone() else {
        return Ok(None);
    };
    let counts = Arc::default();
    let (export, queue) = Export::new(collector, http_client::new()?, &counts)?;
    let export = Arc::new(export);
    let running = Arc::clone(&export);
    supervisor::supervise("exporting spans", move || {
        let export = Arc::clone(&running);
        async move { export.run().await }
    });
    Ok(Some(Tracing {
        export,
        queue,
        counts,
    }))
}

/// The cache, and what is behind its memory; none where no route is cached.
async fn open_cache(
    settings: &Settings,
    snapshot: &Snapshot,
) -> Result<Option<(Cache, Option<Arc<Tiers>>)>, StartError> {
    if snapshot.routes.iter().all(|route| route.cache.is_none()) {
        return Ok(None);
    }
    let memory = cache::Settings {
        capacity: settings.cache_size,
        largest_body: settings.cache_max_object_size,
        ..cache::Settings::default()
    };
    let (cache, tiers) = Tiers::open(memory, &settings.cache_tiers).await?;
    cache.set_capacity(settings.cache_size, &snapshot.cache_shares);
    if let Some(tiers) = &tiers {
        let (writing, written) = (cache.clone(), Arc::clone(tiers));
        supervisor::supervise("writing what is cached", move || {
            let (cache, tiers) = (writing.clone(), Arc::clone(&written));
            async move { tiers.write_behind(&cache).await }
        });
        let (cache, tiers) = (cache.clone(), Arc::clone(tiers));
        supervisor::supervise("the cache in Redis", move || {
            let (cache, tiers) = (cache.clone(), Arc::clone(&tiers));
            async move { tiers.keep_connected(&cache).await }
        });
    }
    Ok(Some((cache, tiers)))
}

/// Fetches the keys of issuers that publish them, in the background.
fn keep_keys_fresh(snapshot: &Snapshot) -> Result<(), StartError> {
    let keys = &snapshot.authority.remote_keys;
    if keys.is_empty() {
        return Ok(());
    }
    let client = http_client::new()?;
    for keys in keys {
        let (keys, client) = (Arc::clone(keys), client.clone());
        supervisor::supervise("keys of an issuer", move || {
            let (keys, client) = (Arc::clone(&keys), client.clone());
            async move { keys.keep_fresh(&client).await }
        });
    }
    Ok(())
}

/// Resolves names, checks endpoints and keeps balancers up to date, in the background.
fn keep_upstreams(
    snapshot: &Arc<Snapshot>,
    dns: &DnsSettings,
    counts: &ProcessCounts,
) -> Result<(), StartError> {
    let names = snapshot.upstreams.iter().any(|it| it.names() > 0);
    let names = names.then(|| Arc::new(Names::new(dns, Arc::clone(&counts.lookups))));
    if let Some(names) = &names {
        let names = Arc::clone(names);
        supervisor::supervise("resolving names", move || {
            let names = Arc::clone(&names);
            async move { names.run().await }
        });
    }
    // It takes a while to read the system's certificates.
    let checks = snapshot.upstreams.iter().any(|it| it.health.is_some());
    let client = checks.then(http_client::new).transpose()?;
    for index in 0..snapshot.upstreams.len() {
        let (snapshot, client, names) = (Arc::clone(snapshot), client.clone(), names.clone());
        supervisor::supervise("an upstream", move || {
            let (snapshot, client, names) = (Arc::clone(&snapshot), client.clone(), names.clone());
            async move {
                let upstream = &snapshot.upstreams[index];
                upstream::keep(upstream, client.as_ref(), names.as_deref()).await;
            }
        });
    }
    Ok(())
}

fn announce(
    address: SocketAddr,
    admin: Option<SocketAddr>,
    settings: &Settings,
    snapshot: &Snapshot,
) {
    tracing::info!(
        address = %address,
        admin = admin.map(tracing::field::display),
        workers = settings.workers,
        routes = snapshot.routes.len(),
        "listening"
    );
}

fn open_sink(settings: &Settings) -> Result<Option<Sink>, SinkError> {
    match &settings.access_log {
        AccessLog::Off => Ok(None),
        AccessLog::Stdout => Sink::stdout().map(Some),
        AccessLog::File(path) => Sink::file(path).map(Some),
    }
}

fn style(settings: &Settings) -> Style {
    match settings.access_log_format {
        AccessLogFormat::Json => Style::Json,
        AccessLogFormat::Text => Style::Text,
        AccessLogFormat::Auto => {
            let terminal = settings.access_log == AccessLog::Stdout && io::stdout().is_terminal();
            if terminal { Style::Text } else { Style::Json }
        }
    }
}

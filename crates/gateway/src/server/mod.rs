//! The running program: workers, listeners, connections, and how all of it stops.
//!
//! [`run`] is the plan. Whatever can keep the gateway from starting is found before the first request is taken;
//! after that a worker ends only when it is told to.

mod bound;
mod cache;
mod connection;
mod descriptors;
mod http2;
mod http_client;
mod inherited;
mod listener;
mod notify;
mod opening;
mod reload;
mod shutdown;
mod supervisor;
mod upgrade;
mod worker;

use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tokio::sync::watch;

use crate::admin::{self, Control, Process};
use crate::caching::{SharedCache, TierError};
use crate::config::{AccessLog, AccessLogFormat, Listeners, Live, Loaded, Settings};
use crate::counters::{ProcessCounts, counting_workers};
use crate::handler::Answers;
use crate::metrics::{self, Metrics};
use crate::middleware::access_log::{Sink, SinkError, Style};
use crate::middleware::rate_limit::StoreHealth;
use crate::tls;
use crate::trace::{self, CollectorError, Export, SpanQueue};
use crate::upstream;

use bound::Bound;
pub(crate) use http_client::new as http_client;
use inherited::Inherited;
pub(crate) use reload::{Applied, Rejected, Reloader};
pub(crate) use shutdown::{Phase, stop_signal};
use upgrade::{Told, Upgrade};
use worker::{Worker, WorkerHandle};

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
         set HOST and PORT, LISTEN, or ADMIN_ADDR and the name \"admin\", to what it is"
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
pub fn run(
    settings: Arc<Settings>,
    loaded: Loaded,
    listeners: Listeners,
) -> Result<(), StartError> {
    let runtime = control_runtime()?;
    runtime.block_on(run_on(settings, loaded, listeners))
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
pub async fn run_on(
    settings: Arc<Settings>,
    loaded: Loaded,
    listeners: Listeners,
) -> Result<(), StartError> {
    metrics::started();
    let signals = shutdown::StopSignals::take_over()?;
    // Each listening socket, and its copy for whoever takes over.
    let sockets = 2 * settings.workers * listeners.all.len();
    // However few names there are, a reload may bring more.
    let apart = upstream::most_dns_sockets(usize::MAX) + sockets;
    let most_connections = descriptors::most_connections(&settings, apart)?;
    let mut inherited = Inherited::take()?;
    let (bound, sockets) = Bound::new(&listeners, &settings, &mut inherited)?;
    let admin_listener = match settings.admin_addr {
        Some(address) => Some(listener::bind_admin(address, inherited.admin(address))?),
        None => None,
    };
    inherited.finish()?;
    let failed_upgrades = Arc::default();
    let upgrade = Upgrade::new(
        sockets,
        admin_listener.as_ref().map(listener::copy).transpose()?,
        Arc::clone(&failed_upgrades),
    );
    let sink = open_sink(&settings)?;
    let style = style(&settings);

    keep_certificates_fresh(&listeners);
    let counts = Arc::new(ProcessCounts::new(counting_workers(&settings)));
    let answers: Arc<[Answers]> = (0..settings.workers).map(|_| Answers::default()).collect();
    let cache = SharedCache::default();
    cache::open(&settings, &loaded.snapshot, &cache).await?;
    let (reloader, live) = Reloader::start(&settings, loaded, &answers, &cache, &counts)?;

    let (phase, _) = watch::channel(Phase::Serving);
    let open_connections = Arc::new(AtomicUsize::new(0));
    let mut workers = Vec::new();
    let store_health = Arc::new(StoreHealth::new(
        settings.redis.server.as_ref(),
        settings.workers,
    ));
    let tracing = export_spans(&settings)?;
    for (index, listeners) in bound.of_workers.into_iter().enumerate() {
        let worker = Worker {
            settings: Arc::clone(&settings),
            live: Arc::clone(&live),
            listeners,
            phase: phase.subscribe(),
            sink: sink.as_ref().map(Sink::handle),
            style,
            open_connections: Arc::clone(&open_connections),
            most_connections,
            store_health: Arc::clone(&store_health),
            cache: Arc::clone(&cache),
            spans: tracing.as_ref().map(|tracing| tracing.queue.clone()),
            counts: Arc::clone(&counts),
            answers: settings
                .reload
                .rollback
                .map(|_| (Arc::clone(&answers), index)),
        };
        workers.push(WorkerHandle::start(index, worker)?);
    }
    let admin_listener = admin_listener.map(listener::into_tokio).transpose()?;
    let admin_address = admin_listener
        .as_ref()
        .and_then(|listener| listener.local_addr().ok());
    // Before anybody hears that there is somebody to be asked.
    let token = admin_address.and_then(|it| admin::required_token(&settings, it));
    announce(&bound.addresses, admin_address, &settings, &live);
    if upgrade::tell_predecessor() == Told::Nobody {
        notify::ready();
    }
    // Only now: a predecessor has answered here so far.
    if let Some(listener) = admin_listener {
        let metrics = settings.enable_metrics.then(|| Metrics {
            live: Arc::clone(&live),
            process: Arc::clone(&counts),
            store: store_health,
            cache: Arc::clone(&cache),
            spans: tracing.as_ref().map(|tracing| Arc::clone(&tracing.counts)),
            tls: listeners.tls.clone(),
        });
        let control = Control {
            settings: Arc::clone(&settings),
            live: Arc::clone(&live),
            reloader,
            cache: Arc::clone(&cache),
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
    if let Some(tiers) = cache.get().and_then(|open| open.tiers.as_ref()) {
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
    let task = supervisor::supervise("exporting spans", move || {
        let export = Arc::clone(&running);
        async move { export.run().await }
    });
    task.for_good();
    Ok(Some(Tracing {
        export,
        queue,
        counts,
    }))
}

/// Reads certificates anew when their files change, in the background.
fn keep_certificates_fresh(listeners: &Listeners) {
    let Some(tls) = &listeners.tls else {
        return;
    };
    let terminations: Vec<_> = listeners
        .all
        .iter()
        .filter_map(|it| it.tls.clone())
        .collect();
    let (store, counts) = (Arc::clone(&tls.store), Arc::clone(&tls.counts));
    let files = tls.files.clone();
    let task = supervisor::supervise("watching certificates", move || {
        tls::keep_fresh(
            Arc::clone(&store),
            files.clone(),
            terminations.clone(),
            Arc::clone(&counts),
        )
    });
    task.for_good();
}

fn announce(
    addresses: &[(&'static str, SocketAddr)],
    admin: Option<SocketAddr>,
    settings: &Settings,
    live: &Live,
) {
    let listeners = addresses
        .iter()
        .map(|(scheme, address)| format!("{scheme}://{address}"));
    tracing::info!(
        address = addresses
            .first()
            .map(|(_, address)| tracing::field::display(address)),
        listeners = listeners.collect::<Vec<_>>().join(", "),
        admin = admin.map(tracing::field::display),
        workers = settings.workers,
        routes = live.snapshot().routes.len(),
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

//! The configuration that is served, and how it is replaced.
//!
//! There is one [`Snapshot`] at a time, shared by all. A worker looks at it through its [`View`]: one load per request
//! tells whether there is another one. What a request takes from it is its [`LocalRoute`], and with that the upstreams
//! where it may go; the snapshot itself is let go of at once, so that a configuration which has been replaced is gone
//! when every worker has looked, however long its requests take. What is to outlast even the route's configuration, an
//! answer that streams or a WebSocket, holds no more than the route's [`Ongoing`].
//!
//! What is known of routes, upstreams and limits is no part of a snapshot's making: it is [carried](Carried) from each
//! configuration into the next, by identity.

mod carried;
mod route_state;
mod view;

pub(crate) use carried::{Carried, UpstreamKey};
pub(crate) use route_state::{Ongoing, RouteState, Waiting};
pub(crate) use view::{Local, LocalRoute, View};

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::Snapshot;

/// The configuration that is served.
#[derive(Debug)]
pub(crate) struct Live {
    snapshot: ArcSwap<Snapshot>,
    /// Counts configurations, from 1.
    generation: AtomicU64,
    /// Hears of each: an idle worker is not to keep an old one.
    replaced: watch::Sender<()>,
}

impl Live {
    pub(crate) fn new(snapshot: Arc<Snapshot>) -> Self {
        Self {
            snapshot: ArcSwap::new(snapshot),
            generation: AtomicU64::new(1),
            replaced: watch::Sender::new(()),
        }
    }

    /// The present one. For those who ask now and then; requests have a [`View`].
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// The number of the present one.
    pub(crate) fn generation(&self) -> u64 {
        // After it the snapshot is read, which has been stored before it.
        self.generation.load(Ordering::Acquire)
    }

    /// Has this one served from now on; its number. One at a time may do so.
    pub(crate) fn replace(&self, snapshot: Arc<Snapshot>) -> u64 {
        self.snapshot.store(snapshot);
        let generation = self.generation.fetch_add(1, Ordering::Release) + 1;
        self.replaced.send_replace(());
        generation
    }

    /// Hears of every replacement from now on.
    pub(crate) fn replacements(&self) -> watch::Receiver<()> {
        self.replaced.subscribe()
    }
}

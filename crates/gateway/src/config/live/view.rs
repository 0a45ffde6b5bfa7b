//! The configuration as one worker sees it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Live, Ongoing, RouteState};
use crate::config::{Route, Snapshot};
use crate::middleware::rate_limit::RateLimits;

/// One worker's way to the configuration.
#[derive(Debug)]
pub(crate) struct View {
    live: Arc<Live>,
    /// The generation that has been looked at last.
    seen: Cell<u64>,
    local: RefCell<Rc<Local>>,
    /// Of routes that are gone, and when what is left of them ends.
    draining: RefCell<Vec<(Instant, Rc<Ongoing>)>>,
    /// How long that may go on.
    drain_time: Duration,
}

/// A configuration on one worker: what its requests hold is counted without the others noticing.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) snapshot: Arc<Snapshot>,
    /// In the order of the snapshot.
    routes: Box<[Rc<LocalRoute>]>,
    /// Of requests without a route.
    pub(crate) unrouted: Rc<Ongoing>,
}

/// A route, as requests hold it: nothing that they take from it is counted where other workers count too.
#[derive(Debug)]
pub(crate) struct LocalRoute {
    route: Arc<Route>,
    /// What its limits are counted by.
    pub(crate) limiter: Arc<RateLimits>,
    /// Its path pattern, for those who keep that longer than the route.
    pub(crate) pattern: Rc<str>,
    pub(crate) ongoing: Rc<Ongoing>,
}

impl Deref for LocalRoute {
    type Target = Route;

    fn deref(&self) -> &Route {
        &self.route
    }
}

impl Local {
    /// `known` are those of the configuration before, by [`key`].
    fn new(snapshot: Arc<Snapshot>, known: &HashMap<usize, Rc<Ongoing>>) -> Self {
        let ongoing = |state: &Arc<RouteState>| match known.get(&key(state)) {
            Some(ongoing) => Rc::clone(ongoing),
            None => Rc::new(Ongoing::new(Arc::clone(state))),
        };
        let routes = snapshot.routes.iter().map(|route| {
            Rc::new(LocalRoute {
                ongoing: ongoing(&route.state),
                limiter: Arc::clone(&snapshot.rate_limits),
                pattern: Rc::from(&*route.pattern),
                route: Arc::clone(route),
            })
        });
        Self {
            routes: routes.collect(),
            unrouted: ongoing(&snapshot.unrouted),
            snapshot,
        }
    }

    /// The route with this index, an answer of the snapshot's router.
    pub(crate) fn route(&self, index: usize) -> &Rc<LocalRoute> {
        &self.routes[index]
    }

    fn ongoing(&self) -> impl Iterator<Item = &Rc<Ongoing>> {
        let routes = self.routes.iter().map(|route| &route.ongoing);
        routes.chain([&self.unrouted])
    }
}

/// What tells a state from others for as long as somebody has it.
fn key(state: &Arc<RouteState>) -> usize {
    Arc::as_ptr(state).addr()
}

impl View {
    pub(crate) fn new(live: Arc<Live>, drain_time: Duration) -> Self {
        let seen = live.generation();
        let local = Local::new(live.snapshot(), &HashMap::new());
        Self {
            seen: Cell::new(seen),
            local: RefCell::new(Rc::new(local)),
            draining: RefCell::default(),
            drain_time,
            live,
        }
    }

    /// Whether there is another configuration than the one that has been looked at last.
    pub(crate) fn is_outdated(&self) -> bool {
        self.live.generation() != self.seen.get()
    }

    /// The one that has been looked at last.
    pub(crate) fn local(&self) -> Rc<Local> {
        Rc::clone(&self.local.borrow())
    }

    /// Looks at the present one. Routes that it has no more begin to drain; one that has come back while it did goes on.
    pub(crate) fn renew(&self, now: Instant) {
        self.seen.set(self.live.generation());
        let before = self.local();
        let mut draining = self.draining.borrow_mut();
        let of_before = before.ongoing().map(|it| (key(&it.state), Rc::clone(it)));
        let mut known: HashMap<usize, Rc<Ongoing>> = of_before.collect();
        known.extend(
            draining
                .iter()
                .map(|(_, it)| (key(&it.state), Rc::clone(it))),
        );
        let local = Rc::new(Local::new(self.live.snapshot(), &known));
        let served: HashMap<usize, ()> = local.ongoing().map(|it| (key(&it.state), ())).collect();
        let is_served = |ongoing: &Rc<Ongoing>| served.contains_key(&key(&ongoing.state));
        draining.retain(|(_, ongoing)| !is_served(ongoing));
        let gone = before.ongoing().filter(|ongoing| !is_served(ongoing));
        draining.extend(gone.map(|ongoing| (now + self.drain_time, Rc::clone(ongoing))));
        self.local.replace(local);
    }

    /// Ends what is left of routes that are gone when its time is over; to be called now and then.
    pub(crate) fn sweep(&self, now: Instant) {
        let mut draining = self.draining.borrow_mut();
        draining.retain(|(until, ongoing)| {
            let goes_on = now < *until && Rc::strong_count(ongoing) > 1;
            if !goes_on {
                ongoing.end();
            }
            goes_on
        });
    }

    /// Hears of every other configuration from now on.
    pub(crate) fn replacements(&self) -> tokio::sync::watch::Receiver<()> {
        self.live.replacements()
    }
}

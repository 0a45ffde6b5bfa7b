//! What a worker needs for some configurations only: made when the first one comes that needs it.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::sync::{Arc, Weak};

use tokio::sync::watch;
use tokio::task::spawn_local;
use tokio::time::Instant;

use super::Handler;
use crate::caching::{Caching, OpenCache, SharedCache};
use crate::config::{Local, Route, Snapshot};
use crate::middleware::rate_limit::{self, Store, StoreHealth};
use crate::proxy::Proxy;
use crate::upstream::ConnectionLimit;

/// What a worker needs for some configurations only.
#[derive(Debug)]
pub(crate) struct Equipment {
    cache: SharedCache,
    /// Where a route is cached.
    caching: OnceCell<Rc<Caching>>,
    /// How Redis is, for all workers.
    store_health: Arc<StoreHealth>,
    /// The way to Redis, where a limit is counted there.
    store: OnceCell<Rc<Store>>,
    /// Limits whose idle connections give way to those who wait.
    yielding: RefCell<Vec<Weak<ConnectionLimit>>>,
}

impl Equipment {
    pub(crate) fn new(cache: SharedCache, store_health: Arc<StoreHealth>) -> Self {
        Self {
            cache,
            caching: OnceCell::new(),
            store_health,
            store: OnceCell::new(),
            yielding: RefCell::default(),
        }
    }

    /// None where no route is cached.
    pub(super) fn caching(&self) -> Option<&Rc<Caching>> {
        self.caching.get()
    }

    /// None where no limit is counted in Redis.
    pub(super) fn store(&self) -> Option<&Store> {
        self.store.get().map(|store| &**store)
    }
}

impl Handler {
    /// The present configuration.
    pub(super) fn local(&self) -> Rc<Local> {
        if self.configuration.is_outdated() {
            self.renew();
        }
        self.configuration.local()
    }

    /// Looks at the present configuration, and sees to what it needs.
    pub(crate) fn renew(&self) {
        self.configuration.renew(Instant::now());
        self.equip();
    }

    /// Sees to what the configuration needs. Also to be called before the first request.
    pub(crate) fn equip(&self) {
        let (equipment, settings) = (&self.equipment, &self.settings);
        let local = self.configuration.local();
        let snapshot = &local.snapshot;
        // It has been opened before the first configuration that needs it.
        if let Some(OpenCache { cache, tiers }) = equipment.cache.get() {
            equipment.caching.get_or_init(|| {
                let (cache, tiers) = (cache.clone(), tiers.clone());
                Rc::new(Caching::new(cache, tiers, &self.proxy, &self.configuration))
            });
        }
        if let (Some(server), true) = (&settings.redis.server, snapshot.rate_limits.need_redis()) {
            equipment.store.get_or_init(|| {
                let health = Arc::clone(&equipment.store_health);
                let store = Rc::new(Store::new(settings.redis.timeout, health));
                spawn_local(rate_limit::keep(Rc::clone(&store), server.clone()));
                store
            });
        }
        if snapshot
            .routes
            .iter()
            .any(|route| Route::asks_a_service(route))
        {
            self.authenticator.ask_services();
        }
        let mut yielding = equipment.yielding.borrow_mut();
        yielding.retain(|limit| limit.strong_count() > 0);
        for limit in limits(snapshot) {
            let is_known = |known: &Weak<ConnectionLimit>| known.as_ptr() == Arc::as_ptr(&limit);
            if !yielding.iter().any(is_known) {
                yielding.push(Arc::downgrade(&limit));
                // Before a request can be there: nobody who waits is missed.
                let wanted = limit.wanted();
                spawn_local(give_way(
                    Rc::clone(&self.proxy),
                    Arc::downgrade(&limit),
                    wanted,
                ));
            }
        }
    }
}

/// The limits of upstreams whose connections are limited.
fn limits(snapshot: &Snapshot) -> impl Iterator<Item = Arc<ConnectionLimit>> {
    let poolings = snapshot.upstreams.iter();
    let poolings = poolings.filter_map(|upstream| upstream.pooling.as_ref());
    poolings.filter_map(|pooling| pooling.connections.clone())
}

/// Closes idle connections of an upstream whenever requests to it wait, of whatever worker; until it is gone.
async fn give_way(proxy: Rc<Proxy>, limit: Weak<ConnectionLimit>, mut wanted: watch::Receiver<()>) {
    while wanted.changed().await.is_ok() {
        let Some(limit) = limit.upgrade() else {
            return;
        };
        proxy.pools.give_way(&limit);
    }
}

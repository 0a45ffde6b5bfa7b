//! Opening the cache, and what is behind its memory.

use std::sync::Arc;

use super::StartError;
use super::supervisor::supervise;
use crate::caching::{OpenCache, SharedCache, Tiers};
use crate::config::{Settings, Snapshot};

/// Opens the cache where `snapshot` has a route that is cached, and it is not open yet; divides its memory among routes in any
/// case.
///
/// # Errors
/// When what is behind its memory cannot be used.
pub(super) async fn open(
    settings: &Settings,
    snapshot: &Snapshot,
    shared: &SharedCache,
) -> Result<(), StartError> {
    let is_cached = snapshot.routes.iter().any(|route| route.cache.is_some());
    if is_cached && shared.get().is_none() {
        let memory = cache::Settings {
            capacity: settings.cache_size,
            largest_body: settings.cache_max_object_size,
            ..cache::Settings::default()
        };
        let (cache, tiers) = Tiers::open(memory, &settings.cache_tiers).await?;
        if let Some(tiers) = &tiers {
            tend(&cache, tiers);
        }
        // One task opens it.
        let _is_new = shared.set(OpenCache { cache, tiers });
    }
    if let Some(OpenCache { cache, .. }) = shared.get() {
        cache.set_capacity(settings.cache_size, &snapshot.cache_shares);
    }
    Ok(())
}

/// Writes behind what is cached, and keeps Redis connected, until the program ends.
fn tend(cache: &cache::Cache, tiers: &Arc<Tiers>) {
    let (writing, written) = (cache.clone(), Arc::clone(tiers));
    let task = supervise("writing what is cached", move || {
        let (cache, tiers) = (writing.clone(), Arc::clone(&written));
        async move { tiers.write_behind(&cache).await }
    });
    task.for_good();
    let (cache, tiers) = (cache.clone(), Arc::clone(tiers));
    let task = supervise("the cache in Redis", move || {
        let (cache, tiers) = (cache.clone(), Arc::clone(&tiers));
        async move { tiers.keep_connected(&cache).await }
    });
    task.for_good();
}

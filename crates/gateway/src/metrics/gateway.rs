//! Metrics of the gateway as a whole.

use super::Metrics;
use super::catalogue as names;
use super::exposition::Exposition;
use crate::caching::{Answer, Tier, Tiers, Write};
use crate::counters::{LookedUp, ProcessCounts, Protocol, RELOAD_RESULTS, ReloadStatus};
use crate::middleware::rate_limit::{Failure, Fallback, StoreHealth};

pub(super) fn add(to: &mut Exposition, metrics: &Metrics) {
    add_connections(to, &metrics.process);
    add_store(to, &metrics.store);
    let open = metrics.cache.get();
    if let Some(open) = open {
        let usage = open.cache.usage();
        to.single(&names::CACHE_ENTRIES, usage.keys);
        to.single(&names::CACHE_BYTES, usage.bytes);
        to.single(&names::CACHE_CAPACITY, usage.capacity);
        to.single(&names::CACHE_EVICTED, usage.evicted_keys);
        to.single(&names::CACHE_EVICTED_BYTES, usage.evicted_bytes);
        to.single(&names::CACHE_TOO_LARGE, usage.too_large);
    }
    if let Some(tiers) = open.and_then(|open| open.tiers.as_ref()) {
        add_tiers(to, tiers);
    }
    if let Some(spans) = &metrics.spans {
        let mut family = to.family(&names::SPANS);
        family.add(&["exported"], spans.exported());
        family.add(&["queue_full"], spans.overflowed());
        family.add(&["export_failed"], spans.failed());
    }
    let mut family = to.family(&names::DNS_LOOKUPS);
    for (value, name) in LookedUp::NAMES.iter().enumerate() {
        family.add(&[name], metrics.process.lookups.get(value));
    }
    add_configuration(to, &metrics.process.reload);
    let version = env!("CARGO_PKG_VERSION");
    to.family(&names::BUILD).add(&[version], 1);
}

fn add_tiers(to: &mut Exposition, tiers: &Tiers) {
    let mut family = to.family(&names::CACHE_TIER_LOOKUPS);
    for tier in Tier::ALL {
        for answer in Answer::ALL {
            let count = tiers.counts.answers(tier, answer);
            family.add(&[tier.name(), answer.name()], count);
        }
    }
    let mut family = to.family(&names::CACHE_TIER_WRITES);
    for tier in Tier::ALL {
        for write in Write::ALL {
            let count = tiers.counts.writes(tier, write);
            family.add(&[tier.name(), write.name()], count);
        }
    }
    if let Some(is_connected) = tiers.is_connected() {
        to.single(&names::CACHE_REDIS_CONNECTED, u8::from(is_connected));
    }
}

fn add_connections(to: &mut Exposition, process: &ProcessCounts) {
    let mut family = to.family(&names::CONNECTIONS_OPEN);
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let open = process
            .workers
            .sum(|worker| worker.open[protocol as usize].get());
        family.add(&[Protocol::NAMES[protocol as usize]], open);
    }
    let mut family = to.family(&names::CONNECTIONS);
    for (value, name) in Protocol::NAMES.iter().enumerate() {
        let accepted = process.workers.sum(|worker| worker.accepted.get(value));
        family.add(&[name], accepted);
    }
}

fn add_store(to: &mut Exposition, health: &StoreHealth) {
    let mut family = to.family(&names::RATE_LIMIT_STORE_FAILURES);
    for failure in Failure::ALL {
        family.add(&[failure.name()], health.failures(failure));
    }
    let mut family = to.family(&names::RATE_LIMIT_FALLBACK);
    for mode in Fallback::ALL {
        family.add(&[mode.name()], health.fallbacks(mode));
    }
}

fn add_configuration(to: &mut Exposition, reload: &ReloadStatus) {
    to.single(&names::CONFIG_GENERATION, reload.generation());
    let mut family = to.family(&names::CONFIG_RELOADS);
    for (name, count) in RELOAD_RESULTS.iter().zip(reload.attempts()) {
        family.add(&[name], count);
    }
    let success = u8::from(reload.last_success());
    to.single(&names::CONFIG_LAST_RELOAD_SUCCESS, success);
    let at = reload.last_time().as_secs();
    to.single(&names::CONFIG_LAST_RELOAD, at);
    to.single(&names::CONFIG_IN_MEMORY, reload.in_memory());
}

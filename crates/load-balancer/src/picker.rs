//! Picking an endpoint for a request.
//!
//! A [`Picker`] is made of settings and endpoints, and does not change: the caller puts it where all threads find it
//! and replaces it by a new one, made off the way of requests, when endpoints come or go ([`Picker::update`]) or when
//! their availability has changed ([`Picker::is_stale`], [`Picker::refresh`]). Between the change and the
//! replacement, an endpoint that has become unavailable is not picked any more, but those that remain get its share
//! in a makeshift way; and one that has become available is picked only for its own keys and for clients that stay
//! with it.

use std::sync::Arc;
use std::time::Duration;

use crate::in_flight::InFlight;
use crate::load::nanoseconds;
use crate::plan::{self, Panic};
use crate::pool::{Lot, Materials, Placement, Pool, Query};
use crate::random::{Random, mix, nth};
use crate::settings::{Endpoint, Policy, Settings};

/// Picks endpoints for requests, from any number of threads at once.
#[derive(Debug)]
pub struct Picker {
    settings: Settings,
    endpoints: Arc<[Endpoint]>,
    /// Each identity and its endpoint's index, by identity.
    by_id: Arc<[(u64, usize)]>,
    /// Of each endpoint, how it stood when this was made.
    standings: Box<[Standing]>,
    /// In order of preference. Empty if no endpoint has a weight, or none is available and panic is off.
    pools: Box<[Share]>,
}

/// What pools are made by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Standing {
    available: bool,
    drained: bool,
}

/// A pool's share of the requests.
#[derive(Debug)]
struct Share {
    pool: Pool,
    /// Its share and those of the pools before it, of 2³².
    up_to: u64,
}

/// What is to be considered in a pick.
#[derive(Debug, Clone, Copy, Default)]
pub struct Request<'a> {
    /// Decides, with [`Policy::ConsistentHash`], where the request goes. None: any endpoint will do.
    pub hash: Option<u64>,
    /// The identity of the endpoint that this client is to stay with: it is picked if it is available and has a
    /// weight, whatever the policy.
    pub sticky: Option<u64>,
    /// Identities of endpoints that this request has been sent to before: they are not picked.
    pub tried: &'a [u64],
    /// The time since any fixed point: the same for all that concerns these endpoints.
    pub now: Duration,
    /// Any number, evenly from all: the pick depends on no other chance.
    pub random: u64,
}

/// An endpoint that has been picked.
#[derive(Debug, Clone, Copy)]
pub struct Pick<'a> {
    /// Its index among the picker's endpoints.
    pub index: usize,
    /// Whether health was ignored, since too few endpoints are available. Who would rather answer with an error can.
    pub panic: bool,
    picker: &'a Picker,
}

impl Picker {
    /// A picker over `endpoints`.
    #[must_use]
    pub fn new(settings: Settings, endpoints: impl Into<Arc<[Endpoint]>>) -> Self {
        let endpoints = endpoints.into();
        let by_id = by_id(&endpoints);
        Self::build(settings, endpoints, by_id, None)
    }

    /// A picker that takes this one's place: the round goes on where it was, and tables are made anew only where their
    /// members have changed.
    #[must_use]
    pub fn update(&self, settings: Settings, endpoints: impl Into<Arc<[Endpoint]>>) -> Self {
        let endpoints = endpoints.into();
        let by_id = by_id(&endpoints);
        Self::build(settings, endpoints, by_id, Some(self))
    }

    /// The same over the same endpoints, by their present availability.
    #[must_use]
    pub fn refresh(&self) -> Self {
        Self::build(
            self.settings.clone(),
            Arc::clone(&self.endpoints),
            Arc::clone(&self.by_id),
            Some(self),
        )
    }

    fn build(
        settings: Settings,
        endpoints: Arc<[Endpoint]>,
        by_id: Arc<[(u64, usize)]>,
        before: Option<&Self>,
    ) -> Self {
        let pools_before = || before.into_iter().flat_map(|before| &before.pools);
        let placements: Vec<Arc<Placement>> = pools_before()
            .filter_map(|share| share.pool.placement().cloned())
            .collect();
        let turns: Vec<usize> = pools_before().map(|share| share.pool.turn()).collect();
        let standings: Box<[Standing]> = endpoints.iter().map(Standing::of).collect();
        let available: Box<[bool]> = standings.iter().map(|it| it.available).collect();

        let mut up_to = 0.0;
        let pools = plan::groups(&settings, &endpoints, &available)
            .iter()
            .enumerate()
            .map(|(place, group)| {
                up_to += group.share;
                let materials = Materials {
                    settings: &settings,
                    endpoints: &endpoints,
                    available: &available,
                    placements: &placements,
                    turn: turns.get(place).copied().unwrap_or(0),
                };
                Share {
                    pool: Pool::new(group, &materials),
                    up_to: (up_to * (1_u64 << 32) as f64) as u64,
                }
            })
            .collect();
        Self {
            settings,
            endpoints,
            by_id,
            standings,
            pools,
        }
    }

    /// The endpoints, as they were given.
    #[must_use]
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// The index of the endpoint with this identity.
    #[must_use]
    pub fn index_of(&self, id: u64) -> Option<usize> {
        let place = self.by_id.binary_search_by_key(&id, |&(id, _)| id).ok()?;
        Some(self.by_id[place].1)
    }

    /// The settings, as they were given.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether the availability of an endpoint has changed since this was made.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        let now = self.endpoints.iter().map(Standing::of);
        now.zip(&self.standings).any(|(now, &then)| now != then)
    }

    /// Picks an endpoint. None only if each has been tried or has the weight 0: when no other is left, one that is
    /// not available is picked, in [`panic`](Pick::panic).
    #[inline]
    #[must_use]
    pub fn pick(&self, request: &Request<'_>) -> Option<Pick<'_>> {
        if let Some(id) = request.sticky
            && let Some(index) = self.remembered(id, request.tried)
        {
            return Some(self.picked(index, Panic::No));
        }
        let mut random = Random::new(request.random);
        let by_hash = matches!(self.settings.policy, Policy::ConsistentHash { .. });
        let (key, draw) = match request.hash {
            Some(hash) if by_hash => {
                let key = mix(hash);
                // The same pool for the same key, and nothing to do with its place in the pool's table.
                (key, nth(key, u64::MAX))
            }
            _ => (random.next(), random.next()),
        };
        let query = Query {
            tried: request.tried,
            now: nanoseconds(request.now),
            key,
        };
        if let Some(pool) = self.pool(draw)
            && let Some(index) = pool.choose(&query, &mut random)
        {
            return Some(self.picked(index, pool.panic()));
        }
        self.pick_of_all(&query)
    }

    #[inline]
    fn pool(&self, draw: u64) -> Option<&Pool> {
        let (last, others) = self.pools.split_last()?;
        let draw = draw >> 32;
        let drawn = others.iter().find(|share| draw < share.up_to);
        Some(&drawn.unwrap_or(last).pool)
    }

    /// The index of the endpoint with this identity, if it may be picked.
    fn remembered(&self, id: u64, tried: &[u64]) -> Option<usize> {
        let index = self.index_of(id)?;
        let endpoint = &self.endpoints[index];
        let may =
            endpoint.present_weight() > 0 && endpoint.load.is_available() && !tried.contains(&id);
        may.then_some(index)
    }

    /// When the pool has nobody: whoever else has not been tried, by lot; those that are available first, and of
    /// those the ones of the highest priority.
    #[cold]
    fn pick_of_all(&self, query: &Query<'_>) -> Option<Pick<'_>> {
        let by_lot = |panic: Panic| {
            let mut random = Random::new(query.key);
            let mut lot = Lot::default();
            let mut priority = u32::MAX;
            for (index, endpoint) in self.endpoints.iter().enumerate() {
                let usable = panic == Panic::Yes || endpoint.load.is_available();
                if !usable || query.has_tried(endpoint.id) || endpoint.priority > priority {
                    continue;
                }
                let weight = endpoint.present_weight();
                if weight > 0 && endpoint.priority < priority {
                    priority = endpoint.priority;
                    lot = Lot::default();
                }
                lot.enter(index, weight as f32, &mut random);
            }
            lot.winner().map(|index| self.picked(index, panic))
        };
        by_lot(Panic::No).or_else(|| by_lot(Panic::Yes))
    }

    const fn picked(&self, index: usize, panic: Panic) -> Pick<'_> {
        Pick {
            index,
            panic: matches!(panic, Panic::Yes),
            picker: self,
        }
    }
}

impl Standing {
    fn of(endpoint: &Endpoint) -> Self {
        Self {
            available: endpoint.load.is_available(),
            drained: endpoint.load.is_drained(),
        }
    }
}

impl<'a> Pick<'a> {
    /// The endpoint.
    #[must_use]
    pub fn endpoint(&self) -> &'a Endpoint {
        &self.picker.endpoints[self.index]
    }

    /// Counts a request to the endpoint as in flight from `now` on.
    #[inline]
    #[must_use]
    pub fn start(&self, now: Duration) -> InFlight {
        InFlight::start(&self.endpoint().load, now)
    }
}

fn by_id(endpoints: &[Endpoint]) -> Arc<[(u64, usize)]> {
    let ids = endpoints.iter().map(|endpoint| endpoint.id);
    let mut by_id: Vec<(u64, usize)> = ids.zip(0..).collect();
    by_id.sort_unstable();
    by_id.into()
}

#[cfg(test)]
mod tests;

//! How much each client may ask for.
//!
//! A [`RateLimit`] says how many units of what in which time; a route has [`RouteLimits`], all of which hold.
//! [`RateLimits`] counts a request against those of its route, and gives a [`Verdict`]: whether the request may pass,
//! and what its answer tells. Counts are this process's own, or stand in Redis ([`Store`]) for several gateways together.

mod counter_name;
mod key;
mod limit;
mod limits;
mod shared;
mod store;
mod told;
mod verdict;

pub(crate) use limit::{OnError, Part, RateLimit, RouteLimit, RouteLimits, Shared, StagedLimits};
pub(crate) use limits::{Counted, RateLimits, Room};
pub(crate) use told::RateLimitFields;

pub(crate) use counter_name::{Owner, counter_name};
pub(crate) use store::{Failure, Fallback, Store, StoreHealth, keep};
pub(crate) use verdict::Verdict;

#[cfg(test)]
mod structured_tests;
#[cfg(test)]
mod tests;

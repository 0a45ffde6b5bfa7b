//! How much each client may ask for.
//!
//! A [`RateLimit`] says how many units of what in which time; a route has [`RouteLimits`], all of which hold.
//! [`RateLimits`] counts a request against those of its route, and gives a [`Verdict`]: whether the request may pass,
//! and what its answer tells.

mod key;
mod limit;
mod limits;
mod told;
mod verdict;

pub(crate) use limit::{Part, RateLimit, RouteLimit, RouteLimits};
pub(crate) use limits::RateLimits;
pub(crate) use told::RateLimitFields;

pub(crate) use key::Subject;
pub(crate) use verdict::Verdict;

#[cfg(test)]
mod tests;

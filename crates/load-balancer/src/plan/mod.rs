//! Which endpoints take part, in which groups, and what share of the requests each group gets.
//!
//! Two questions are answered here when the endpoints or their availability change, so that a request need not ask
//! them: how much each **priority level** gets and whether it is in panic (`levels`), and how much of a level's share
//! stays **near** (`nearness`). Groups are in order of preference; a request draws its group by the shares, and an
//! endpoint of it by the policy.

mod levels;
mod nearness;

pub(crate) use levels::Panic;

use levels::Level;

use crate::settings::{Endpoint, Policy, Settings};

/// Endpoints that are alike in priority and nearness.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Group {
    /// Indices of endpoints, in order; none of weight 0. With consistent hashing also those that are not available:
    /// they have their places in the table.
    pub(crate) members: Vec<usize>,
    /// Of all requests: 0.0 to 1.0.
    pub(crate) share: f64,
    /// Whether health is ignored.
    pub(crate) panic: Panic,
}

/// The groups that get requests: their shares add up to 1, unless there are no endpoints above weight 0, or none of
/// them is available and panic is off.
/// `available` says of each endpoint whether it is: looked up once, as others may change it meanwhile.
pub(crate) fn groups(
    settings: &Settings,
    endpoints: &[Endpoint],
    available: &[bool],
) -> Vec<Group> {
    let levels = levels::of(endpoints, available);
    let loads = levels::loads(settings, &levels);
    let mut groups = Vec::new();
    for (level, load) in levels.into_iter().zip(loads) {
        if load.percent == 0 {
            continue;
        }
        let share = f64::from(load.percent) / 100.0;
        match (load.panic, settings.policy) {
            // A key must find the same endpoint from every zone: hashing knows no nearness.
            (Panic::No, Policy::ConsistentHash { .. }) | (Panic::Yes, _) => groups.push(Group {
                members: level.members,
                share,
                panic: load.panic,
            }),
            (Panic::No, _) => groups.extend(near_and_far(settings, endpoints, &level, share)),
        }
    }
    groups
}

/// The groups of one level that is not in panic.
fn near_and_far(
    settings: &Settings,
    endpoints: &[Endpoint],
    level: &Level,
    share: f64,
) -> impl Iterator<Item = Group> {
    nearness::split(settings, endpoints, level)
        .into_iter()
        .map(move |(members, part)| Group {
            members,
            share: share * part,
            panic: Panic::No,
        })
}

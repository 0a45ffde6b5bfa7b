//! Load balancing as pure state machines: no sockets, no clock, no locks.

mod weighted_round_robin;

pub use weighted_round_robin::{MAX_ROUND, WeightedRoundRobin, WeightsError};

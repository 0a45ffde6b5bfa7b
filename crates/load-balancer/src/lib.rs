//! Load balancing as pure state machines: no sockets, no clock, no locks.

mod ewma;
mod in_flight;
mod load;
mod plan;
mod random;
mod sampler;
mod settings;
mod stripes;
mod table;
mod weighted_round_robin;

pub mod health;
pub mod outlier;

pub use in_flight::{InFlight, Outcome, Streak};
pub use load::Load;
pub use random::identity;
pub use settings::{Endpoint, HashTable, Locality, Policy, Settings, SlowStart};
pub use weighted_round_robin::{MAX_ROUND, WeightedRoundRobin, WeightsError};

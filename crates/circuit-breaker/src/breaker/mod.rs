//! A circuit breaker: stops calling what does not answer, and tries again with care. What it does is said at
//! [`Breaker`]; why it may be asked by any number of threads, in `phase.rs` and `window.rs`.

mod machine;
mod permit;
mod phase;
mod policy;
mod state;
mod window;

pub use machine::Breaker;
pub use permit::Permit;
pub use policy::{OpenTime, Policy, SlowCalls};
pub use state::{Cause, Rejected, State, Transition, Transitions};
pub use window::Counts;

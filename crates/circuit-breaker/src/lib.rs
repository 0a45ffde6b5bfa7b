//! Circuit breakers as pure state machines: no sockets, no clock, no locks. Time is passed in, as a `Duration` since any
//! fixed point.
//!
//! A [`Breaker`] stops calling what does not answer, and tries again with care. It opens when too many calls fail one
//! after the other, or when too large a share of them fails or is slow.
//!
//! ```
//! use std::time::Duration;
//! use circuit_breaker::{Breaker, Policy, State};
//!
//! let breaker = Breaker::new(&Policy {
//!     consecutive_failures: Some(2),
//!     permitted: 1,
//!     successes: 1,
//!     ..Policy::default()
//! })?;
//! let now = Duration::from_secs(100);
//! for _ in 0..2 {
//!     let call = breaker.try_acquire(now)?;
//!     if let Some(transition) = call.failure(now) {
//!         println!("{:?}: {:?}", transition.to, transition.cause); // Open: ConsecutiveFailures
//!     }
//! }
//!
//! let rejected = breaker.try_acquire(now).unwrap_err();
//! assert_eq!(rejected.retry_after, Duration::from_secs(10));
//!
//! let later = now + rejected.retry_after;
//! let trial = breaker.try_acquire(later)?;
//! assert_eq!(breaker.state(later), State::HalfOpen);
//! assert!(breaker.try_acquire(later).is_err()); // One trial is permitted, and it is on its way.
//! trial.success(later);
//! assert_eq!(breaker.state(later), State::Closed);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod adaptive;
pub mod concurrency;

mod backoff;
mod breaker;
mod error;
mod gauge;
mod retry_budget;
mod sync;
mod time;

pub use backoff::Backoff;
pub use breaker::{
    Breaker, Cause, Counts, OpenTime, Permit, Policy, Rejected, SlowCalls, State, Transition,
    Transitions,
};
pub use error::PolicyError;
pub use retry_budget::{Retry, RetryBudget};

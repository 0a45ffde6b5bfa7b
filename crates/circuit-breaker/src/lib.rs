//! What keeps a backend that fails from being called, and one that is slow from being flooded: circuit breakers, limits
//! of concurrency, a budget for retries, the wait before them, and the wait before a second request beside a slow one.
//!
//! All are pure state machines: no sockets, no tasks, no clock, no randomness of their own. Time is passed in, as a
//! `Duration` since any fixed point; so are random numbers. Any number of threads share them by reference, and no
//! request waits for a lock. What is taken is given back when it is dropped, however a request ends; what must
//! outlive a borrow (a body that is sent later) has a method `…_owned` that keeps an `Arc`.
//!
//! | | says no when |
//! |---|---|
//! | [`Breaker`] | calls have failed, or were slow, of late |
//! | [`concurrency`] | as much is in flight, or waits, as somebody has set |
//! | [`adaptive`] | more is in flight than the backend's latency bears; the least important first |
//! | [`RetryBudget`] | too large a share of what is in flight is retries |
//! | [`Backoff`] | – : it says how long to wait before a retry |
//! | [`Hedging`] | more than a share of the requests would be sent twice |
//!
//! The gateway asks them in this order: the breaker whether to call at all, a limit whether to call now, and when that
//! has failed and may be tried again, the budget whether and the back-off when.
//!
//! # A breaker
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
//!
//! # Retries
//!
//! ```
//! use std::time::Duration;
//! use circuit_breaker::concurrency::Limits;
//! use circuit_breaker::{Backoff, RetryBudget};
//!
//! let (limits, budget, backoff) = (Limits::default(), RetryBudget::default(), Backoff::default());
//! let _request = limits.in_flight.try_acquire()?;
//! // It has failed. May it be tried again?
//! let in_flight = limits.in_flight.taken() + limits.pending.taken();
//! if let Some(_retry) = budget.try_retry(in_flight) {
//!     let random = 0x8000_0000_0000_0000; // Draw one.
//!     assert_eq!(backoff.delay(1, random), Duration::from_micros(12_500));
//! }
//! # Ok::<(), circuit_breaker::concurrency::Full>(())
//! ```

pub mod adaptive;
pub mod concurrency;

mod backoff;
mod breaker;
mod error;
mod gauge;
mod hedging;
mod histogram;
mod retry_budget;
mod sync;
mod time;

pub use backoff::Backoff;
pub use breaker::{
    Breaker, Cause, Counts, OpenTime, Permit, Policy, Rejected, SlowCalls, State, Transition,
    Transitions,
};
pub use error::PolicyError;
pub use hedging::Hedging;
pub use retry_budget::{Retry, RetryBudget};

//! Rate limits over sliding windows, in bounded memory. Knows no sockets and no clock: time is passed in.
//!
//! A [`Policy`] allows so many units in a window; a [`Limiter`] keeps the counts of many keys.
//!
//! ```
//! use std::time::Duration;
//! use rate_limiter::{Limiter, Policy};
//!
//! let policy = Policy::new(2, Duration::from_secs(1)).unwrap();
//! let limiter = Limiter::new(1_000);
//! let now = Duration::from_secs(100);
//! assert!(limiter.take(&policy, "client", now, 1).allowed);
//! assert!(limiter.take(&policy, "client", now, 1).allowed);
//! assert!(!limiter.take(&policy, "client", now, 1).allowed);
//! assert!(limiter.take(&policy, "another", now, 1).allowed);
//! assert!(limiter.take(&policy, "client", now + Duration::from_millis(1_100), 1).allowed);
//! ```

mod limiter;
mod policy;
mod window;

pub use limiter::Limiter;
pub use policy::{Policy, PolicyError};
pub use window::{Decision, SLICES};

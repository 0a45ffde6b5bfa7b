//! A limit of concurrency that finds itself.
//!
//! Nobody knows how many requests a backend can serve at once, and whatever was right last week is wrong after the next
//! release. A backend tells it, though: below what it can serve its latency is what it always is, above it requests
//! queue and latency grows. So the latency of now is compared with that of an idle backend, and the limit follows their
//! ratio, the gradient. This is the gradient controller of Envoy's adaptive concurrency filter, which goes back to
//! Netflix's `concurrency-limits`.
//!
//! - **The least latency**, `minRTT`, is measured at the start and every minute or so. For that the limit is brought
//!   down to [`min_concurrency`](Policy::min_concurrency), 3, until [`request_count`](Policy::request_count), 50,
//!   requests that began after it was have been answered; their median is the least latency. Then the limit is what it
//!   was. Requests that are refused in that time are the price: the time is jittered, so that not all gateways pay at
//!   once. The price is bounded, which it is not in Envoy: a measurement that refuses requests for longer than lies
//!   between two measurements ends with what it has got.
//! - **In between**, the median of each window of 100 milliseconds makes the next limit:
//!
//!   ```text
//!   gradient = minRTT × (1 + buffer) / median          between 0.5 and 2
//!   limit    = limit × gradient + √(limit × gradient)  between min_concurrency and max_limit
//!   ```
//!
//!   The buffer, 25 %, is the change of latency that means nothing; the root is what may queue, without which a limit
//!   could never grow. A window without answers changes nothing.
//! - **When the limit is at its minimum** for five windows in a row, the least latency is measured anew at once: it was
//!   taken from a backend that was faster.
//!
//! **What is shed first.** A request has a [`Priority`], and each priority has a share of the limit: when a backend can
//! serve less than comes, batch jobs feel it before customers do. The share is of all that is in flight, whatever its
//! priority: one of a low priority passes only while there is room for more important ones beside it.
//!
//! | priority | passes while in flight are less than |
//! |---|---|
//! | critical | – : it always passes, and counts |
//! | high | the limit |
//! | normal | 90 % of it |
//! | low | 50 % of it |
//!
//! Shares are rounded up: with a limit of 3 a normal request may be the third, and a low one the second.
//!
//! **What goes on for long does not belong here.** A latency is the time to an answer: when the answer is a stream or a
//! tunnel, its permit is complete with the head of the answer. Three downloads that held theirs to the end would leave
//! no place for a measurement.
//!
//! To pass costs a compare-and-swap, and an answer another and a look into a lock that is never waited for: an answer
//! that comes while another thread holds it is not taken as a sample.
//!
//! ```
//! use std::time::Duration;
//! use circuit_breaker::adaptive::{AdaptiveLimit, Policy, Priority};
//!
//! let limit = AdaptiveLimit::new(&Policy::default(), 42)?;
//! let now = Duration::from_secs(100);
//! // It begins by measuring the least latency, with 3 requests at once.
//! let calls: Vec<_> = (0..3).map(|_| limit.try_acquire(Priority::Normal, now)).collect::<Result<_, _>>()?;
//! assert!(limit.try_acquire(Priority::High, now).is_err());
//! assert!(limit.try_acquire(Priority::Critical, now).is_ok());
//! for call in calls {
//!     call.complete(now + Duration::from_millis(20));
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod gradient;
mod limit;
mod policy;
mod priority;

pub use limit::{AdaptiveLimit, Permit, Shed};
pub use policy::Policy;
pub use priority::Priority;

//! A circuit breaker: stops calling what does not answer, and tries again with care.
//!
//! ```text
//!             a rule is broken                 the time is over
//!   closed ─────────────────────▶ open ─────────────────────────▶ half-open
//!      ▲                            ▲                              │      │
//!      │                            └──────── a trial fails ───────┘      │
//!      └───────────────────── enough trials succeed ──────────────────────┘
//! ```
//!
//! **Closed**, all calls pass. Their results are counted, and a failure or a slow call that breaks one of the policy's
//! rules opens the breaker. **Open**, no call passes until a time is over. **Half-open**, so many calls pass as the
//! policy permits, and no more: they are trials. If enough of them succeed, the breaker closes and everything counted
//! is forgotten; if one fails, or is slow where slow calls are a rule, it is open again, for longer if the policy says
//! so. Nothing happens by itself: the breaker becomes half-open when the first caller comes after the time is over.
//! An operator can force it open or closed; then nothing counts until it is resumed, which closes it.
//!
//! What holds at any time, whatever threads do (`phase.rs` and `window.rs` say why):
//!
//! - a caller gets its answer at once: nobody waits for a lock, in no state;
//! - a half-open breaker has never more calls in flight than are permitted, and when permits are asked for at the same
//!   time, exactly the permitted number is given out;
//! - each permit counts once, or gives its place back when it is dropped: no place is lost;
//! - results of calls that began before a change of state do not count after it;
//! - of each change of state exactly one caller is told.
//!
//! A closed breaker costs a load to pass. A success costs a load when only consecutive failures are a rule, and nothing
//! has failed since the last success: threads share nothing that is written to. With a ratio it costs one
//! compare-and-swap on a counter that is, given enough stripes, the thread's own.

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

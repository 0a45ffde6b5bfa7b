//! What the crate does, seen from outside.
//!
//! These tests are not in the sources, because those of the state machines are compiled a second time by `model.rs`,
//! where nothing but the model check may run them.
#![allow(missing_docs, clippy::unwrap_used)]

mod adaptive;
mod breaker;
mod concurrency;
mod policy;
mod reference;
mod threads;
mod window;

use std::time::Duration;

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

//! What a routes file says of caching.

mod check;
mod written;

pub(super) use written::Cache;

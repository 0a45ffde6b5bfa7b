//! From a request to its route.

mod path;
mod pattern;
mod tree;

/// Finds the route of a request.
#[derive(Debug)]
pub struct Router {}

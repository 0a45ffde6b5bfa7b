//! From a request to its route.
//!
//! **The model.** A route asks for a path of a certain shape, and may ask for hosts, methods, header fields and query
//! parameters. Of the routes that fit a request the most specific one gets it, whatever their order in the file:
//!
//! 1. the host: an exact name, then the longest wildcard, then none;
//! 2. the path, segment by segment: a literal, then a parameter, then the rest;
//! 3. a route that names the method, then one for any;
//! 4. the most header matchers, then the most query matchers.
//!
//! This is the Gateway API's order. A request that fits the shape of a more specific route, but not its method or
//! matchers, falls to the next one that fits. Two routes between which this order cannot decide are refused when the
//! file is read.
//!
//! **The invariant.** Paths are matched in their one form ([`path::normalise`]) and forwarded in it.
//!
//! **The cost.** One hash look-up per path segment, and one per label of the host where there are hosts; the number
//! of routes does not matter. Nothing is allocated, except to answer "method not allowed".

pub mod path;

mod conflict;
mod explanation;
mod matcher;
mod parameter;
mod pattern;
mod table;
mod tree;

pub use conflict::{Conflict, ConflictReason, RouteWarning, WarningReason};
pub(crate) use explanation::{Precedence, Standing};
pub(crate) use matcher::Matcher;
pub use matcher::{HeaderMatch, QueryMatch, RouteMatch, ValueMatch};
pub use parameter::ParameterPlace;
pub use pattern::{HostPattern, PathPattern, PatternError};
pub use table::{Allow, Criteria, Found, Router};

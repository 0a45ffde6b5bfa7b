//! Routes that are in each other's way.

use std::fmt;

use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderName, Method};

use super::matcher::{RouteMatch, ValueMatch};

/// Two routes that one request could fit equally well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The later of the two, counted from 0.
    pub route: usize,
    /// The earlier one.
    pub with: usize,
    /// What they have in common.
    pub reason: ConflictReason,
}

/// What two conflicting routes have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConflictReason {
    /// The same requests altogether.
    Duplicate,
    /// Some requests, and nothing says which route is the more specific one.
    Ambiguous,
}

impl fmt::Display for ConflictReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Duplicate => "matches the same requests; remove one of the two, or tell them apart by \"hosts\", \
                                \"methods\", \"headers\" or \"query\"",
            Self::Ambiguous => "can match the same request, and neither is more specific; add a matcher to one of the \
                                two, or give both different values for the same one",
        })
    }
}

/// A route that no request can reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteWarning {
    /// The route, counted from 0.
    pub route: usize,
    /// Why it cannot be reached.
    pub reason: WarningReason,
}

/// Why a route cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WarningReason {
    /// All its methods are CONNECT.
    OnlyConnect,
    /// A query parameter that no query can hold.
    ImpossibleParameter,
    /// A header value that no field can have.
    ImpossibleValue,
    /// Two values for a field that stands once in a request.
    Contradiction,
}

impl fmt::Display for WarningReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::OnlyConnect => "can never match: CONNECT is not served",
            Self::ImpossibleParameter => {
                "can never match: a query parameter cannot hold \"&\", \"#\" or white space; write it percent-encoded"
            }
            Self::ImpossibleValue => {
                "can never match: a header value has no white space around it, and no control characters in it"
            }
            Self::Contradiction => "can never match: two values are asked for in a field that stands once in a request",
        })
    }
}

/// Why no request can reach the route.
pub(super) fn unreachable(route: &RouteMatch) -> Option<WarningReason> {
    let impossible_in_query =
        |text: &str| text.contains(['&', '#']) || text.contains(char::is_whitespace);
    let impossible_in_field = |text: &str| text.trim() != text || text.contains(char::is_control);
    if !route.methods.is_empty() && route.methods.iter().all(|method| method == Method::CONNECT) {
        Some(WarningReason::OnlyConnect)
    } else if route.query.iter().any(|parameter| {
        impossible_in_query(&parameter.name)
            || parameter.name.contains('=')
            || exact(&parameter.value).is_some_and(impossible_in_query)
    }) {
        Some(WarningReason::ImpossibleParameter)
    } else if route
        .headers
        .iter()
        .any(|header| exact(&header.value).is_some_and(impossible_in_field))
    {
        Some(WarningReason::ImpossibleValue)
    } else if [HOST, CONTENT_TYPE]
        .iter()
        .any(|name| asks_for_two_values(route, name))
    {
        Some(WarningReason::Contradiction)
    } else {
        None
    }
}

fn exact(value: &ValueMatch) -> Option<&str> {
    match value {
        ValueMatch::Present => None,
        ValueMatch::Exact(exact) => Some(exact),
    }
}

fn asks_for_two_values(route: &RouteMatch, name: &HeaderName) -> bool {
    let mut values = route
        .headers
        .iter()
        .filter(|header| header.name == name)
        .filter_map(|header| exact(&header.value));
    values
        .next()
        .is_some_and(|first| values.any(|other| other != first))
}

/// Whether `one` and `other`, which have their host and path in common, conflict.
pub(super) fn between(one: &RouteMatch, other: &RouteMatch) -> Option<ConflictReason> {
    let same_rank = one.methods.is_empty() == other.methods.is_empty()
        && one.headers.len() == other.headers.len()
        && one.query.len() == other.query.len();
    if !same_rank || !share_a_method(&one.methods, &other.methods) || one.excludes(other) {
        return None;
    }
    let contains_all =
        |list: &[Method], others: &[Method]| others.iter().all(|method| list.contains(method));
    let same = contains_all(&one.methods, &other.methods)
        && contains_all(&other.methods, &one.methods)
        && one
            .headers
            .iter()
            .all(|header| other.headers.contains(header))
        && one
            .query
            .iter()
            .all(|parameter| other.query.contains(parameter));
    Some(if same {
        ConflictReason::Duplicate
    } else {
        ConflictReason::Ambiguous
    })
}

fn share_a_method(one: &[Method], other: &[Method]) -> bool {
    one.is_empty() || one.iter().any(|method| other.contains(method))
}

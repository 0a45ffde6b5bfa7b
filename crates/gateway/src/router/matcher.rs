//! What a route asks of a request besides its host and path.

use std::fmt;

use http::{HeaderMap, HeaderName, Method};

use super::pattern::{HostPattern, PathPattern};
use super::table::Criteria;

/// All that a route asks of a request.
#[derive(Debug, Clone)]
pub struct RouteMatch {
    /// Any of these hosts; any host at all when empty.
    pub hosts: Box<[HostPattern]>,
    /// The shape of the path.
    pub path: PathPattern,
    /// Any of these methods; any method at all when empty. GET stands for HEAD too.
    pub methods: Box<[Method]>,
    /// All of these.
    pub headers: Box<[HeaderMatch]>,
    /// All of these.
    pub query: Box<[QueryMatch]>,
}

/// A header field that must be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderMatch {
    /// Its name.
    pub name: HeaderName,
    /// Its value; any one of several lines of that name will do.
    pub value: ValueMatch,
}

/// A query parameter that must be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryMatch {
    /// Its name, as it stands in the query: nothing is decoded.
    pub name: Box<str>,
    /// Its value; any one of several parameters of that name will do.
    pub value: ValueMatch,
}

/// One of a route's matchers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Matcher<'a> {
    /// Of a header field.
    Header(&'a HeaderMatch),
    /// Of a query parameter.
    Query(&'a QueryMatch),
}

/// What a value must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueMatch {
    /// Anything.
    Present,
    /// Exactly this.
    Exact(Box<str>),
}

/// As in `must be …`.
impl fmt::Display for ValueMatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Present => formatter.write_str("there"),
            Self::Exact(exact) => write!(formatter, "\"{exact}\""),
        }
    }
}

impl ValueMatch {
    fn accepts(&self, value: &[u8]) -> bool {
        match self {
            Self::Present => true,
            Self::Exact(exact) => exact.as_bytes() == value,
        }
    }

    /// Whether no value satisfies both.
    pub(super) fn excludes(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Exact(one), Self::Exact(other)) if one != other)
    }
}

/// How a route takes a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MethodFit {
    /// It names the method.
    Named,
    /// It names GET, and the method is HEAD.
    AsGet,
    /// It takes any method.
    Any,
    No,
}

impl RouteMatch {
    pub(super) fn fits(&self, request: &Criteria<'_>) -> bool {
        self.unsatisfied(request).is_none()
    }

    /// The first matcher that the request does not satisfy.
    pub(super) fn unsatisfied(&self, request: &Criteria<'_>) -> Option<Matcher<'_>> {
        let query = request.query.unwrap_or_default();
        let mut headers = self.headers.iter().filter(|it| !it.fits(request.headers));
        let mut parameters = self.query.iter().filter(|it| !it.fits(query));
        let header = headers.next().map(Matcher::Header);
        header.or_else(|| parameters.next().map(Matcher::Query))
    }

    pub(super) fn method_fit(&self, method: &Method) -> MethodFit {
        if self.methods.is_empty() {
            MethodFit::Any
        } else if self.methods.contains(method) {
            MethodFit::Named
        } else if method == Method::HEAD && self.methods.contains(&Method::GET) {
            MethodFit::AsGet
        } else {
            MethodFit::No
        }
    }

    /// Whether no request satisfies the matchers of both.
    pub(super) fn excludes(&self, other: &Self) -> bool {
        let headers = self.headers.iter().any(|header| {
            other
                .headers
                .iter()
                .any(|other| header.name == other.name && header.value.excludes(&other.value))
        });
        let query = || {
            self.query.iter().any(|parameter| {
                other.query.iter().any(|other| {
                    parameter.name == other.name && parameter.value.excludes(&other.value)
                })
            })
        };
        headers || query()
    }
}

impl HeaderMatch {
    fn fits(&self, headers: &HeaderMap) -> bool {
        headers
            .get_all(&self.name)
            .iter()
            .any(|value| self.value.accepts(value.as_bytes()))
    }
}

impl QueryMatch {
    fn fits(&self, query: &str) -> bool {
        query.split('&').any(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            name == &*self.name && self.value.accepts(value.as_bytes())
        })
    }
}

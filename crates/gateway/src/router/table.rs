//! All routes, ready to be asked.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::fmt;

use http::header::HOST;
use http::{HeaderMap, Method, request};

use super::conflict::{self, Conflict, RouteWarning};
use super::matcher::{MethodFit, RouteMatch};
use super::pattern::{HostPattern, Segment};
use super::tree::Node;

/// Finds the route of a request; see [the module](super) for the order.
#[derive(Debug)]
pub struct Router {
    pub(super) routes: Box<[RouteMatch]>,
    /// By exact host.
    hosts: HashMap<Box<str>, Node>,
    /// By what a host must end with, after a dot.
    domains: HashMap<Box<str>, Node>,
    /// Routes for any host.
    anywhere: Node,
    warnings: Box<[RouteWarning]>,
}

/// What of a request decides its route.
#[derive(Debug, Clone, Copy)]
pub struct Criteria<'a> {
    /// `Host` as sent: in any case, perhaps with a port, perhaps empty.
    pub host: &'a str,
    /// In its one form, see [`normalise`](super::path::normalise).
    pub path: &'a str,
    /// The method.
    pub method: &'a Method,
    /// All fields.
    pub headers: &'a HeaderMap,
    /// What follows `?`.
    pub query: Option<&'a str>,
}

impl<'a> Criteria<'a> {
    /// Of the request with this head, whose normalised path is `path`.
    #[must_use]
    pub fn of(head: &'a request::Parts, path: &'a str) -> Self {
        let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
        Self {
            host: host.unwrap_or_default(),
            path,
            method: &head.method,
            headers: &head.headers,
            query: head.uri.query(),
        }
    }
}

/// Which route a request has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found<'a> {
    /// This one, counted from 0 in the order of [`Router::build`].
    Route(usize),
    /// None, but there would be one with another method.
    MethodNotAllowed {
        /// The methods that would do.
        allow: Allow<'a>,
    },
    /// None.
    Nothing,
}

/// The methods that there are routes for; displays as the value of an `Allow` field, sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allow<'a>(Vec<&'a str>);

impl Router {
    /// A router for `routes`.
    ///
    /// # Errors
    /// All pairs of routes that conflict.
    pub fn build(routes: Vec<RouteMatch>) -> Result<Self, Vec<Conflict>> {
        let mut router = Self {
            warnings: routes
                .iter()
                .enumerate()
                .filter_map(|(route, matched)| {
                    Some(RouteWarning {
                        route,
                        reason: conflict::unreachable(matched)?,
                    })
                })
                .collect(),
            routes: Box::default(),
            hosts: HashMap::new(),
            domains: HashMap::new(),
            anywhere: Node::default(),
        };
        let mut conflicts = Vec::new();
        for (index, route) in routes.iter().enumerate() {
            router.for_each_tree(route, |tree| {
                let list = tree.list(&route.path.segments);
                // The same host twice in one route is the same once.
                if list.contains(&index) {
                    return;
                }
                conflicts.extend(list.iter().filter_map(|&with| {
                    conflict::between(route, &routes[with]).map(|reason| Conflict {
                        route: index,
                        with,
                        reason,
                    })
                }));
                list.push(index);
            });
        }
        if !conflicts.is_empty() {
            // Two routes with several hosts in common are still one conflict.
            let mut seen = HashSet::new();
            conflicts.retain(|conflict| seen.insert((conflict.route, conflict.with)));
            return Err(conflicts);
        }
        let mut sort = |list: &mut Vec<usize>| list.sort_by_key(|&route| rank(&routes[route]));
        let trees = router
            .hosts
            .values_mut()
            .chain(router.domains.values_mut())
            .chain([&mut router.anywhere]);
        trees.for_each(|tree| tree.for_each_list(&mut sort));
        router.routes = routes.into();
        Ok(router)
    }

    /// What the route with this number asks of a request. The number must be one of [`Router::build`]'s.
    #[must_use]
    pub fn route(&self, route: usize) -> &RouteMatch {
        &self.routes[route]
    }

    /// Routes that no request can reach.
    #[must_use]
    pub fn warnings(&self) -> &[RouteWarning] {
        &self.warnings
    }

    /// All routes, the more specific ones before those that they take requests from.
    #[must_use]
    pub fn in_match_order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.routes.len()).collect();
        order.sort_by_cached_key(|&index| {
            let route = &self.routes[index];
            (host_rank(route), path_rank(route), rank(route), index)
        });
        order
    }

    /// The route of a request.
    #[must_use]
    pub fn find(&self, request: &Criteria<'_>) -> Found<'_> {
        let chosen = self.visit(request, &mut |list| self.choose(list, request));
        match chosen {
            Some(route) => Found::Route(route),
            None => self.explain_miss(request),
        }
    }

    /// The trees that a route belongs into.
    fn for_each_tree(&mut self, route: &RouteMatch, mut each: impl FnMut(&mut Node)) {
        for host in &route.hosts {
            each(match host {
                HostPattern::Exact(name) => self.hosts.entry(name.clone()).or_default(),
                HostPattern::Below(name) => self.domains.entry(name.clone()).or_default(),
            });
        }
        if route.hosts.is_empty() {
            each(&mut self.anywhere);
        }
    }

    /// Offers the lists that fit host and path to `choose`, the most specific first, until it has chosen.
    fn visit<T>(
        &self,
        request: &Criteria<'_>,
        choose: &mut impl FnMut(&[usize]) -> Option<T>,
    ) -> Option<T> {
        let path = request.path.strip_prefix('/')?;
        self.visit_trees(request.host, &mut |tree| tree.visit(Some(path), choose))
    }

    /// Offers the trees that fit a host to `visit`, the most specific first, until it has found something.
    pub(super) fn visit_trees<T>(
        &self,
        host: &str,
        visit: &mut impl FnMut(&Node) -> Option<T>,
    ) -> Option<T> {
        if !(self.hosts.is_empty() && self.domains.is_empty()) {
            let host = bare_host(host);
            if let Some(found) = self.hosts.get(&*host).and_then(&mut *visit) {
                return Some(found);
            }
            for domain in domains_of(&host) {
                if let Some(found) = self.domains.get(domain).and_then(&mut *visit) {
                    return Some(found);
                }
            }
        }
        visit(&self.anywhere)
    }

    /// The most specific route of a list that fits.
    fn choose(&self, list: &[usize], request: &Criteria<'_>) -> Option<usize> {
        let first = |wanted: MethodFit| {
            list.iter().copied().find(|&index| {
                let route = &self.routes[index];
                route.method_fit(request.method) == wanted && route.fits(request)
            })
        };
        let as_get = || {
            if request.method == Method::HEAD {
                first(MethodFit::AsGet)
            } else {
                None
            }
        };
        first(MethodFit::Named)
            .or_else(as_get)
            .or_else(|| first(MethodFit::Any))
    }

    /// Why there is no route: the same way once more, for the methods that would have done.
    fn explain_miss(&self, request: &Criteria<'_>) -> Found<'_> {
        let mut methods: Vec<&str> = Vec::new();
        self.visit(request, &mut |list| {
            for route in list
                .iter()
                .map(|&index| &self.routes[index])
                .filter(|route| route.fits(request))
            {
                for method in &route.methods {
                    methods.push(method.as_str());
                    if method == Method::GET {
                        methods.push("HEAD");
                    }
                }
            }
            None::<()>
        });
        methods.sort_unstable();
        methods.dedup();
        if methods.is_empty() {
            Found::Nothing
        } else {
            Found::MethodNotAllowed {
                allow: Allow(methods),
            }
        }
    }
}

impl fmt::Display for Allow<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.join(", "))
    }
}

/// Precedence among routes with the same host and path; smaller is earlier.
fn rank(route: &RouteMatch) -> (bool, Reverse<usize>, Reverse<usize>) {
    (
        route.methods.is_empty(),
        Reverse(route.headers.len()),
        Reverse(route.query.len()),
    )
}

fn host_rank(route: &RouteMatch) -> (u8, Reverse<usize>, String) {
    route
        .hosts
        .iter()
        .map(|host| match host {
            HostPattern::Exact(name) => (0, Reverse(0), name.to_string()),
            HostPattern::Below(name) => (1, Reverse(name.len()), name.to_string()),
        })
        .min()
        .unwrap_or((2, Reverse(0), String::new()))
}

fn path_rank(route: &RouteMatch) -> Vec<(u8, String)> {
    route
        .path
        .segments
        .iter()
        .map(|segment| match segment {
            Segment::Literal(literal) => (0, literal.to_string()),
            Segment::Parameter(_) => (1, String::new()),
            Segment::Rest(_) => (2, String::new()),
        })
        .collect()
}

/// A `Host` value without port and trailing dot, in lower case.
fn bare_host(host: &str) -> Cow<'_, str> {
    let name = if host.starts_with('[') {
        host.find(']').map_or(host, |end| &host[..=end])
    } else {
        host.split(':').next().unwrap_or_default()
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        name.to_ascii_lowercase().into()
    } else {
        name.into()
    }
}

/// The domains that `host` lies below, the longest first.
fn domains_of(host: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(host.split_once('.'), |(_, domain)| domain.split_once('.'))
        .map(|(_, domain)| domain)
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;

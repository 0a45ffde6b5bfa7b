//! Why a request has the route that it has: for people, not for requests.

use std::collections::HashSet;

use super::matcher::{Matcher, MethodFit};
use super::table::{Criteria, Found, Router};

/// How one route stands to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing<'a> {
    /// It gets the request.
    Chosen,
    /// It fits, and a more specific one gets the request.
    LessSpecific(Precedence),
    /// It is for other hosts.
    Host,
    /// It is for other paths.
    Path,
    /// It is for other methods.
    Method,
    /// This is not satisfied.
    Unsatisfied(Matcher<'a>),
}

/// What makes one route more specific than another that fits as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Precedence {
    /// Its host.
    Host,
    /// Its path.
    Path,
    /// It names the method.
    Method,
    /// It has more matchers.
    Matchers,
}

/// A route that has been considered for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Considered<'a> {
    /// Its number.
    pub(crate) route: usize,
    pub(crate) standing: Standing<'a>,
}

/// Where a route was met on the way through the trees: the first that fits wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Meeting {
    route: usize,
    /// The how-manieth tree it was, one for each host.
    tree: usize,
    /// The how-manieth list of that tree, one for each pattern of a path.
    list: usize,
}

impl Router {
    /// How each route stands to a request, in the order of [`Router::in_match_order`].
    pub(crate) fn consider(&self, request: &Criteria<'_>) -> Vec<Considered<'_>> {
        let of_host = self.of_host(request.host);
        let meetings = self.meetings(request);
        let meeting = |route: usize| meetings.iter().find(|met| met.route == route).copied();
        let chosen = match self.find(request) {
            Found::Route(route) => meeting(route),
            Found::MethodNotAllowed { .. } | Found::Nothing => None,
        };
        let standing = |route: usize| {
            let Some(met) = meeting(route) else {
                return if of_host.contains(&route) {
                    Standing::Path
                } else {
                    Standing::Host
                };
            };
            self.standing(met, chosen, request)
        };
        let order = self.in_match_order().into_iter();
        let considered = order.map(|route| Considered {
            route,
            standing: standing(route),
        });
        considered.collect()
    }

    /// Of a route whose host and path fit.
    fn standing(
        &self,
        met: Meeting,
        chosen: Option<Meeting>,
        request: &Criteria<'_>,
    ) -> Standing<'_> {
        let fit = |route: usize| self.routes[route].method_fit(request.method);
        if fit(met.route) == MethodFit::No {
            return Standing::Method;
        }
        if let Some(matcher) = self.routes[met.route].unsatisfied(request) {
            return Standing::Unsatisfied(matcher);
        }
        match chosen {
            Some(chosen) if chosen.route != met.route => Standing::LessSpecific({
                if chosen.tree != met.tree {
                    Precedence::Host
                } else if chosen.list != met.list {
                    Precedence::Path
                } else if fit(chosen.route) != fit(met.route) {
                    Precedence::Method
                } else {
                    Precedence::Matchers
                }
            }),
            _ => Standing::Chosen,
        }
    }

    /// The routes for a host, whatever the path.
    fn of_host(&self, host: &str) -> HashSet<usize> {
        let mut routes = HashSet::new();
        self.visit_trees(host, &mut |tree| {
            tree.each_list(&mut |list| routes.extend(list));
            None::<()>
        });
        routes
    }

    /// The routes whose host and path fit, each where it was met first.
    fn meetings(&self, request: &Criteria<'_>) -> Vec<Meeting> {
        let mut meetings: Vec<Meeting> = Vec::new();
        let mut trees = 0;
        let path = request.path.strip_prefix('/');
        self.visit_trees(request.host, &mut |tree| {
            let mut lists = 0;
            trees += 1;
            tree.visit(Some(path?), &mut |list| {
                lists += 1;
                for &route in list {
                    if meetings.iter().all(|met| met.route != route) {
                        meetings.push(Meeting {
                            route,
                            tree: trees,
                            list: lists,
                        });
                    }
                }
                None::<()>
            })
        });
        meetings
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, Method};
    use proptest::prelude::*;

    use super::super::{HeaderMatch, HostPattern, PathPattern, RouteMatch, ValueMatch};
    use super::*;

    fn route(
        host: Option<&str>,
        path: &str,
        methods: &[Method],
        header: Option<&str>,
    ) -> RouteMatch {
        RouteMatch {
            hosts: host
                .map(|host| HostPattern::parse(host).unwrap())
                .into_iter()
                .collect(),
            path: PathPattern::parse(path).unwrap(),
            methods: methods.into(),
            headers: header
                .map(|value| HeaderMatch {
                    name: HeaderName::from_static("x-version"),
                    value: ValueMatch::Exact(value.into()),
                })
                .into_iter()
                .collect(),
            query: Box::default(),
        }
    }

    fn router() -> Router {
        Router::build(vec![
            route(None, "/{*rest}", &[], None),
            route(None, "/users/{id}", &[], None),
            route(None, "/users/{id}", &[Method::GET], None),
            route(None, "/users/{id}", &[Method::GET], Some("2")),
            route(None, "/users/{id}", &[Method::POST], None),
            route(None, "/orders", &[], None),
            route(Some("*.example.com"), "/users/{id}", &[], None),
            route(Some("api.example.com"), "/users/me", &[], None),
        ])
        .unwrap()
    }

    fn standings(host: &str, path: &str, version: Option<&str>) -> Vec<(usize, String)> {
        let router = router();
        let mut headers = HeaderMap::new();
        if let Some(version) = version {
            headers.insert("x-version", version.parse().unwrap());
        }
        let request = Criteria {
            host,
            path,
            method: &Method::GET,
            headers: &headers,
            query: None,
        };
        let mut all: Vec<(usize, String)> = router
            .consider(&request)
            .iter()
            .map(|it| {
                let text = match it.standing {
                    Standing::Unsatisfied(_) => "Unsatisfied".to_owned(),
                    other => format!("{other:?}"),
                };
                (it.route, text)
            })
            .collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn each_route_says_why_it_has_the_request_or_has_not() {
        let texts: Vec<String> = standings("localhost:8080", "/users/7", Some("2"))
            .into_iter()
            .map(|(_, text)| text)
            .collect();
        assert_eq!(
            texts,
            [
                "LessSpecific(Path)",
                "LessSpecific(Method)",
                "LessSpecific(Matchers)",
                "Chosen",
                "Method",
                "Path",
                "Host",
                "Host",
            ]
        );
        let texts = standings("api.example.com", "/users/me", None);
        assert_eq!(texts[7].1, "Chosen");
        assert_eq!(texts[6].1, "LessSpecific(Host)");
        assert_eq!(texts[3].1, "Unsatisfied");
    }

    proptest! {
        #[test]
        fn the_chosen_one_is_the_one_that_is_found(
            host in prop::sample::select(vec!["", "api.example.com", "b.example.com:80", "x.y"]),
            path in prop::sample::select(vec!["/", "/users/me", "/users/7", "/orders", "/a/b"]),
            method in prop::sample::select(vec![Method::GET, Method::HEAD, Method::POST, Method::PUT]),
            version in prop::option::of(prop::sample::select(vec!["1", "2"])),
        ) {
            let router = router();
            let mut headers = HeaderMap::new();
            if let Some(version) = version {
                headers.insert("x-version", version.parse().unwrap());
            }
            let request = Criteria { host, path, method: &method, headers: &headers, query: None };
            let considered = router.consider(&request);
            let chosen: Vec<usize> = considered
                .iter()
                .filter(|it| it.standing == Standing::Chosen)
                .map(|it| it.route)
                .collect();
            match router.find(&request) {
                Found::Route(route) => prop_assert_eq!(chosen, vec![route]),
                _ => prop_assert!(chosen.is_empty()),
            }
        }
    }
}

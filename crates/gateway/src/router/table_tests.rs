use http::HeaderValue;
use proptest::prelude::*;

use super::super::{
    ConflictReason, HeaderMatch, PathPattern, QueryMatch, ValueMatch, WarningReason, path,
};
use super::*;

fn route(path: &str) -> RouteMatch {
    RouteMatch {
        hosts: Box::default(),
        path: PathPattern::parse(path).unwrap(),
        methods: Box::default(),
        headers: Box::default(),
        query: Box::default(),
    }
}

fn on_hosts(mut route: RouteMatch, hosts: &[&str]) -> RouteMatch {
    route.hosts = hosts
        .iter()
        .map(|host| HostPattern::parse(host).unwrap())
        .collect();
    route
}

fn for_methods(mut route: RouteMatch, methods: &[&str]) -> RouteMatch {
    route.methods = methods
        .iter()
        .map(|method| method.parse().unwrap())
        .collect();
    route
}

fn value(text: &str) -> ValueMatch {
    if text == "*" {
        ValueMatch::Present
    } else {
        ValueMatch::Exact(text.into())
    }
}

fn with_headers(mut route: RouteMatch, headers: &[(&str, &str)]) -> RouteMatch {
    route.headers = headers
        .iter()
        .map(|(name, text)| HeaderMatch {
            name: name.parse().unwrap(),
            value: value(text),
        })
        .collect();
    route
}

fn with_query(mut route: RouteMatch, query: &[(&str, &str)]) -> RouteMatch {
    route.query = query
        .iter()
        .map(|(name, text)| QueryMatch {
            name: (*name).into(),
            value: value(text),
        })
        .collect();
    route
}

fn build(routes: Vec<RouteMatch>) -> Router {
    Router::build(routes).unwrap()
}

fn paths(paths: &[&str]) -> Router {
    build(paths.iter().map(|path| route(path)).collect())
}

/// `METHOD host path?query`, with header fields.
fn ask<'r>(
    router: &'r Router,
    method: &str,
    url: &str,
    headers: &[(&'static str, &str)],
) -> Found<'r> {
    let (host, target) = url.split_at(url.find('/').unwrap());
    let (path, query) = target
        .split_once('?')
        .map_or((target, None), |(path, query)| (path, Some(query)));
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, HeaderValue::from_str(value).unwrap());
    }
    router.find(&Criteria {
        host,
        path,
        method: &method.parse().unwrap(),
        headers: &map,
        query,
    })
}

fn get(router: &Router, url: &str) -> Option<usize> {
    match ask(router, "GET", url, &[]) {
        Found::Route(route) => Some(route),
        _ => None,
    }
}

fn allowed(found: &Found<'_>) -> String {
    match found {
        Found::MethodNotAllowed { allow } => allow.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_literal_beats_a_parameter_beats_the_rest_whatever_the_order() {
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let all = ["/users/me", "/users/:id", "/users/*path"];
        let router = paths(&order.map(|index| all[index]));
        let place = |index| order.iter().position(|&other| other == index);
        assert_eq!(get(&router, "/users/me"), place(0));
        assert_eq!(get(&router, "/users/7"), place(1));
        assert_eq!(get(&router, "/users/7/posts"), place(2));
        assert_eq!(get(&router, "/users/me/posts"), place(2));
    }
}

#[test]
fn the_rest_takes_the_bare_prefix_too() {
    let router = paths(&["/api/users/*path", "/files/:id/*path"]);
    for url in [
        "/api/users",
        "/api/users/",
        "/api/users/1",
        "/api/users/1/2/",
    ] {
        assert_eq!(get(&router, url), Some(0), "{url}");
    }
    assert_eq!(get(&router, "/files/1"), Some(1));
    for url in ["/api", "/api/", "/api/usersx", "/files", "/files/", "/"] {
        assert_eq!(get(&router, url), None, "{url}");
    }
}

#[test]
fn the_root_can_be_matched_alone_or_with_everything() {
    assert_eq!(get(&paths(&["/"]), "/"), Some(0));
    assert_eq!(get(&paths(&["/"]), "/a"), None);
    assert_eq!(get(&paths(&["/*path"]), "/"), Some(0));
    assert_eq!(get(&paths(&["/*path", "/"]), "/"), Some(1));
}

#[test]
fn a_slash_at_the_end_makes_another_path() {
    let router = paths(&["/a", "/a/", "/b"]);
    assert_eq!(get(&router, "/a"), Some(0));
    assert_eq!(get(&router, "/a/"), Some(1));
    assert_eq!(get(&router, "/b/"), None);
}

#[test]
fn a_dead_end_is_left_for_the_next_specific_route() {
    let router = paths(&["/a/b/c", "/a/:x/d", "/:y/b/e", "/*rest"]);
    assert_eq!(get(&router, "/a/b/d"), Some(1));
    assert_eq!(get(&router, "/a/b/e"), Some(2));
    assert_eq!(get(&router, "/a/b/f"), Some(3));
}

#[test]
fn parameters_behind_a_segment_do_not_hide_it() {
    let router = paths(&["/admin/*path", "/*path"]);
    for url in ["/admin;x/secret", "/admin;x", "/admin%3Bx/secret"] {
        assert_eq!(get(&router, url), Some(0), "{url}");
    }
}

#[test]
fn an_exact_host_beats_the_longest_wildcard_beats_any() {
    let router = build(vec![
        route("/*path"),
        on_hosts(route("/*path"), &["*.example.com"]),
        on_hosts(route("/*path"), &["*.api.example.com"]),
        on_hosts(route("/*path"), &["v1.api.example.com", "[::1]"]),
    ]);
    assert_eq!(get(&router, "v1.api.example.com/"), Some(3));
    assert_eq!(get(&router, "V1.API.Example.com.:8080/"), Some(3));
    assert_eq!(get(&router, "[::1]:8080/"), Some(3));
    assert_eq!(get(&router, "v2.api.example.com/"), Some(2));
    assert_eq!(get(&router, "a.b.api.example.com/"), Some(2));
    assert_eq!(get(&router, "api.example.com/"), Some(1));
    assert_eq!(get(&router, "example.com/"), Some(0));
    assert_eq!(get(&router, "/"), Some(0));
}

#[test]
fn a_request_falls_through_to_less_specific_hosts() {
    let router = build(vec![
        route("/healthz"),
        on_hosts(route("/api"), &["a.example"]),
    ]);
    assert_eq!(get(&router, "a.example/healthz"), Some(0));
    assert_eq!(get(&router, "a.example/api"), Some(1));
    assert_eq!(get(&router, "b.example/api"), None);
}

#[test]
fn a_named_method_beats_any_and_head_goes_where_get_goes() {
    let router = build(vec![
        route("/a"),
        for_methods(route("/a"), &["GET"]),
        for_methods(route("/b"), &["GET"]),
        for_methods(route("/b"), &["HEAD"]),
    ]);
    assert_eq!(ask(&router, "GET", "/a", &[]), Found::Route(1));
    assert_eq!(ask(&router, "HEAD", "/a", &[]), Found::Route(1));
    assert_eq!(ask(&router, "POST", "/a", &[]), Found::Route(0));
    assert_eq!(ask(&router, "HEAD", "/b", &[]), Found::Route(3));
    assert_eq!(ask(&router, "GET", "/b", &[]), Found::Route(2));
}

#[test]
fn a_wrong_method_is_told_from_a_wrong_path() {
    let router = build(vec![
        for_methods(route("/a/b"), &["POST", "GET"]),
        for_methods(route("/a/:x"), &["DELETE"]),
        for_methods(with_headers(route("/a/*x"), &[("x-v", "2")]), &["PUT"]),
    ]);
    assert_eq!(
        allowed(&ask(&router, "PATCH", "/a/b", &[])),
        "DELETE, GET, HEAD, POST"
    );
    assert_eq!(
        allowed(&ask(&router, "PATCH", "/a/b", &[("x-v", "2")])),
        "DELETE, GET, HEAD, POST, PUT"
    );
    assert_eq!(
        ask(&router, "PUT", "/a/b", &[("x-v", "2")]),
        Found::Route(2)
    );
    assert_eq!(ask(&router, "PATCH", "/x", &[]), Found::Nothing);
}

#[test]
fn more_matchers_win_and_those_that_do_not_fit_fall_through() {
    let router = build(vec![
        route("/a"),
        with_headers(route("/a"), &[("x-env", "beta")]),
        with_headers(route("/a"), &[("x-env", "beta"), ("x-user", "*")]),
        with_query(route("/a"), &[("debug", "1")]),
    ]);
    assert_eq!(ask(&router, "GET", "/a", &[]), Found::Route(0));
    assert_eq!(
        ask(&router, "GET", "/a", &[("x-env", "beta")]),
        Found::Route(1)
    );
    assert_eq!(
        ask(
            &router,
            "GET",
            "/a",
            &[("x-env", "prod"), ("x-env", "beta")]
        ),
        Found::Route(1)
    );
    assert_eq!(
        ask(&router, "GET", "/a", &[("x-env", "beta"), ("x-user", "")]),
        Found::Route(2)
    );
    assert_eq!(
        ask(&router, "GET", "/a", &[("x-env", "BETA"), ("x-user", "7")]),
        Found::Route(0)
    );
    assert_eq!(ask(&router, "GET", "/a?x&debug=1", &[]), Found::Route(3));
    assert_eq!(
        ask(&router, "GET", "/a?debug=1", &[("x-env", "beta")]),
        Found::Route(1)
    );
    assert_eq!(ask(&router, "GET", "/a?debug", &[]), Found::Route(0));
}

fn conflicts(routes: Vec<RouteMatch>) -> Vec<(usize, usize, ConflictReason)> {
    let conflicts = Router::build(routes).err().unwrap_or_default();
    conflicts
        .into_iter()
        .map(|conflict| (conflict.route, conflict.with, conflict.reason))
        .collect()
}

#[test]
fn routes_that_match_the_same_requests_are_duplicates() {
    use ConflictReason::Duplicate;
    assert_eq!(
        conflicts(vec![route("/a"), route("/a")]),
        [(1, 0, Duplicate)]
    );
    assert_eq!(
        conflicts(vec![route("/:x/*y"), route("/{a}/{*b}")]),
        [(1, 0, Duplicate)]
    );
    let hosts = ["a.example", "*.b.example", "c.example"];
    let twice = vec![on_hosts(route("/a"), &hosts), on_hosts(route("/a"), &hosts)];
    assert_eq!(conflicts(twice), [(1, 0, Duplicate)]);
    let methods = vec![
        for_methods(route("/a"), &["GET", "PUT"]),
        for_methods(route("/a"), &["PUT", "GET"]),
    ];
    assert_eq!(conflicts(methods), [(1, 0, Duplicate)]);
}

#[test]
fn routes_that_overlap_without_an_order_are_ambiguous() {
    use ConflictReason::Ambiguous;
    let methods = vec![
        for_methods(route("/a"), &["GET", "PUT"]),
        for_methods(route("/a"), &["PUT"]),
    ];
    assert_eq!(conflicts(methods), [(1, 0, Ambiguous)]);
    let headers = vec![
        with_headers(route("/a"), &[("x-a", "1")]),
        with_headers(route("/a"), &[("x-b", "1")]),
    ];
    assert_eq!(conflicts(headers), [(1, 0, Ambiguous)]);
}

#[test]
fn routes_that_an_order_or_a_value_tells_apart_do_not_conflict() {
    for pair in [
        [route("/a"), route("/b")],
        [route("/:a"), route("/*a")],
        [route("/a"), for_methods(route("/a"), &["GET"])],
        [
            for_methods(route("/a"), &["GET"]),
            for_methods(route("/a"), &["PUT"]),
        ],
        [route("/a"), with_headers(route("/a"), &[("x-a", "1")])],
        [
            with_headers(route("/a"), &[("x-a", "1")]),
            with_headers(route("/a"), &[("x-a", "2")]),
        ],
        [
            with_query(route("/a"), &[("q", "1")]),
            with_query(route("/a"), &[("q", "2")]),
        ],
        [route("/a"), on_hosts(route("/a"), &["a.example"])],
        [
            on_hosts(route("/a"), &["b.example"]),
            on_hosts(route("/a"), &["a.example"]),
        ],
        [
            on_hosts(route("/a"), &["a.example", "a.example"]),
            route("/a"),
        ],
    ] {
        assert_eq!(conflicts(pair.to_vec()), [], "{pair:?}");
    }
}

#[test]
fn routes_that_nothing_can_reach_are_named() {
    let router = build(vec![
        route("/a"),
        for_methods(route("/b"), &["CONNECT"]),
        with_query(route("/c"), &[("a&b", "*")]),
        with_headers(route("/d"), &[("x-a", " padded")]),
        with_headers(route("/e"), &[("host", "a"), ("host", "b")]),
    ]);
    let reasons: Vec<_> = router
        .warnings()
        .iter()
        .map(|warning| (warning.route, warning.reason))
        .collect();
    assert_eq!(
        reasons,
        [
            (1, WarningReason::OnlyConnect),
            (2, WarningReason::ImpossibleParameter),
            (3, WarningReason::ImpossibleValue),
            (4, WarningReason::Contradiction),
        ]
    );
}

#[test]
fn the_table_lists_specific_routes_first() {
    let router = build(vec![
        route("/*rest"),
        route("/a/:x"),
        for_methods(route("/a/b"), &["GET"]),
        route("/a/b"),
        on_hosts(route("/*rest"), &["*.example.com"]),
        on_hosts(route("/*rest"), &["a.example.com"]),
    ]);
    assert_eq!(router.in_match_order(), [5, 4, 2, 3, 1, 0]);
}

#[test]
fn the_number_of_routes_does_not_change_the_work() {
    let lists_offered = |count: usize| {
        let mut routes: Vec<_> = (0..count)
            .map(|index| route(&format!("/api/s{index}/items/:id")))
            .collect();
        routes.push(route("/*rest"));
        let router = build(routes);
        let mut offered = 0;
        let headers = HeaderMap::new();
        let criteria = Criteria {
            host: "",
            path: "/api/s0/items/7",
            method: &Method::GET,
            headers: &headers,
            query: None,
        };
        router.visit(&criteria, &mut |list| {
            offered += 1 + list.len();
            None::<()>
        });
        offered
    };
    assert_eq!(lists_offered(1), lists_offered(10_000));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Against an open route for everything and a protected one: whatever a lenient backend takes for the protected
    /// path, the router has taken for it too.
    #[test]
    fn the_protected_route_gets_every_spelling_of_its_paths(
        detour in prop::sample::select(vec!["", "/.", "/x/..", "/%2e", "/x/%2E%2E", "/;a", "/x/..;b"]),
        name in prop::sample::select(vec!["admin", "%61dmin", "adm%69n", "admin;a=b", "admin%3bc", "admin%2f", "admin\\", "x"]),
        tail in prop::sample::select(vec!["", "/", "/users", "//users", "/../admin/users", "/..", "/../x"]),
    ) {
        let router = paths(&["/*rest", "/admin/*rest"]);
        let spelled = format!("{detour}/{name}{tail}");
        if let Ok(normal) = path::normalise(&spelled) {
            let reached_admin = normal.split(['/', ';', '%']).nth(1) == Some("admin");
            prop_assert_eq!(get(&router, &normal) == Some(1), reached_admin, "{} is {}", spelled, normal);
        }
    }
}

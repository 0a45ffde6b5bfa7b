//! From a path to its route, among few and among many.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use api_gateway::router::{Criteria, PathPattern, RouteMatch, Router, path};
use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, Method};

fn router(count: usize) -> Router {
    let routes = (0..count).map(|index| {
        let pattern = format!("/api/service-{index}/users/:id/orders/*path");
        RouteMatch {
            hosts: Box::default(),
            path: PathPattern::parse(&pattern).unwrap(),
            methods: Box::default(),
            headers: Box::default(),
            query: Box::default(),
        }
    });
    Router::build(routes.collect::<Vec<_>>()).unwrap()
}

fn route(criterion: &mut Criterion) {
    let headers = HeaderMap::new();
    for count in [1, 100, 10_000] {
        let router = router(count);
        let target = format!("/api/service-{}/users/42/orders/7", count - 1);
        criterion.bench_function(&format!("route among {count}"), |bencher| {
            bencher.iter(|| {
                let path = path::normalise(black_box(&target)).unwrap();
                let criteria = Criteria {
                    host: "shop.example.com",
                    path: &path,
                    method: &Method::GET,
                    headers: &headers,
                    query: None,
                };
                black_box(matches!(
                    router.find(&criteria),
                    api_gateway::router::Found::Route(_)
                ))
            });
        });
    }
}

criterion_group!(benches, route);
criterion_main!(benches);

//! Stand-in.
use api_gateway::config::*;
use api_gateway::upstream::*;
use std::sync::Arc;
use std::time::Duration;
#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;
fn main() {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let s = |n| Duration::from_secs(n);
    let backend = std::env::args().nth(1).unwrap_or("8081".into());
    let settings = Settings {
        host: "::".parse().unwrap(),
        port: 8080,
        admin_addr: Some("127.0.0.1:9901".parse().unwrap()),
        workers: std::env::var("WORKERS")
            .ok()
            .and_then(|w| w.parse().ok())
            .unwrap_or(2),
        jwt: Jwt {
            secret: Secret("x".into()),
            issuer: "x".into(),
        },
        limits: Limits {
            max_head_size: 65536,
            max_headers: 100,
            max_target_size: 8192,
        },
        timeouts: Timeouts {
            head: s(10),
            request_body_idle: s(30),
            response_body_idle: s(300),
            websocket_idle: s(3600),
            keep_alive: s(60),
            connect: s(5),
            request: s(3),
            shutdown: s(30),
        },
        upstream_pool: Pool {
            idle_timeout: s(60),
            max_lifetime: s(3600),
            max_idle: 256,
        },
        trusted_proxies: vec![],
        access_log: if std::env::var_os("NOLOG").is_some() {
            AccessLog::Off
        } else {
            AccessLog::Stdout
        },
        access_log_format: AccessLogFormat::Auto,
        max_connections: None,
    };
    let snapshot = Snapshot {
        router: api_gateway::router::Router::build(vec![api_gateway::router::RouteMatch {
            hosts: Box::default(),
            path: api_gateway::router::PathPattern::parse("/*rest").unwrap(),
            methods: Box::default(),
            headers: Box::default(),
            query: Box::default(),
        }])
        .unwrap(),
        routes: Box::new([Route {
            name: "all".into(),
            upstream: 0,
            strip_prefix: "".into(),
            preserve_host: false,
            require_auth: false,
            cacheable: false,
            timeout: s(3),
        }]),
        upstreams: Box::new([Upstream {
            endpoints: Box::new([Endpoint {
                pool: 0,
                target: Target {
                    host: Host::Address("127.0.0.1".parse().unwrap()),
                    port: backend.parse().unwrap(),
                    authority: http::HeaderValue::from_static("backend"),
                    base_path: "".into(),
                },
            }]),
            balancer: load_balancer::WeightedRoundRobin::new(&[1]).unwrap(),
        }]),
        pools: 1,
    };
    if let Err(e) = api_gateway::server::run(Arc::new(settings), Arc::new(snapshot)) {
        eprintln!("{e}");
        std::process::exit(1)
    }
}

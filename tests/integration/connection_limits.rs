//! How many connections an upstream may have, who waits for one, and pools of an upstream's own.

use std::collections::{HashMap, HashSet};
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{Backend, Client, Connection, Gateway, Message, within};
use tokio::sync::watch;

use crate::upstreams::{answering, get, in_front_of};
use crate::{assert_problem, gateway};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// A backend that is about to notice the end of a connection has done so after this.
const SETTLED: Duration = Duration::from_millis(5);

/// The connections that are open to some backends, and the most there ever were.
#[derive(Clone, Default)]
struct OpenConnections {
    all: Arc<Mutex<HashMap<u16, std::net::TcpStream>>>,
    most: Arc<AtomicUsize>,
}

impl OpenConnections {
    /// Counts `connection`. One whose end has come, and not been seen yet, is none that is open.
    fn opened(&self, connection: &Connection) -> u16 {
        let port = connection.stream.peer_addr().unwrap().port();
        let socket = connection.stream.as_fd().try_clone_to_owned().unwrap();
        self.all.lock().unwrap().insert(port, socket.into());
        let (seen, here) = (self.ports(), self.clone());
        tokio::spawn(async move {
            tokio::time::sleep(SETTLED).await;
            let still = here.ports().intersection(&seen).count();
            here.most.fetch_max(still, Ordering::SeqCst);
        });
        port
    }

    fn closed(&self, port: u16) {
        self.all.lock().unwrap().remove(&port);
    }

    fn ports(&self) -> HashSet<u16> {
        let all = self.all.lock().unwrap();
        let is_open = |socket: &std::net::TcpStream| match socket.peek(&mut [0]) {
            Ok(read) => read > 0,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        };
        let open = all.iter().filter(|(_, socket)| is_open(socket));
        open.map(|(port, _)| *port).collect()
    }

    fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    /// A backend that takes a while for each answer.
    async fn backend(&self, delay: Duration) -> Backend {
        let counter = self.clone();
        Backend::scripted(move |mut connection| {
            let counter = counter.clone();
            async move {
                let port = counter.opened(&connection);
                while connection.request().await.is_some() {
                    tokio::time::sleep(delay).await;
                    connection.send(OK).await;
                }
                counter.closed(port);
            }
        })
        .await
    }
}

/// A backend that answers when it is told to, and how to tell it.
async fn held_back() -> (Backend, watch::Sender<bool>) {
    let (release, released) = watch::channel(false);
    let backend = Backend::scripted(move |mut connection| {
        let mut released = released.clone();
        async move {
            while connection.request().await.is_some() {
                if released.wait_for(|released| *released).await.is_err() {
                    return;
                }
                connection.send(OK).await;
            }
        }
    })
    .await;
    (backend, release)
}

fn targets(backend: &Backend) -> Vec<String> {
    let requests = backend.requests();
    requests.iter().map(|it| it.target().to_owned()).collect()
}

/// A gateway of one worker has done all that it had to do with what had reached it.
async fn settled(gateway: &Gateway) {
    let mut client = gateway.client().await;
    client.send("BAD\r\n\r\n").await;
    assert_eq!(client.response().await.status(), 400);
}

/// A client whose request is on its way.
async fn asking(gateway: &Gateway, target: &str) -> Client {
    let mut client = gateway.client().await;
    client.request("GET", target, &[]).await;
    settled(gateway).await;
    client
}

#[track_caller]
fn assert_full(answer: &Message) {
    assert_problem(answer, 503, "upstream-full", "connection_limit_reached");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_are_never_more_connections_than_may_be_and_every_request_is_answered() {
    const MOST: usize = 8;
    for workers in ["1", "4"] {
        let open = OpenConnections::default();
        let (one, two) = (
            open.backend(Duration::from_millis(2)).await,
            open.backend(Duration::from_millis(2)).await,
        );
        let pool = json!({ "maxConnections": MOST });
        let gateway = in_front_of(
            &[one.url(), two.url()],
            json!({ "pool": pool }),
            json!({ "timeout": 60 }),
        )
        .env("WORKERS", workers)
        .env("CONNECT_TIMEOUT", "60")
        .start()
        .await;
        let address = gateway.address();
        let clients = (0..200).map(|_| {
            tokio::spawn(async move {
                let mut client = Client::connect(address).await;
                for _ in 0..5 {
                    assert_eq!(client.get("/").await.status(), 200);
                }
            })
        });
        for client in clients.collect::<Vec<_>>() {
            client.await.unwrap();
        }
        assert_eq!(one.requests().len() + two.requests().len(), 1000);
        assert_eq!(open.most(), MOST, "{workers} workers");
    }
}

#[tokio::test]
async fn those_who_wait_are_served_in_their_order_over_the_same_connection() {
    let (backend, release) = held_back().await;
    let pool = json!({ "maxConnections": 1 });
    let gateway = in_front_of(&[backend.url()], json!({ "pool": pool }), json!({}))
        .start()
        .await;
    let order = ["/first", "/second", "/third", "/fourth"];
    let mut clients = Vec::new();
    for target in order {
        clients.push(asking(&gateway, target).await);
    }
    assert_eq!(targets(&backend), ["/first"]);
    release.send(true).unwrap();
    for client in &mut clients {
        assert_eq!(client.response().await.status(), 200);
    }
    assert_eq!(targets(&backend), order);
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn more_than_may_wait_are_refused_at_once_and_nobody_is_blamed() {
    let silent = Backend::silent().await;
    let upstream = json!({
        "pool": { "maxConnections": 1, "maxPending": 1 },
        "breaker": { "consecutiveFailures": 1 },
    });
    let route = json!({ "retry": { "on": ["connect", 503] }, "timeout": 60 });
    let gateway = in_front_of(&[silent.url()], upstream, route)
        .env("CONNECT_TIMEOUT", "60")
        .start()
        .await;
    let mut first = asking(&gateway, "/first").await;
    let mut second = asking(&gateway, "/second").await;
    for _ in 0..3 {
        assert_full(&get(&gateway, &[]).await);
    }
    let log = gateway.log(3).await;
    assert!(log.iter().all(|line| line["retries"].is_null()), "{log:?}");
    for waiting in [&mut first, &mut second] {
        assert!(waiting.is_silent_for(Duration::from_millis(50)).await);
    }
    assert_eq!(targets(&silent), ["/first"]);
}

#[tokio::test]
async fn something_else_stands_in_for_an_upstream_whose_connections_are_taken() {
    let silent = Backend::silent().await;
    let backup = answering("200 OK", "backup").await;
    let routes = json!({
        "upstreams": {
            "all": { "endpoints": [silent.url()], "pool": { "maxConnections": 1, "maxPending": 0 } },
            "backup": { "endpoints": [backup.url()] },
        },
        "routes": [{ "path": "/*path", "upstream": "all", "fallback": { "upstream": "backup" } }],
    });
    let gateway = gateway().routes(&routes).start().await;
    let _first = asking(&gateway, "/").await;
    assert_eq!(get(&gateway, &[]).await.text(), "backup");
}

#[tokio::test]
async fn the_wait_ends_with_the_connect_timeout_or_the_requests_own() {
    let silent = Backend::silent().await;
    // One limit for all routes to the upstream.
    let routes = json!({
        "upstreams": { "all": { "endpoints": [silent.url()], "pool": { "maxConnections": 1 } } },
        "routes": [
            { "path": "/patient", "upstream": "all", "timeout": 60 },
            { "path": "/hasty", "upstream": "all", "timeout": 0.1 },
        ],
    });
    let gateway = gateway()
        .routes(&routes)
        .env("CONNECT_TIMEOUT", "0.4")
        .start()
        .await;
    let _first = asking(&gateway, "/patient").await;
    for (target, waited) in [("/hasty", 100), ("/patient", 400)] {
        let began = Instant::now();
        let answer = gateway.client().await.get(target).await;
        assert_full(&answer);
        let waited = Duration::from_millis(waited);
        assert!(began.elapsed() >= waited, "{:?}", began.elapsed());
    }
    assert_eq!(targets(&silent), ["/patient"]);
}

#[tokio::test]
async fn a_client_that_leaves_while_it_waits_takes_nobodys_place() {
    let (backend, release) = held_back().await;
    let pool = json!({ "maxConnections": 1, "maxPending": 2 });
    let gateway = in_front_of(&[backend.url()], json!({ "pool": pool }), json!({}))
        .start()
        .await;
    let mut first = asking(&gateway, "/first").await;
    for _ in 0..3 {
        drop(asking(&gateway, "/gone").await);
    }
    // Each has left the queue, which has room for two.
    gateway.log(3).await;
    let mut second = asking(&gateway, "/second").await;
    let mut third = asking(&gateway, "/third").await;
    release.send(true).unwrap();
    for client in [&mut first, &mut second, &mut third] {
        assert_eq!(client.response().await.status(), 200);
    }
    assert_eq!(targets(&backend), ["/first", "/second", "/third"]);
}

#[tokio::test]
async fn an_idle_connection_to_one_endpoint_gives_way_to_one_to_another() {
    let open = OpenConnections::default();
    let (one, two) = (
        open.backend(Duration::ZERO).await,
        open.backend(Duration::ZERO).await,
    );
    for pending in [0, 10] {
        let pool = json!({ "maxConnections": 1, "maxPending": pending });
        let upstream = json!({ "pool": pool });
        let gateway = in_front_of(&[one.url(), two.url()], upstream, json!({}))
            .env("CONNECT_TIMEOUT", "60")
            .start()
            .await;
        let mut client = gateway.client().await;
        for _ in 0..10 {
            assert_eq!(client.get("/").await.status(), 200);
        }
    }
    assert_eq!((one.requests().len(), two.requests().len()), (10, 10));
    assert!(open.most() <= 1, "{}", open.most());
}

#[tokio::test]
async fn an_idle_connection_of_one_worker_gives_way_to_one_of_another() {
    let open = OpenConnections::default();
    let backend = open.backend(Duration::ZERO).await;
    let pool = json!({ "maxConnections": 1, "maxPending": 0 });
    let gateway = in_front_of(&[backend.url()], json!({ "pool": pool }), json!({}))
        .env("WORKERS", "4")
        .env("CONNECT_TIMEOUT", "60")
        .start()
        .await;
    for _ in 0..40 {
        assert_eq!(get(&gateway, &[]).await.status(), 200);
    }
    assert!(backend.connections() > 1, "several workers have been asked");
    assert!(open.most() <= 1, "{}", open.most());
}

#[tokio::test]
async fn a_post_does_not_wait_for_an_idle_connection_that_it_must_not_use() {
    let backend = Backend::ok().await;
    let pool = json!({ "maxConnections": 1, "maxPending": 0 });
    let gateway = in_front_of(&[backend.url()], json!({ "pool": pool }), json!({}))
        .start()
        .await;
    let mut client = gateway.client().await;
    client.get("/").await;
    // Idle for longer than a backend surely keeps it.
    assert!(client.is_silent_for(Duration::from_millis(1100)).await);
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
        .await;
    assert_eq!(client.response().await.status(), 200);
    assert_eq!(backend.connections(), 2);
}

#[tokio::test]
async fn a_websocket_has_its_place_until_it_ends() {
    let backend = Backend::scripted(|mut connection| async move {
        while let Some(request) = connection.request().await {
            if request.target() != "/socket" {
                connection.send(OK).await;
                continue;
            }
            connection
                .send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
                .await;
            connection.ended().await;
            return;
        }
    })
    .await;
    let pool = json!({ "maxConnections": 1 });
    let gateway = in_front_of(&[backend.url()], json!({ "pool": pool }), json!({}))
        .env("CONNECT_TIMEOUT", "0.2")
        .start()
        .await;
    let mut socket = gateway.client().await;
    let upgrade = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    socket.request("GET", "/socket", &upgrade).await;
    socket.until("\r\n\r\n").await;
    assert_full(&get(&gateway, &[]).await);
    let mut waiting = asking(&gateway, "/").await;
    drop(socket);
    assert_eq!(waiting.response().await.status(), 200);
}

#[tokio::test]
async fn a_place_comes_back_from_what_fails_or_is_closed() {
    let refused = format!("http://{}", Backend::refused().await);
    let closing = Backend::closing(OK).await;
    let breaking = Backend::scripted(|mut connection| async move {
        connection.request().await;
        connection.reset();
    })
    .await;
    for (url, status) in [(refused, 502), (closing.url(), 200), (breaking.url(), 502)] {
        let upstream =
            json!({ "pool": { "maxConnections": 1, "maxPending": 0 }, "outliers": false });
        let gateway = in_front_of(&[url], upstream, json!({})).start().await;
        for _ in 0..5 {
            assert_eq!(get(&gateway, &[]).await.status(), status);
        }
    }
}

#[tokio::test]
async fn a_retry_does_not_wait_for_the_place_of_the_attempt_before_it() {
    for body in [2, 1_000_000] {
        let failing = answering("503 Service Unavailable", &"x".repeat(body)).await;
        let good = answering("200 OK", "good").await;
        let upstream = json!({ "pool": { "maxConnections": 1 }, "outliers": false });
        let route = json!({ "retry": { "on": [503] } });
        let gateway = in_front_of(&[failing.url(), good.url()], upstream, route)
            .env("CONNECT_TIMEOUT", "60")
            .start()
            .await;
        for _ in 0..4 {
            assert_eq!(get(&gateway, &[]).await.text(), "good");
        }
        assert!(!failing.requests().is_empty());
    }
}

#[tokio::test]
async fn a_hedge_is_given_up_where_it_would_have_to_wait() {
    let silent = Backend::silent().await;
    let quick = answering("200 OK", "quick").await;
    let endpoints = [silent.url(), quick.url()];
    let route = json!({ "hedge": { "after": 0.05 }, "timeout": 0.5 });
    for (most, status) in [(1, 504), (2, 200)] {
        let pool = json!({ "maxConnections": most });
        let upstream = json!({ "pool": pool, "outliers": false });
        let gateway = in_front_of(&endpoints, upstream, route.clone())
            .env("CONNECT_TIMEOUT", "60")
            .start()
            .await;
        for _ in 0..3 {
            // The turn is the silent one's: a hedge takes one too.
            assert_eq!(get(&gateway, &[]).await.status(), status, "{most}");
        }
    }
}

#[tokio::test]
async fn copies_that_wait_hold_up_no_original() {
    let (original, silent) = (Backend::ok().await, Backend::silent().await);
    let shared = Backend::ok().await;
    let pool = json!({ "maxConnections": 1 });
    let routes = json!({
        "upstreams": {
            "original": { "endpoints": [original.url()] },
            "silent": { "endpoints": [silent.url()], "pool": pool },
            "shared": { "endpoints": [shared.url()], "pool": pool },
        },
        "routes": [
            { "path": "/apart", "upstream": "original", "mirror": { "upstream": "silent" } },
            { "path": "/same", "upstream": "shared", "mirror": { "upstream": "shared" } },
        ],
    });
    let gateway = gateway()
        .routes(&routes)
        .env("CONNECT_TIMEOUT", "60")
        .start()
        .await;
    let mut client = gateway.client().await;
    for target in ["/apart", "/same"] {
        for _ in 0..5 {
            assert_eq!(client.get(target).await.status(), 200);
        }
    }
    shared.wait_for_requests(10).await;
    silent.wait_for_requests(1).await;
    assert_eq!((silent.connections(), shared.connections()), (1, 1));
}

async fn with_pool(backend: &Backend, pool: Value) -> Gateway {
    in_front_of(&[backend.url()], json!({ "pool": pool }), json!({}))
        .start()
        .await
}

#[tokio::test]
async fn an_upstream_keeps_idle_connections_as_long_and_as_many_as_it_says() {
    for key in ["idleTimeout", "maxLifetime"] {
        let backend = Backend::ok().await;
        let gateway = with_pool(&backend, json!({ key: "200ms" })).await;
        let mut client = gateway.client().await;
        client.get("/").await;
        // Closed by itself, without another request.
        backend.wait_for_ends(1).await;
        client.get("/").await;
        assert_eq!(backend.connections(), 2, "{key}");
    }
    for (most, ends) in [(0, 2), (1, 1)] {
        let (backend, release) = held_back().await;
        let gateway = with_pool(&backend, json!({ "maxIdle": most })).await;
        let mut clients = [
            asking(&gateway, "/first").await,
            asking(&gateway, "/second").await,
        ];
        backend.wait_for_requests(2).await;
        release.send(true).unwrap();
        for client in &mut clients {
            client.response().await;
        }
        backend.wait_for_ends(ends).await;
        get(&gateway, &[]).await;
        assert_eq!(backend.connections(), 2 + usize::from(most == 0));
    }
}

#[tokio::test]
async fn an_upstream_with_a_pool_of_its_own_shares_no_connection() {
    let backend = Backend::ok().await;
    let routes = json!({
        "upstreams": { "own": { "endpoints": [backend.url()], "pool": { "maxConnections": 1 } } },
        "routes": [
            { "path": "/own", "upstream": "own" },
            { "path": "/a", "targetURL": backend.url() },
            { "path": "/b", "targetURL": backend.url() },
        ],
    });
    let gateway = gateway().routes(&routes).start().await;
    let mut client = gateway.client().await;
    for (target, connections) in [("/a", 1), ("/b", 1), ("/own", 2), ("/a", 2), ("/own", 2)] {
        assert_eq!(client.get(target).await.status(), 200);
        assert_eq!(backend.connections(), connections, "{target}");
    }
}

#[tokio::test]
async fn waiting_is_no_slowness_of_the_backend() {
    let (backend, release) = held_back().await;
    let upstream = json!({
        "pool": { "maxConnections": 1 },
        "breaker": {
            "slow": { "longerThan": "400ms", "ratio": 0.4 }, "minimumCalls": 3,
        },
    });
    let gateway = in_front_of(&[backend.url()], upstream, json!({}))
        .start()
        .await;
    // One that is slow, and two that have to wait for it.
    let mut clients = Vec::new();
    for target in ["/slow", "/second", "/third"] {
        clients.push(asking(&gateway, target).await);
    }
    assert!(clients[0].is_silent_for(Duration::from_millis(500)).await);
    let head = within("the time that the backend is told", async {
        release.send(true).unwrap();
        for client in &mut clients {
            assert_eq!(client.response().await.status(), 200);
        }
        backend.last()
    })
    .await;
    let left: u64 = head
        .field("x-request-timeout-ms")
        .and_then(|left| left.parse().ok())
        .unwrap();
    assert!(left <= 29_500, "{left}");
    assert_eq!(get(&gateway, &[]).await.status(), 200);
}

#[tokio::test]
async fn those_who_wait_for_what_fails_are_told_so_and_not_sent_there() {
    let (release, released) = watch::channel(false);
    let failing = Backend::scripted(move |mut connection| {
        let mut released = released.clone();
        async move {
            while connection.request().await.is_some() {
                let _ = released.wait_for(|released| *released).await;
                connection
                    .send("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n")
                    .await;
            }
        }
    })
    .await;
    let good = answering("200 OK", "good").await;
    let breaker = |scope| json!({ "scope": scope, "consecutiveFailures": 1, "open": "1h" });
    let routes = json!({
        "upstreams": {
            "one": {
                "endpoints": [failing.url()], "outliers": false,
                "pool": { "maxConnections": 1 }, "breaker": breaker("upstream"),
            },
            "two": {
                "endpoints": [failing.url(), good.url()], "outliers": false,
                "balance": { "policy": "consistentHash", "by": "path" },
                "pool": { "maxConnections": 1 }, "breaker": breaker("endpoint"),
            },
        },
        "routes": [
            { "path": "/one", "upstream": "one" },
            { "path": "/two/*path", "upstream": "two" },
        ],
    });
    let gateway = gateway()
        .routes(&routes)
        .env("CONNECT_TIMEOUT", "60")
        .start()
        .await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(asking(&gateway, "/one").await);
    }
    // Of a path that leads to the failing one.
    let mut target = String::new();
    let mut first = None;
    for number in 0.. {
        target = format!("/two/{number}");
        let mut client = asking(&gateway, &target).await;
        if client.is_silent_for(Duration::from_millis(100)).await {
            first = Some(client);
            break;
        }
    }
    let mut others = [
        asking(&gateway, &target).await,
        asking(&gateway, &target).await,
    ];
    assert_eq!(failing.requests().len(), 2);
    release.send(true).unwrap();
    let mut codes = Vec::new();
    for client in &mut clients {
        let answer = client.response().await;
        codes.push((answer.status(), answer.field("retry-after").is_some()));
    }
    assert_eq!(codes, [(500, false), (503, true), (503, true), (503, true)]);
    assert_eq!(first.unwrap().response().await.status(), 500);
    for client in &mut others {
        assert_eq!(client.response().await.text(), "good");
    }
    assert_eq!(failing.requests().len(), 2);
}

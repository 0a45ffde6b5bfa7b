//! Backends that are named: their addresses, and what becomes of requests when these change or cannot be found out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use testkit::{Backend, Connection, Dns, Gateway, GatewayBuilder, within};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::{assert_problem, everything_to, gateway, routes};

/// Answers every request.
async fn ok(mut connection: Connection) {
    while connection.request().await.is_some() {
        connection
            .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .await;
    }
}

/// 127.0.0.`last`.
fn local(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, last).into()
}

/// Backends at these addresses, all at one port, and that port.
async fn at_one_port(addresses: &[IpAddr]) -> (Vec<Backend>, u16) {
    let mut backends: Vec<Backend> = Vec::new();
    for address in addresses {
        let port = backends.first().map_or(0, |first| first.address().port());
        backends.push(Backend::scripted_at((*address, port).into(), ok).await);
    }
    let port = backends[0].address().port();
    (backends, port)
}

/// A hosts file in which `name` has these addresses.
fn hosts(name: &str, addresses: &[IpAddr]) -> String {
    let lines = addresses
        .iter()
        .map(|address| format!("{address} {name}\n"));
    lines.collect()
}

/// A gateway that asks `dns`.
fn asking(dns: &Dns) -> GatewayBuilder {
    gateway().env("DNS_SERVERS", dns.address().to_string())
}

/// Requests without end, one after the other, each over a connection of its own.
struct Traffic {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<usize>>,
}

impl Traffic {
    fn start(gateway: &Gateway) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let clients = (0..4).map(|_| {
            let (stop, address) = (Arc::clone(&stop), gateway.address());
            tokio::spawn(async move {
                let mut requests = 0;
                while !stop.load(Ordering::Relaxed) {
                    let mut client = testkit::Client::connect(address).await;
                    for _ in 0..10 {
                        let answer = client.get("/").await;
                        assert_eq!(answer.status(), 200, "{}", answer.text());
                        requests += 1;
                    }
                }
                requests
            })
        });
        Self {
            clients: clients.collect(),
            stop,
        }
    }

    /// How many there were; all have been answered by 200.
    async fn stop(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let mut requests = 0;
        for client in self.clients {
            requests += within("a client", client).await.unwrap();
        }
        requests
    }
}

/// Sends requests until `done`, for no longer than is patient; all are to be answered by 200.
async fn requests_until(gateway: &Gateway, what: &str, done: impl Fn() -> bool) {
    within(what, async {
        while !done() {
            let answer = gateway.client().await.get("/").await;
            assert_eq!(answer.status(), 200, "{}", answer.text());
        }
    })
    .await;
}

#[tokio::test]
async fn all_addresses_of_a_name_are_used_alike() {
    let addresses = [local(1), local(2), local(3)];
    let (backends, port) = at_one_port(&addresses).await;
    let dns = Dns::start(&hosts("users.test", &addresses)).await;
    let gateway = asking(&dns)
        .routes(&everything_to(&format!("http://users.test:{port}/v1")))
        .start()
        .await;
    for _ in 0..30 {
        assert_eq!(gateway.client().await.get("/a").await.status(), 200);
    }
    for backend in &backends {
        assert_eq!(backend.requests().len(), 10);
        let request = backend.last();
        assert_eq!(request.target(), "/v1/a");
        assert_eq!(
            request.field("host"),
            Some(&*format!("users.test:{port}")),
            "the name, not the address"
        );
    }
    let asked = backends.iter().map(|backend| backend.address().to_string());
    let asked: Vec<Value> = asked.map(Value::from).collect();
    for line in gateway.log(30).await {
        assert!(asked.contains(&line["upstream"]), "{line}");
    }
}

#[tokio::test]
async fn traffic_follows_a_name_and_no_request_is_lost() {
    let (backends, port) = at_one_port(&[local(1), local(2), local(3)]).await;
    let [one, two, three] = &backends[..] else {
        panic!("three backends");
    };
    let dns = Dns::start(&hosts("users.test", &[local(1), local(2)])).await;
    let gateway = asking(&dns)
        .routes(&everything_to(&format!("http://users.test:{port}")))
        .start()
        .await;
    let traffic = Traffic::start(&gateway);
    one.wait_for_requests(20).await;
    two.wait_for_requests(20).await;
    dns.set_hosts(&hosts("users.test", &[local(2), local(3)]))
        .await;
    three.wait_for_requests(20).await;
    // Nothing is in flight to it, and nothing comes any more.
    let one_had = one.requests().len();
    let three_had = three.requests().len();
    three.wait_for_requests(three_had + 50).await;
    assert_eq!(one.requests().len(), one_had);
    dns.set_hosts(&hosts("users.test", &[local(1)])).await;
    one.wait_for_requests(one_had + 50).await;
    assert!(traffic.stop().await > 100);
}

#[tokio::test]
async fn an_address_that_goes_is_drained() {
    let finish = Arc::new(Notify::new());
    let slowly = Arc::clone(&finish);
    let old = Backend::scripted_at((local(1), 0).into(), move |mut connection| {
        let finish = Arc::clone(&slowly);
        async move {
            while let Some(request) = connection.request().await {
                connection
                    .send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
                    .await;
                if request.target() == "/slow" {
                    finish.notified().await;
                }
                connection.send("cd").await;
            }
        }
    })
    .await;
    let port = old.address().port();
    let new = Backend::scripted_at((local(2), port).into(), ok).await;
    let dns = Dns::start(&hosts("users.test", &[local(1)])).await;
    let gateway = asking(&dns)
        .routes(&everything_to(&format!("http://users.test:{port}")))
        .start()
        .await;
    let mut slow = gateway.client().await;
    slow.request("GET", "/slow", &[]).await;
    old.wait_for_requests(1).await;
    assert_eq!(gateway.client().await.get("/").await.text(), "abcd");
    assert_eq!(old.connections(), 2);

    dns.set_hosts(&hosts("users.test", &[local(2)])).await;
    requests_until(&gateway, "the new address", || !new.requests().is_empty()).await;
    let old_had = old.requests().len();
    // The connection that is idle is closed, the other one is not.
    old.wait_for_ends(1).await;
    finish.notify_one();
    let answer = slow.response().await;
    assert_eq!((answer.status(), &*answer.text()), (200, "abcd"));
    // Nobody has use for it now.
    old.wait_for_ends(2).await;
    assert_eq!(slow.get("/").await.text(), "ok");
    assert_eq!((old.requests().len(), old.connections()), (old_had, 2));
}

#[tokio::test]
async fn the_last_answer_holds_while_the_resolver_is_away() {
    let (backends, port) = at_one_port(&[local(1), local(2)]).await;
    let mut dns = Dns::start(&hosts("users.test", &[local(1)])).await;
    let gateway = asking(&dns)
        .routes(&everything_to(&format!("http://users.test:{port}")))
        .start()
        .await;
    let traffic = Traffic::start(&gateway);
    backends[0].wait_for_requests(10).await;
    dns.kill().await;
    gateway.wait_for_diagnostics(1, "name not resolved").await;
    let had = backends[0].requests().len();
    backends[0].wait_for_requests(had + 50).await;
    dns.set_hosts(&hosts("users.test", &[local(2)])).await;
    dns.restart().await;
    backends[1].wait_for_requests(10).await;
    traffic.stop().await;
    assert_eq!(gateway_lines(&gateway, "name not resolved"), 1);
    assert_eq!(gateway_lines(&gateway, "name resolved"), 2);
}

fn gateway_lines(gateway: &Gateway, text: &str) -> usize {
    let lines = gateway.diagnostics();
    lines.iter().filter(|line| line.contains(text)).count()
}

#[tokio::test]
async fn a_start_waits_for_no_resolver() {
    let (backends, port) = at_one_port(&[local(1)]).await;
    let mut dns = Dns::start(&hosts("users.test", &[local(1)])).await;
    dns.kill().await;
    let started = Instant::now();
    let gateway = asking(&dns)
        .env("CONNECT_TIMEOUT", "0.2")
        .routes(&everything_to(&format!("http://users.test:{port}")))
        .start()
        .await;
    let answer = gateway.client().await.get("/").await;
    assert!(started.elapsed() < Duration::from_secs(2));
    assert_problem(&answer, 502, "upstream-unresolved", "dns_error");
    dns.restart().await;
    within("the name to be resolved", async {
        while gateway.client().await.get("/").await.status() != 200 {}
    })
    .await;
    assert_eq!(backends[0].requests().len(), 1);
}

#[tokio::test]
async fn a_request_that_comes_before_the_first_answer_waits_for_it() {
    let (backends, port) = at_one_port(&[local(1)]).await;
    let dns = Dns::start(&hosts("users.test", &[local(1)])).await;
    dns.hang().await;
    let gateway = asking(&dns)
        .env("DNS_TIMEOUT", "10")
        .routes(&everything_to(&format!("http://users.test:{port}")))
        .start()
        .await;
    let mut client = gateway.client().await;
    client.request("GET", "/", &[]).await;
    assert!(client.is_silent_for(Duration::from_millis(100)).await);
    dns.go_on().await;
    assert_eq!(client.response().await.status(), 200);
    assert_eq!(backends[0].requests().len(), 1);
}

#[tokio::test]
async fn a_name_that_is_not_there_is_told_at_once_and_looked_for_again() {
    let (backends, port) = at_one_port(&[local(1)]).await;
    let dns = Dns::start("").await;
    let gateway = asking(&dns)
        .env("CONNECT_TIMEOUT", "60")
        .routes(&everything_to(&format!("http://later.test.:{port}")))
        .start()
        .await;
    let answer = gateway.client().await.get("/").await;
    assert_problem(&answer, 502, "upstream-unresolved", "dns_error");
    let line = &gateway.log(1).await[0];
    assert_eq!(
        (line["error"].as_str(), &line["upstream"]),
        (Some("upstream-unresolved"), &Value::Null)
    );
    dns.set_hosts(&hosts("later.test", &[local(1)])).await;
    let asked = Instant::now();
    within("the name to be resolved", async {
        while gateway.client().await.get("/").await.status() != 200 {}
    })
    .await;
    // Not when the negative answer's time is over, of which the server says nothing: 5 s.
    assert!(asked.elapsed() < Duration::from_secs(4));
    assert_eq!(
        backends[0].last().field("host"),
        Some(&*format!("later.test:{port}"))
    );
}

#[tokio::test]
async fn a_name_that_cannot_be_resolved_disturbs_no_other() {
    let (backends, port) = at_one_port(&[local(1)]).await;
    let dns = Dns::start(&hosts("users.test", &[local(1)])).await;
    // The server refuses to tell about what is not under "test".
    let targets = ["nobody.test", "users.test", "users.example"];
    let targets = targets.map(|name| format!("http://{name}:{port}"));
    let gateway = asking(&dns)
        .env("CONNECT_TIMEOUT", "60")
        .routes(&routes(&[json!({ "path": "/*path", "targets": targets })]))
        .start()
        .await;
    for _ in 0..20 {
        assert_eq!(gateway.client().await.get("/").await.status(), 200);
    }
    assert_eq!(backends[0].requests().len(), 20);
}

/// A backend at one loopback address, and its port, on which connections to the other one are refused.
async fn alone_at(address: IpAddr) -> (Backend, u16, Socket) {
    let other: IpAddr = match address {
        IpAddr::V4(_) => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv4Addr::LOCALHOST.into(),
    };
    loop {
        let backend = Backend::scripted_at((address, 0).into(), ok).await;
        let port = backend.address().port();
        let at = SocketAddr::from((other, port));
        let socket = Socket::new(Domain::for_address(at), Type::STREAM, None).unwrap();
        // Bound, so that no other test is there, and not listened on.
        if socket.bind(&at.into()).is_ok() {
            return (backend, port, socket);
        }
    }
}

#[tokio::test]
async fn a_backend_listens_on_whichever_family_it_likes() {
    let both = [local(1), Ipv6Addr::LOCALHOST.into()];
    let dns = Dns::start(&hosts("both.test", &both)).await;
    let health = [
        json!(null),
        json!({ "interval": 0.05 }),
        json!({ "path": "/", "interval": 0.05 }),
    ];
    for listening in both {
        for name in ["both.test", "localhost"] {
            for health in &health {
                let (backend, port, _refusing) = alone_at(listening).await;
                let mut upstream = json!({ "endpoints": [format!("http://{name}:{port}")] });
                if !health.is_null() {
                    upstream["health"] = health.clone();
                }
                let gateway = asking(&dns)
                    .routes(&json!({
                        "upstreams": { "one": upstream },
                        "routes": [{ "path": "/*path", "upstream": "one" }]
                    }))
                    .start()
                    .await;
                requests_until(&gateway, "requests", || backend.requests().len() > 10).await;
                assert_eq!(gateway_lines(&gateway, "Unhealthy"), 0, "{health}");
            }
        }
    }
}

#[tokio::test]
async fn a_name_with_ipv6_addresses_only_is_used() {
    let dns = Dns::start(&hosts("six.test", &[Ipv6Addr::LOCALHOST.into()])).await;
    let (backends, port) = at_one_port(&[Ipv6Addr::LOCALHOST.into()]).await;
    let gateway = asking(&dns)
        .routes(&everything_to(&format!("http://six.test:{port}")))
        .start()
        .await;
    assert_eq!(gateway.client().await.get("/").await.status(), 200);
    let line = &gateway.log(1).await[0];
    assert_eq!(line["upstream"], backends[0].address().to_string());
}

#[tokio::test]
async fn a_service_has_ports_weights_and_priorities() {
    let (light, heavy, spare) = (
        Backend::ok().await,
        Backend::ok().await,
        Backend::ok().await,
    );
    let record = |name: &str, backend: &Backend, priority: u16, weight: u16| {
        let port = backend.address().port();
        format!("--srv-host=_http._tcp.orders.test,{name}.test,{port},{priority},{weight}")
    };
    let records = [
        record("a", &light, 10, 1),
        record("b", &heavy, 10, 3),
        record("c", &spare, 20, 1),
    ];
    let records = records.each_ref().map(String::as_str);
    let names = "127.0.0.1 a.test b.test c.test\n";
    let dns = Dns::with_arguments(names, &records).await;
    let route = |path: &str, preserve: bool| json!({ "path": path, "targetURL": "http+srv://_http._tcp.orders.test/v1", "preserveHost": preserve });
    let gateway = asking(&dns)
        .routes(&routes(&[route("/a", false), route("/b", true)]))
        .start()
        .await;
    for _ in 0..40 {
        assert_eq!(gateway.client().await.get("/a").await.status(), 200);
    }
    let asked = [&light, &heavy, &spare].map(|backend| backend.requests().len());
    assert_eq!(asked, [10, 30, 0]);
    let request = heavy.last();
    assert_eq!(
        (request.target(), request.field("host")),
        ("/v1/a", Some("orders.test"))
    );
    let mut client = gateway.client().await;
    client
        .send("GET /b HTTP/1.1\r\nHost: shop.example\r\n\r\n")
        .await;
    assert_eq!(client.response().await.status(), 200);
    let last = [&light, &heavy].map(|backend| backend.last().field("host").map(str::to_owned));
    assert!(last.contains(&Some("shop.example".to_owned())), "{last:?}");
}

#[tokio::test]
async fn another_priority_is_used_when_the_first_has_gone() {
    let (first, second) = (Backend::ok().await, Backend::ok().await);
    let (one, two) = (first.address().port(), second.address().port());
    let records = [
        format!("--srv-host=_http._tcp.orders.test,a.test,{one},1,1"),
        format!("--srv-host=_http._tcp.orders.test,b.test,{two},2,1"),
    ];
    let records = records.each_ref().map(String::as_str);
    let dns = Dns::with_arguments("127.0.0.1 a.test b.test\n", &records).await;
    let gateway = asking(&dns)
        .routes(&everything_to("http+srv://_http._tcp.orders.test"))
        .start()
        .await;
    requests_until(&gateway, "requests", || first.requests().len() >= 10).await;
    assert_eq!(second.requests().len(), 0);
    dns.set_hosts("127.0.0.1 b.test\n").await;
    requests_until(&gateway, "requests", || second.requests().len() >= 10).await;
}

#[tokio::test]
async fn a_backend_that_has_moved_is_looked_up_before_the_time_is_over() {
    let (mut backends, port) = at_one_port(&[local(1), local(2)]).await;
    let record = |last| format!("--host-record=users.test,{},3600", local(last));
    let before = Dns::with_arguments("", &[&record(1)]).await;
    let gateway = asking(&before)
        .routes(&everything_to(&format!("http://users.test:{port}")))
        .start()
        .await;
    assert_eq!(gateway.client().await.get("/").await.status(), 200);
    let mut dns = before;
    dns.kill().await;
    dns.set_arguments(&[&record(2)]);
    dns.restart().await;
    drop(backends.remove(0));
    within("the name to be looked up again", async {
        // A connection to the one before may live a moment longer than it.
        while gateway.client().await.get("/").await.status() != 200
            || backends[0].requests().is_empty()
        {}
    })
    .await;
    assert_eq!(backends[0].requests().len(), 1);
}

#[tokio::test]
async fn an_address_that_fails_is_left_alone_like_any_endpoint() {
    let good = Backend::scripted_at((local(1), 0).into(), ok).await;
    let port = good.address().port();
    let bad = Backend::scripted_at((local(2), port).into(), |mut connection| async move {
        while connection.request().await.is_some() {
            connection
                .send("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
                .await;
        }
    })
    .await;
    let dns = Dns::start(&hosts("users.test", &[local(1), local(2)])).await;
    let gateway = asking(&dns)
        .routes(&everything_to(&format!("http://users.test:{port}")))
        .start()
        .await;
    let mut failed = 0;
    for _ in 0..40 {
        failed += usize::from(gateway.client().await.get("/").await.status() == 503);
    }
    assert_eq!(failed, 5);
    // That is not forgotten when the name's other addresses change.
    let three = Backend::scripted_at((local(3), port).into(), ok).await;
    dns.set_hosts(&hosts("users.test", &[local(2), local(3)]))
        .await;
    requests_until(&gateway, "the new address", || three.requests().len() > 10).await;
    assert_eq!(bad.requests().len(), 5);
}

#[tokio::test]
async fn checks_follow_a_name() {
    let (backends, port) = at_one_port(&[local(1), local(2)]).await;
    let dns = Dns::start(&hosts("users.test", &[local(1)])).await;
    let upstream = json!({
        "endpoints": [format!("http://users.test:{port}/v1")],
        "health": { "path": "/health", "interval": 0.05 },
    });
    let gateway = asking(&dns)
        .routes(&json!({
            "upstreams": { "users": upstream },
            "routes": [{ "path": "/*path", "upstream": "users" }]
        }))
        .start()
        .await;
    backends[0].wait_for_requests(3).await;
    let check = backends[0].last();
    assert_eq!(
        (check.target(), check.field("host")),
        ("/v1/health", Some(&*format!("users.test:{port}")))
    );
    dns.set_hosts(&hosts("users.test", &[local(2)])).await;
    backends[1].wait_for_requests(3).await;
    let had = backends[0].requests().len();
    backends[1].wait_for_requests(20).await;
    assert_eq!(backends[0].requests().len(), had);
    drop(gateway);
}

#[tokio::test]
async fn many_names_are_resolved() {
    const NAMES: usize = 300;
    let (backends, port) = at_one_port(&[local(1)]).await;
    let names: String = (0..NAMES)
        .map(|n| format!("127.0.0.1 n{n}.test\n"))
        .collect();
    let dns = Dns::start(&names).await;
    let of_one = |n: usize| json!({ "path": format!("/{n}"), "targetURL": format!("http://n{n}.test:{port}") });
    let all: Vec<String> = (0..NAMES)
        .map(|n| format!("http://n{n}.test:{port}/all"))
        .collect();
    let mut written: Vec<Value> = (0..NAMES).map(of_one).collect();
    written.push(json!({ "path": "/x", "targets": all }));
    let gateway = asking(&dns).routes(&routes(&written)).start().await;
    let mut client = gateway.client().await;
    for n in 0..NAMES {
        assert_eq!(client.get(&format!("/{n}")).await.status(), 200);
    }
    for _ in 0..NAMES {
        assert_eq!(client.get("/x").await.status(), 200);
    }
    let requests = backends[0].requests();
    let mut hosts: Vec<_> = requests
        .iter()
        .filter(|request| request.target() == "/all/x")
        .filter_map(|request| request.field("host"))
        .collect();
    hosts.sort_unstable();
    hosts.dedup();
    assert_eq!(hosts.len(), NAMES, "each of them once");
}

/// A DNS server that hears, and says nothing.
fn silent_server() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_nonblocking(true).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

fn has_been_asked(server: &UdpSocket) -> bool {
    server.recv(&mut [0; 512]).is_ok()
}

#[tokio::test]
async fn nothing_is_resolved_where_nothing_has_to_be() {
    let (server, address) = silent_server();
    let builder = || gateway().env("DNS_SERVERS", address.to_string());
    let named = everything_to("http://users.test");
    for command in ["check", "routes"] {
        let (status, _, error) = builder().routes(&named).argument(command).finish().await;
        assert!(status.success(), "{error}");
    }
    let backend = Backend::ok().await;
    let gateway = builder()
        .routes(&everything_to(&backend.url()))
        .start()
        .await;
    assert_eq!(gateway.client().await.get("/").await.status(), 200);
    assert!(!has_been_asked(&server));
    // As it is where there is a name.
    let _gateway = builder().routes(&named).start().await;
    within("a question", async {
        while !has_been_asked(&server) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn mistakes_in_the_url_of_a_service_are_told() {
    for (url, told) in [
        (
            "http+srv://_http._tcp.orders.test:80",
            "must not hold a port",
        ),
        ("http+srv://10.0.0.1", "must name a service"),
        ("http+srv://_http._tcp", "must name a service"),
        ("srv://_http._tcp.orders.test", "http+srv://"),
    ] {
        let builder = gateway().routes(&everything_to(url)).argument("check");
        let (status, _, error) = builder.finish().await;
        assert!(!status.success() && error.contains(told), "{url}: {error}");
    }
}

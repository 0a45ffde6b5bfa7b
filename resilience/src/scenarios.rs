//! The scenarios, and what each shows.

use std::future::Future;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Gateway, GatewayBuilder};
use tokio::time::{Instant, sleep};

use crate::Arguments;
use crate::backend::Backend;
use crate::load::{Connection, Outcome, run};
use crate::node::Node;

/// When something happens to the backends, after the start of the load.
const CALM: Duration = Duration::from_secs(3);

/// Runs all of them, and prints a table.
pub(crate) async fn all(arguments: &Arguments) -> anyhow::Result<()> {
    println!("| scenario | shown | goal | measured |\n|---|---|---|---|");
    killed(arguments).await?;
    rolling(arguments).await?;
    slow(arguments).await?;
    storm(arguments).await?;
    outage(arguments).await?;
    node(arguments).await
}

fn row(scenario: &str, shown: &str, goal: &str, measured: &str) {
    println!("| {scenario} | {shown} | {goal} | {measured} |");
}

/// A gateway whose only route goes to an upstream of these endpoints.
async fn gateway(
    arguments: &Arguments,
    endpoints: &[String],
    mut upstream: Value,
    mut route: Value,
) -> anyhow::Result<Gateway> {
    upstream["endpoints"] = json!(endpoints);
    route["path"] = "/*path".into();
    route["upstream"] = "all".into();
    let program = std::fs::canonicalize(&arguments.gateway)?;
    let builder = GatewayBuilder::new(&program.display().to_string());
    let routes = json!({ "upstreams": { "all": upstream }, "routes": [route] });
    Ok(builder
        .routes(&routes)
        .env("ACCESS_LOG", "off")
        .start()
        .await)
}

async fn three() -> anyhow::Result<Vec<Backend>> {
    Ok(vec![
        Backend::start().await?,
        Backend::start().await?,
        Backend::start().await?,
    ])
}

fn urls(backends: &[Backend]) -> Vec<String> {
    backends.iter().map(Backend::url).collect()
}

/// Health checks once a second, and retries.
fn careful() -> (Value, Value) {
    (
        json!({ "health": { "path": "/health", "interval": 1 } }),
        json!({ "retry": {}, "timeout": 5 }),
    )
}

/// Load for `time`, and what happens meanwhile.
async fn during<T>(
    gateway: &Gateway,
    rate: u32,
    time: Duration,
    event: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<(Outcome, T)> {
    let load = tokio::spawn(run(gateway.address(), rate, time));
    sleep(CALM).await;
    let happened = event.await?;
    Ok((load.await?, happened))
}

async fn killed(arguments: &Arguments) -> anyhow::Result<()> {
    let mut backends = three().await?;
    let (upstream, route) = careful();
    let gateway = gateway(arguments, &urls(&backends), upstream, route).await?;
    let victim = backends.swap_remove(1);
    let time = Duration::from_secs(10);
    let (outcome, _) = during(&gateway, arguments.rate, time, victim.kill()).await?;
    let later = outcome.failures_since(CALM + Duration::from_secs(1));
    let share = outcome.failures.len() as f64 / outcome.sent as f64 * 100.0;
    row(
        "one of three endpoints killed",
        &format!(
            "failed of {} GETs at {} a second",
            outcome.sent, arguments.rate
        ),
        "0 after the first second, < 0.1 % in all",
        &format!("{later} after the first second, {share:.3} % in all"),
    );
    Ok(())
}

async fn rolling(arguments: &Arguments) -> anyhow::Result<()> {
    let backends = three().await?;
    let (upstream, route) = careful();
    let gateway = gateway(arguments, &urls(&backends), upstream, route).await?;
    let restart = async {
        let mut restarted = Vec::new();
        for backend in backends {
            let port = backend.drain().await?;
            restarted.push(Backend::start_on(port).await?);
            sleep(Duration::from_secs(2)).await;
        }
        Ok(restarted)
    };
    let time = Duration::from_secs(15);
    let (outcome, _backends) = during(&gateway, arguments.rate, time, restart).await?;
    row(
        "rolling restart of all three, with draining",
        &format!("failed of {} GETs", outcome.sent),
        "0",
        &outcome.failures.len().to_string(),
    );
    Ok(())
}

async fn slow(arguments: &Arguments) -> anyhow::Result<()> {
    for policy in ["roundRobin", "twoChoices", "peakEwma"] {
        let backends = three().await?;
        for backend in &backends {
            backend.control("latency=10").await?;
        }
        let upstream = json!({ "balance": policy });
        let gateway = gateway(arguments, &urls(&backends), upstream, json!({})).await?;
        let time = Duration::from_secs(5);
        let healthy = run(gateway.address(), 1000, time).await.percentile(0.99);
        backends[0].control("latency=100").await?;
        // It takes some answers to be found out.
        run(gateway.address(), 1000, Duration::from_secs(2)).await;
        let with_slow = run(gateway.address(), 1000, time).await.percentile(0.99);
        row(
            &format!("one of three tenfold slow, `{policy}`"),
            "p99, with all well → with one slow",
            if policy == "roundRobin" {
                "–"
            } else {
                "≤ 2 ×"
            },
            &format!(
                "{healthy:.1} ms → {with_slow:.1} ms: {:.2} ×",
                with_slow / healthy
            ),
        );
    }
    Ok(())
}

async fn storm(arguments: &Arguments) -> anyhow::Result<()> {
    let backends = three().await?;
    for backend in &backends {
        backend.control("status=503").await?;
    }
    let upstream = json!({ "outliers": false });
    let route = json!({ "retry": { "attempts": 3 } });
    let gateway = gateway(arguments, &urls(&backends), upstream, route).await?;
    let outcome = run(gateway.address(), 1000, Duration::from_secs(5)).await;
    let mut asked = 0;
    for backend in &backends {
        asked += backend.control("").await?;
    }
    row(
        "every answer is 503, 3 retries",
        "upstream requests ÷ requests",
        "≤ 1.2",
        &format!("{:.3}", asked as f64 / outcome.sent as f64),
    );
    Ok(())
}

async fn outage(arguments: &Arguments) -> anyhow::Result<()> {
    let backends = three().await?;
    let (mut upstream, route) = careful();
    upstream["breaker"] = json!({ "consecutiveFailures": 5, "open": 1 });
    let gateway = gateway(arguments, &urls(&backends), upstream, route).await?;
    let start = Instant::now();
    let out = async {
        let mut ports = Vec::new();
        for backend in backends {
            ports.push(backend.kill().await?);
        }
        sleep(Duration::from_secs(arguments.outage)).await;
        let mut back = Vec::new();
        for port in ports {
            back.push(Backend::start_on(port).await?);
        }
        Ok((start.elapsed(), back))
    };
    let time = CALM + Duration::from_secs(arguments.outage + 8);
    let (outcome, (back_at, _backends)) = during(&gateway, 200, time, out).await?;
    let first = outcome.successes.iter().filter(|at| **at > back_at).min();
    let last = outcome.failures.iter().max().copied().unwrap_or_default();
    row(
        &format!("all three gone for {} s", arguments.outage),
        "time from their return to the first success, to the last failure",
        "2 s",
        &format!(
            "{:.1} s, {:.1} s",
            first.map_or(f64::NAN, |at| (*at - back_at).as_secs_f64()),
            last.saturating_sub(back_at).as_secs_f64()
        ),
    );
    Ok(())
}

/// POSTs in bursts, with pauses of just as long as the server keeps a connection.
async fn node(arguments: &Arguments) -> anyhow::Result<()> {
    const BURSTS: u32 = 20;
    const CLIENTS: u32 = 50;
    let node = Node::start().await?;
    let url = format!("http://127.0.0.1:{}", node.port);
    let gateway = gateway(arguments, &[url], json!({}), json!({})).await?;
    let (mut sent, mut failed) = (0_u32, 0_u32);
    for burst in 0..BURSTS {
        let each = arguments.posts / BURSTS / CLIENTS;
        let clients = (0..CLIENTS).map(|client| {
            let (address, first) = (gateway.address(), (burst * CLIENTS + client) * each);
            tokio::spawn(async move {
                let mut connection = Connection::open(address).await?;
                let mut failed = 0;
                for id in first..first + each {
                    let request = format!(
                        "POST / HTTP/1.1\r\nHost: a\r\nX-Id: {id}\r\nContent-Length: 1\r\n\r\nx"
                    );
                    failed += u32::from(connection.exchange(&request).await?.status != 200);
                }
                anyhow::Ok(failed)
            })
        });
        for client in clients.collect::<Vec<_>>() {
            failed += client.await??;
            sent += each;
        }
        // Some before the server closes, some just then, some after.
        sleep(Duration::from_millis(4990 + u64::from(burst))).await;
    }
    let mut connection = Connection::open(([127, 0, 0, 1], node.port).into()).await?;
    let report = connection
        .exchange("GET /report HTTP/1.1\r\nHost: a\r\n\r\n")
        .await?;
    let report: Value = serde_json::from_slice(&report.body)?;
    row(
        "Node server that closes idle connections after 5 s",
        &format!("failed of {sent} POSTs, executed twice"),
        "0, 0",
        &format!("{failed}, {}", report["twice"]),
    );
    Ok(())
}

//! Requests at a constant rate: a slow answer does not slow those that follow.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// A request that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(10);
/// Requests under way; more are not sent, and counted.
const MOST: usize = 20_000;

/// One connection.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// What has come back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// The connection can be used again.
    keeps: bool,
}

/// What has become of the requests of a run.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// When each failed request was sent, since the start.
    pub(crate) failures: Vec<Duration>,
    pub(crate) sent: u64,
    /// Microseconds, from when a request was due.
    latencies: Vec<u64>,
    /// When requests succeeded, since the start.
    pub(crate) successes: Vec<Duration>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
        })
    }

    /// Sends a request, and reads its answer, whose body has a length.
    pub(crate) async fn exchange(&mut self, request: &str) -> anyhow::Result<Answer> {
        self.stream.write_all(request.as_bytes()).await?;
        loop {
            if let Some(answer) = self.take_answer()? {
                return Ok(answer);
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                anyhow::bail!("the connection has ended");
            }
        }
    }

    fn take_answer(&mut self) -> anyhow::Result<Option<Answer>> {
        let Some(end) = self
            .buffer
            .windows(4)
            .position(|bytes| bytes == b"\r\n\r\n")
        else {
            return Ok(None);
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase();
        let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
        let length: usize = field("content-length: ").context("a length")?.parse()?;
        let whole = end + 4 + length;
        if self.buffer.len() < whole {
            return Ok(None);
        }
        let status = head.get(9..12).context("a status")?.parse()?;
        let keeps = field("connection: close").is_none();
        let bytes: Vec<u8> = self.buffer.drain(..whole).collect();
        Ok(Some(Answer {
            status,
            body: bytes[end + 4..].to_vec(),
            keeps,
        }))
    }
}

impl Outcome {
    /// Milliseconds that so large a share of the requests took at most.
    pub(crate) fn percentile(&self, share: f64) -> f64 {
        let mut latencies = self.latencies.clone();
        latencies.sort_unstable();
        let place = (latencies.len() as f64 * share) as usize;
        latencies
            .get(place)
            .map_or(f64::NAN, |latency| *latency as f64 / 1000.0)
    }

    /// Requests that were sent `since` the start or later, and have failed.
    pub(crate) fn failures_since(&self, since: Duration) -> usize {
        self.failures.iter().filter(|at| **at >= since).count()
    }
}

/// Sends GETs at `rate` a second for `time`.
pub(crate) async fn run(address: SocketAddr, rate: u32, time: Duration) -> Outcome {
    let outcome: Arc<Mutex<Outcome>> = Arc::default();
    let idle: Arc<Mutex<Vec<Connection>>> = Arc::default();
    let start = Instant::now();
    let mut ticks = interval(Duration::from_millis(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut sent = 0_u64;
    let mut tasks = tokio::task::JoinSet::new();
    while start.elapsed() < time {
        ticks.tick().await;
        let due = (start.elapsed().as_secs_f64() * f64::from(rate)) as u64;
        while sent < due {
            sent += 1;
            while tasks.try_join_next().is_some() {}
            let at = Duration::from_secs_f64(sent as f64 / f64::from(rate));
            let (outcome, idle) = (Arc::clone(&outcome), Arc::clone(&idle));
            if tasks.len() >= MOST {
                lock(&outcome).failures.push(at);
                continue;
            }
            tasks.spawn(async move {
                let succeeded = matches!(
                    timeout(PATIENCE, one(address, &idle)).await,
                    Ok(Ok(200..=299))
                );
                let took = start.elapsed().saturating_sub(at);
                let mut outcome = lock(&outcome);
                if succeeded {
                    outcome
                        .latencies
                        .push(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
                    outcome.successes.push(start.elapsed());
                } else {
                    outcome.failures.push(at);
                }
            });
        }
    }
    while tasks.join_next().await.is_some() {}
    let mut outcome = std::mem::take(&mut *lock(&outcome));
    outcome.sent = sent;
    outcome
}

/// One GET; its status.
async fn one(address: SocketAddr, idle: &Mutex<Vec<Connection>>) -> anyhow::Result<u16> {
    let kept = lock(idle).pop();
    let mut connection = match kept {
        Some(connection) => connection,
        None => Connection::open(address).await?,
    };
    let answer = connection
        .exchange("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
        .await?;
    if answer.keeps {
        lock(idle).push(connection);
    }
    Ok(answer.status)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

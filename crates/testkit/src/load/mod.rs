//! Load at a rate of its own, and what came of each request.
//!
//! An open loop: a request is due at its time whether others have been answered or not, and its latency begins when it
//! was due, not when a connection was free for it. So a pause of the server is felt by all requests that would have
//! come in it, as it is by users; a client that waits for its answer before it goes on would feel it once
//! (“coordinated omission”).
//!
//! Memory is bounded: a record for each request, of which there are at most [`MOST`], and a task for each request that
//! is not older than the load's patience. Times are as exact as tokio's timer, a millisecond.

mod answer;
mod client;
mod report;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use client::Clients;
pub use report::{Failure, Outcome, Record, Report, Second};

/// The most requests of one load.
pub const MOST: usize = 2_000_000;

/// What to send, where, and when.
#[derive(Debug, Clone)]
pub struct Load {
    /// Where to.
    pub target: SocketAddr,
    /// The path and query of all requests.
    pub path: String,
    /// When requests are due.
    pub schedule: Schedule,
    /// Their methods, in turn.
    pub methods: Vec<&'static str>,
    /// Sizes of the bodies of POST, PUT and PATCH, in turn; others have none.
    pub bodies: Vec<usize>,
    /// Connections at once; a request that finds none free waits, and its latency grows.
    pub connections: usize,
    /// What becomes of a connection after an answer.
    pub reuse: Reuse,
    /// How long after it was due an answer is still waited for.
    pub patience: Duration,
    /// The number of the first request; each has the next one, in [`crate::faults::REQUEST_ID`].
    pub first_id: u64,
}

/// When requests are due.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Schedule {
    /// So many per second, evenly.
    Steady {
        /// Requests per second.
        rate: f64,
        /// For how long.
        duration: Duration,
    },
    /// Several at once, again and again.
    Bursts {
        /// Requests of a burst.
        size: usize,
        /// How many bursts.
        count: usize,
        /// The shortest and the longest pause between two, all between them equally likely.
        pause: (Duration, Duration),
    },
}

/// What becomes of a connection after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// The next request takes it.
    Kept,
    /// Each request has one of its own.
    Fresh,
}

/// A load on its way.
#[derive(Debug)]
pub struct Running {
    begun: Instant,
    task: JoinHandle<Report>,
}

impl Load {
    /// GETs at a steady rate.
    #[must_use]
    pub fn steady(target: SocketAddr, rate: f64, duration: Duration) -> Self {
        Self {
            target,
            path: "/".into(),
            schedule: Schedule::Steady { rate, duration },
            methods: vec!["GET"],
            bodies: vec![64],
            connections: 512,
            reuse: Reuse::Kept,
            patience: Duration::from_secs(10),
            first_id: 1,
        }
    }

    /// How many requests it offers.
    ///
    /// # Panics
    /// When they are more than [`MOST`].
    #[must_use]
    pub fn requests(&self) -> usize {
        let requests = match self.schedule {
            Schedule::Steady { rate, duration } => {
                assert!(rate > 0.0, "a rate is above 0");
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                let requests = (rate * duration.as_secs_f64()).round() as usize;
                requests
            }
            Schedule::Bursts { size, count, .. } => size * count,
        };
        assert!(requests <= MOST, "{requests} requests are more than {MOST}");
        requests
    }

    /// Begins.
    #[must_use]
    pub fn start(self) -> Running {
        let begun = Instant::now();
        let task = tokio::spawn(self.offer(begun));
        Running { begun, task }
    }

    /// From the first request to the last answer.
    pub async fn run(self) -> Report {
        self.start().finish().await
    }

    async fn offer(self, begun: Instant) -> Report {
        let records = Arc::new(Mutex::new(Vec::with_capacity(self.requests())));
        let clients = Arc::new(Clients::new(&self));
        let mut tasks = tokio::task::JoinSet::new();
        let mut offset = Duration::ZERO;
        for number in 0..self.requests() {
            offset = self.schedule.due(number, offset);
            let (clients, records) = (Arc::clone(&clients), Arc::clone(&records));
            let due = begun + offset;
            tokio::time::sleep_until(due).await;
            let method = self.methods[number % self.methods.len()];
            let (id, body) = (self.first_id + number as u64, self.body(method, number));
            tasks.spawn(async move {
                let (outcome, backend) = clients.request(method, id, body, due).await;
                let record = Record {
                    id,
                    method,
                    offered: offset,
                    latency: due.elapsed(),
                    outcome,
                    backend,
                };
                records.lock().expect("a lock").push(record);
            });
            while tasks.try_join_next().is_some() {}
        }
        while tasks.join_next().await.is_some() {}
        let records = std::mem::take(&mut *records.lock().expect("a lock"));
        records.into_iter().collect()
    }

    fn body(&self, method: &str, number: usize) -> Option<usize> {
        let has_one = matches!(method, "POST" | "PUT" | "PATCH");
        let size = |number: usize| self.bodies.get(number % self.bodies.len().max(1)).copied();
        // By rounds of the methods: else each method would always have the same size.
        has_one.then(|| size(number / self.methods.len()).unwrap_or(0))
    }
}

impl Schedule {
    /// When a request is due, given when the one before it was.
    fn due(&self, number: usize, last: Duration) -> Duration {
        match *self {
            #[expect(clippy::cast_precision_loss)]
            Self::Steady { rate, .. } => Duration::from_secs_f64(number as f64 / rate),
            Self::Bursts { size, pause, .. } if number > 0 && number.is_multiple_of(size) => {
                let (least, most) = pause;
                last + least + most.saturating_sub(least).mul_f64(fastrand::f64())
            }
            Self::Bursts { .. } => last,
        }
    }
}

impl Running {
    /// How long ago it began: what [`Record::offered`] counts from.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Waits until it has gone on for so long.
    pub async fn until(&self, elapsed: Duration) {
        tokio::time::sleep_until(self.begun + elapsed).await;
    }

    /// Waits for the last answer.
    pub async fn finish(self) -> Report {
        self.task.await.expect("a load")
    }
}

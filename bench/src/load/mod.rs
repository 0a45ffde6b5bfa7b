//! Load over HTTP/1.1 and WebSocket, by one thread.
//!
//! Either every connection sends its next request when it has its answer (closed loop: how much is possible), or
//! requests leave at a fixed rate whether answers come or not, and a request's time begins when it was due (open
//! loop: how long users wait).

mod connection;
pub(crate) mod h2load;
pub(crate) mod handshakes;
pub(crate) mod idle;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use hdrhistogram::Histogram;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

pub(crate) use connection::FRAME;
use connection::{Connection, Progress};

const TIMER: Token = Token(usize::MAX);
/// How exact the open loop is.
const TICK: Duration = Duration::from_micros(100);
/// Nothing is measured before caches, pools and processes are warm.
const WARM_UP: Duration = Duration::from_millis(700);
/// Nobody waits longer for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What to send.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    /// A request as it goes over the wire.
    pub(crate) request: Vec<u8>,
    /// Connections that are open at once.
    pub(crate) connections: usize,
    /// What happens on them.
    pub(crate) exchange: Exchange,
    /// Requests per second; as many as possible when there is none.
    pub(crate) rate: Option<f64>,
}

/// What happens on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exchange {
    /// Requests, one after the other.
    KeepAlive,
    /// One request; then another connection.
    ConnectEach,
    /// After a WebSocket handshake: frames, each echoed.
    Echo,
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) requests: u64,
    pub(crate) elapsed: Duration,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) p999: Duration,
}

/// What the measured program is looked at for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Counting begins.
    Begin,
    /// Counting ends.
    End,
}

impl Load {
    /// Loads `target` for `duration`, and calls `probe` when counting begins and ends.
    pub(crate) fn run(
        &self,
        target: SocketAddr,
        duration: Duration,
        probe: &mut dyn FnMut(Moment) -> io::Result<()>,
    ) -> anyhow::Result<Figures> {
        let mut running = Running::start(self, target)?;
        running.drive(WARM_UP)?;
        running.begin_count();
        probe(Moment::Begin)?;
        let begun = Instant::now();
        running.drive(duration)?;
        let elapsed = begun.elapsed();
        probe(Moment::End)?;
        Ok(running.figures(elapsed))
    }
}

struct Running<'a> {
    load: &'a Load,
    target: SocketAddr,
    poll: Poll,
    connections: Vec<Connection>,
    /// Connections that have nothing to do; of the open loop.
    free: Vec<usize>,
    /// When the requests that found no free connection were due.
    late: VecDeque<Instant>,
    /// When the next request is due.
    due: Instant,
    times: Histogram<u64>,
    buffer: Vec<u8>,
}

impl<'a> Running<'a> {
    fn start(load: &'a Load, target: SocketAddr) -> anyhow::Result<Self> {
        let poll = Poll::new()?;
        let mut connections = Vec::with_capacity(load.connections);
        for index in 0..load.connections {
            let mut connection = Connection::open(target, load)
                .with_context(|| format!("connection {index} to {target}"))?;
            connection.register(poll.registry(), Token(index))?;
            connections.push(connection);
        }
        Ok(Self {
            load,
            target,
            poll,
            free: (0..load.connections).collect(),
            connections,
            late: VecDeque::new(),
            due: Instant::now(),
            times: Histogram::new_with_bounds(1, 60_000_000_000, 3)?,
            buffer: vec![0; 256 * 1024],
        })
    }

    fn begin_count(&mut self) {
        self.times.reset();
    }

    fn drive(&mut self, duration: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + duration;
        self.due = Instant::now();
        let mut events = Events::with_capacity(1024);
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK)?;
        if self.load.rate.is_some() {
            let tick = Timespec {
                tv_sec: 0,
                tv_nsec: i64::from(TICK.subsec_nanos()),
            };
            let every = Itimerspec {
                it_interval: tick,
                it_value: tick,
            };
            timerfd_settime(&timer, TimerfdTimerFlags::empty(), &every)?;
            let timer = &std::os::fd::AsRawFd::as_raw_fd(&timer);
            self.poll
                .registry()
                .register(&mut SourceFd(timer), TIMER, Interest::READABLE)?;
        } else {
            for index in std::mem::take(&mut self.free) {
                self.send(index, Instant::now())?;
            }
        }
        loop {
            self.poll.poll(&mut events, Some(PATIENCE))?;
            ensure!(!events.is_empty(), "no answer within {PATIENCE:?}");
            for event in &events {
                match event.token() {
                    TIMER => {
                        let _expirations = rustix::io::read(&timer, &mut [0_u8; 8][..]);
                    }
                    Token(index) => self.advance(index)?,
                }
            }
            let now = Instant::now();
            if now >= end {
                return Ok(());
            }
            if let Some(rate) = self.load.rate {
                self.send_due(now, Duration::from_secs_f64(1.0 / rate))?;
            }
        }
    }

    /// Sends what is due; what finds no free connection waits for one.
    fn send_due(&mut self, now: Instant, pause: Duration) -> anyhow::Result<()> {
        while self.due <= now {
            match self.free.pop() {
                Some(index) => self.send(index, self.due)?,
                None => self.late.push_back(self.due),
            }
            self.due += pause;
        }
        Ok(())
    }

    fn send(&mut self, index: usize, due: Instant) -> anyhow::Result<()> {
        let connection = &mut self.connections[index];
        connection.begin(due);
        Ok(connection.write(&self.load.request)?)
    }

    fn advance(&mut self, index: usize) -> anyhow::Result<()> {
        let connection = &mut self.connections[index];
        match connection.advance(&self.load.request, &mut self.buffer)? {
            Progress::Waiting => return Ok(()),
            Progress::Answered => {}
        }
        let taken = connection.begun().elapsed();
        self.times
            .saturating_record(u64::try_from(taken.as_nanos()).unwrap_or(u64::MAX));
        if self.load.exchange == Exchange::ConnectEach {
            let mut fresh = Connection::open(self.target, self.load)?;
            fresh.register(self.poll.registry(), Token(index))?;
            self.connections[index] = fresh;
        }
        if self.load.rate.is_none() {
            return self.send(index, Instant::now());
        }
        match self.late.pop_front() {
            Some(due) => self.send(index, due)?,
            None => self.free.push(index),
        }
        Ok(())
    }

    fn figures(&self, elapsed: Duration) -> Figures {
        let at = |quantile| Duration::from_nanos(self.times.value_at_quantile(quantile));
        Figures {
            requests: self.times.len(),
            elapsed,
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
        }
    }
}

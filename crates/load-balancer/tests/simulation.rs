//! What latency-aware balancing is for, played through: endpoints with a queue each, requests that come by chance, and
//! one endpoint that is ten times slower than the others.
#![allow(missing_docs, clippy::unwrap_used)]

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use load_balancer::{
    Endpoint, InFlight, Load, Outcome, Picker, Policy, Request, Settings, identity,
};

/// Requests to a server that are served at a time; others wait.
const WORKERS: usize = 16;
/// The mean time that a healthy server takes.
const SERVICE: Duration = Duration::from_millis(10);
/// Requests per second to all.
const RATE: f64 = 600.0;

struct Server {
    /// How many times longer than a healthy one it takes, from each point in time on.
    slowness: Vec<(Duration, f64)>,
    busy: usize,
    waiting: VecDeque<usize>,
}

struct Sent {
    server: usize,
    at: Duration,
    in_flight: Option<InFlight>,
}

/// What happens next: the earliest first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrival,
    Done(usize),
}

/// What the requests are like.
#[derive(Clone, Copy)]
enum Requests {
    /// Mostly alike.
    Alike,
    /// One in two thousand takes thirty times as long, wherever it goes.
    SomeLong,
}

struct Simulation {
    requests: Requests,
    picker: Picker,
    servers: Vec<Server>,
    random: fastrand::Rng,
    now: Duration,
    events: BinaryHeap<Reverse<(Duration, Event)>>,
    sent: Vec<Sent>,
    /// When each request was sent, to which server, and how long it took.
    done: Vec<(Duration, usize, Duration)>,
}

impl Simulation {
    fn run(
        policy: Policy,
        requests: Requests,
        seed: u64,
        slowness: &[&[(u64, f64)]],
        length: Duration,
    ) -> Self {
        let endpoints: Vec<Endpoint> = (0..slowness.len())
            .map(|server| {
                let load = Arc::new(Load::new(Duration::ZERO));
                Endpoint::new(identity(&server.to_string()), load)
            })
            .collect();
        let settings = Settings {
            policy,
            ..Settings::default()
        };
        let servers = slowness.iter().map(|slowness| Server {
            slowness: slowness
                .iter()
                .map(|&(from, times)| (Duration::from_secs(from), times))
                .collect(),
            busy: 0,
            waiting: VecDeque::new(),
        });
        let mut simulation = Self {
            requests,
            picker: Picker::new(settings, endpoints),
            servers: servers.collect(),
            random: fastrand::Rng::with_seed(seed),
            now: Duration::ZERO,
            events: BinaryHeap::from([Reverse((Duration::ZERO, Event::Arrival))]),
            sent: Vec::new(),
            done: Vec::new(),
        };
        while let Some(Reverse((now, event))) = simulation.events.pop() {
            simulation.now = now;
            match event {
                Event::Arrival if now < length => simulation.arrive(),
                Event::Arrival => {}
                Event::Done(request) => simulation.finish(request),
            }
        }
        simulation
    }

    fn exponential(&mut self) -> f64 {
        -(1.0 - self.random.f64()).ln()
    }

    fn arrive(&mut self) {
        let pause = Duration::from_secs_f64(self.exponential() / RATE);
        self.events
            .push(Reverse((self.now + pause, Event::Arrival)));
        let request = Request {
            now: self.now,
            random: self.random.u64(..),
            ..Request::default()
        };
        let pick = self.picker.pick(&request).unwrap();
        let server = pick.index;
        self.sent.push(Sent {
            server,
            at: self.now,
            in_flight: Some(pick.start(self.now)),
        });
        let request = self.sent.len() - 1;
        if self.servers[server].busy < WORKERS {
            self.serve(request);
        } else {
            self.servers[server].waiting.push_back(request);
        }
    }

    fn serve(&mut self, request: usize) {
        // The 99th percentile is twice the mean.
        let mut spread = 0.7 + 0.3 * self.exponential();
        match self.requests {
            Requests::SomeLong if self.random.u32(..2_000) == 0 => spread *= 30.0,
            Requests::SomeLong | Requests::Alike => {}
        }
        let server = &mut self.servers[self.sent[request].server];
        server.busy += 1;
        let slowness = server.slowness.iter().rev();
        let (_, times) = slowness
            .clone()
            .find(|(from, _)| *from <= self.now)
            .unwrap();
        let time = SERVICE.mul_f64(times * spread);
        self.events
            .push(Reverse((self.now + time, Event::Done(request))));
    }

    fn finish(&mut self, request: usize) {
        let Sent {
            server,
            at,
            in_flight,
        } = &mut self.sent[request];
        let (server, at) = (*server, *at);
        let mut in_flight = in_flight.take().unwrap();
        in_flight.answered(Outcome::Success, self.now);
        self.done.push((at, server, self.now - at));
        self.servers[server].busy -= 1;
        if let Some(next) = self.servers[server].waiting.pop_front() {
            self.serve(next);
        }
    }

    fn percentile_99(&self) -> Duration {
        let mut latencies: Vec<Duration> =
            self.done.iter().map(|&(_, _, latency)| latency).collect();
        latencies.sort_unstable();
        latencies[latencies.len() * 99 / 100]
    }

    /// The share of the requests in these seconds that a server got.
    fn share(&self, server: usize, seconds: std::ops::Range<u64>) -> f64 {
        let within = |at: Duration| seconds.contains(&at.as_secs());
        let sent = || self.done.iter().filter(|(at, _, _)| within(*at));
        let got = sent().filter(|(_, to, _)| *to == server).count();
        got as f64 / sent().count() as f64
    }
}

const WELL: &[(u64, f64)] = &[(0, 1.0)];
const SLOW: &[(u64, f64)] = &[(0, 10.0)];
const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn an_endpoint_that_is_tenfold_slower_does_not_show_in_the_99th_percentile() {
    let seeds = (1..=5).flat_map(|seed| [(seed, Requests::Alike), (seed, Requests::SomeLong)]);
    for (seed, requests) in seeds {
        let percentile = |policy, servers: &[&[(u64, f64)]]| {
            Simulation::run(policy, requests, seed, servers, MINUTE).percentile_99()
        };
        let healthy = percentile(Policy::PeakEwma, &[WELL, WELL, WELL]);
        let with_a_slow_one = percentile(Policy::PeakEwma, &[WELL, SLOW, WELL]);
        assert!(
            with_a_slow_one <= 2 * healthy,
            "{with_a_slow_one:?} {healthy:?}"
        );
        // That it would, otherwise.
        let in_turns = percentile(Policy::RoundRobin, &[WELL, SLOW, WELL]);
        assert!(in_turns > 5 * healthy, "{in_turns:?} {healthy:?}");
    }
}

#[test]
fn an_endpoint_that_becomes_slow_loses_its_traffic_within_a_second_and_gets_it_back() {
    let slow_for_a_while = &[(0, 1.0), (20, 10.0), (40, 1.0)][..];
    for seed in 1..=5 {
        let servers = [WELL, slow_for_a_while, WELL];
        let simulation = Simulation::run(
            Policy::PeakEwma,
            Requests::Alike,
            seed,
            &servers,
            2 * MINUTE,
        );
        let share = |seconds| simulation.share(1, seconds);
        assert!((0.25..0.42).contains(&share(1..20)), "{}", share(1..20));
        assert!(share(21..40) < 0.01, "{}", share(21..40));
        assert!(share(90..120) > 0.25, "{}", share(90..120));
    }
}

#[test]
fn fewer_choices_leave_more_in_the_queue() {
    // Not so far from what they can serve that it does not matter.
    let busy = &[(0, 7.0)][..];
    let servers = [busy; 3];
    let percentile =
        |policy| Simulation::run(policy, Requests::Alike, 1, &servers, MINUTE).percentile_99();
    assert!(percentile(Policy::TwoChoices) < percentile(Policy::Random));
    assert!(percentile(Policy::LeastConnections) <= percentile(Policy::TwoChoices));
}

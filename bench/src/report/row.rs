//! Medians and ratios.

use std::time::Duration;

use crate::measure::{Contender, Turn};
use crate::programs::{Program, Setup};

/// What is said of a contender in one scenario; medians over the rounds.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) contender: Contender,
    /// CPU time per request, in microseconds.
    pub(crate) user: f64,
    pub(crate) system: f64,
    pub(crate) requests_per_second: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) p999: Duration,
    /// Bytes.
    pub(crate) peak_memory: u64,
    /// CPU time as a multiple of nginx's and the forwarder's in the same rounds.
    pub(crate) to_nginx: Option<f64>,
    pub(crate) to_floor: Option<f64>,
}

impl Row {
    /// CPU time per request, in microseconds.
    pub(crate) fn cost(&self) -> f64 {
        self.user + self.system
    }
}

/// One row for each contender.
pub(crate) fn rows(results: &[(Contender, Vec<Turn>)]) -> Vec<Row> {
    results
        .iter()
        .map(|(contender, turns)| Row {
            contender: *contender,
            user: median(turns.iter().map(|turn| per_request(turn, turn.cpu.user))),
            system: median(turns.iter().map(|turn| per_request(turn, turn.cpu.system))),
            requests_per_second: median(
                turns
                    .iter()
                    .map(|turn| turn.load.requests as f64 / turn.load.elapsed.as_secs_f64()),
            ),
            p50: median_time(turns, |turn| turn.load.p50),
            p99: median_time(turns, |turn| turn.load.p99),
            p999: median_time(turns, |turn| turn.load.p999),
            peak_memory: turns.iter().map(|turn| turn.peak_memory).max().unwrap_or(0),
            to_nginx: ratio(results, turns, Program::Nginx, Setup::Bare)
                .or_else(|| ratio(results, turns, Program::Nginx, Setup::Cached)),
            to_floor: ratio(results, turns, Program::Floor, Setup::Bare),
        })
        .collect()
}

/// The median over the rounds of what `turns` cost against another contender in the same round.
pub(crate) fn ratio(
    results: &[(Contender, Vec<Turn>)],
    turns: &[Turn],
    program: Program,
    setup: Setup,
) -> Option<f64> {
    let (_, others) = results
        .iter()
        .find(|(contender, _)| *contender == Contender { program, setup })?;
    Some(median(
        turns
            .iter()
            .zip(others)
            .map(|(ours, theirs)| cost(ours) / cost(theirs)),
    ))
}

fn cost(turn: &Turn) -> f64 {
    per_request(turn, turn.cpu.user + turn.cpu.system)
}

/// In microseconds.
fn per_request(turn: &Turn, time: Duration) -> f64 {
    time.as_secs_f64() * 1e6 / turn.load.requests.max(1) as f64
}

fn median_time(turns: &[Turn], time: impl Fn(&Turn) -> Duration) -> Duration {
    Duration::from_secs_f64(median(turns.iter().map(|turn| time(turn).as_secs_f64())))
}

pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        count if count % 2 == 1 => values[count / 2],
        count => f64::midpoint(values[count / 2 - 1], values[count / 2]),
    }
}

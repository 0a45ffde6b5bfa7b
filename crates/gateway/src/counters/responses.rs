//! Answers by method and status, in bounded room.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use http::Method;

use super::shards::Count;

/// How many different pairs a worker tells apart for a route: an API has a few. A backend that makes statuses up does not
/// get more.
const PAIRS: usize = 64;
/// The names of methods in metrics.
const METHODS: [&str; 10] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", OTHER,
];
/// What has no name of its own.
pub(crate) const OTHER: &str = "other";

/// Answers that one worker has given, by method and status. Pairs that find no room are counted as one.
#[derive(Debug)]
pub(crate) struct Responses {
    /// Pairs plus one, each in the first free place from where it belongs; 0 for a free one.
    pairs: [AtomicU32; PAIRS],
    counts: [Count; PAIRS],
    others: Count,
}

/// What is told of an answer: its method, and its status unless that found no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Answered {
    pub(crate) method: &'static str,
    pub(crate) status: Option<u16>,
}

impl Default for Responses {
    fn default() -> Self {
        Self {
            pairs: [const { AtomicU32::new(0) }; PAIRS],
            counts: std::array::from_fn(|_| Count::default()),
            others: Count::default(),
        }
    }
}

impl Responses {
    /// Counts an answer; what was no request has no method.
    #[inline]
    pub(crate) fn count(&self, method: Option<&Method>, status: u16) {
        let pair = (index(method) << 16 | u32::from(status)) + 1;
        let home = (pair ^ pair >> 13) as usize;
        for step in 0..PAIRS {
            let place = (home + step) % PAIRS;
            match self.pairs[place].load(Ordering::Relaxed) {
                0 => self.pairs[place].store(pair, Ordering::Release),
                found if found == pair => {}
                _ => continue,
            }
            return self.counts[place].increment();
        }
        self.others.increment();
    }

    /// Adds all to `totals`.
    pub(crate) fn add_to(&self, totals: &mut BTreeMap<Answered, u64>) {
        for (pair, count) in self.pairs.iter().zip(&self.counts) {
            let pair = pair.load(Ordering::Acquire);
            let Some(of_zero) = pair.checked_sub(1) else {
                continue;
            };
            let method = METHODS.get((of_zero >> 16) as usize);
            let answered = Answered {
                method: method.unwrap_or(&OTHER),
                status: u16::try_from(of_zero & 0xffff).ok(),
            };
            *totals.entry(answered).or_default() += count.get();
        }
        let others = Answered {
            method: OTHER,
            status: None,
        };
        match self.others.get() {
            0 => {}
            count => *totals.entry(others).or_default() += count,
        }
    }
}

fn index(method: Option<&Method>) -> u32 {
    match method {
        Some(&Method::GET) => 0,
        Some(&Method::HEAD) => 1,
        Some(&Method::POST) => 2,
        Some(&Method::PUT) => 3,
        Some(&Method::DELETE) => 4,
        Some(&Method::CONNECT) => 5,
        Some(&Method::OPTIONS) => 6,
        Some(&Method::TRACE) => 7,
        Some(&Method::PATCH) => 8,
        Some(_) | None => 9,
    }
}

impl Answered {
    /// `2xx`.
    pub(crate) const fn class(self) -> &'static str {
        match self.status {
            Some(100..200) => "1xx",
            Some(200..300) => "2xx",
            Some(300..400) => "3xx",
            Some(400..500) => "4xx",
            Some(500..600) => "5xx",
            _ => OTHER,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(responses: &Responses) -> Vec<(&'static str, Option<u16>, &'static str, u64)> {
        let mut totals = BTreeMap::new();
        responses.add_to(&mut totals);
        let all = totals.into_iter();
        all.map(|(it, count)| (it.method, it.status, it.class(), count))
            .collect()
    }

    #[test]
    fn answers_are_told_apart_by_method_and_status() {
        let responses = Responses::default();
        for (method, status) in [("GET", 200), ("GET", 200), ("POST", 503), ("PURGE", 404)] {
            responses.count(Some(&method.parse().unwrap()), status);
        }
        responses.count(None, 400);
        assert_eq!(
            totals(&responses),
            [
                ("GET", Some(200), "2xx", 2),
                ("POST", Some(503), "5xx", 1),
                ("other", Some(400), "4xx", 1),
                ("other", Some(404), "4xx", 1),
            ]
        );
    }

    #[test]
    fn statuses_that_are_made_up_do_not_make_more_series_than_there_is_room_for() {
        let responses = Responses::default();
        for method in METHODS {
            for status in 100..1000 {
                responses.count(method.parse().ok().as_ref(), status);
            }
        }
        let totals = totals(&responses);
        assert_eq!(totals.len(), PAIRS + 1);
        let others = ("other", None, "other", 9000 - PAIRS as u64);
        assert!(totals.contains(&others), "{totals:?}");
    }
}

//! How often requests have failed, by route and code.

use std::sync::atomic::{AtomicU64, Ordering};

use super::ErrorCode;

/// Counts of failures. Written when a request is over and has failed, so never by most; read by whoever asks.
#[derive(Debug)]
pub(crate) struct Tally {
    /// By route, in the order of the snapshot; the last is of requests without a route.
    rows: Box<[Row]>,
}

/// Of one route, by code.
#[derive(Debug)]
struct Row {
    failed: [AtomicU64; ErrorCode::COUNT],
    /// What policies that are tried out would have refused.
    shadowed: [AtomicU64; ErrorCode::COUNT],
}

/// What has become of a request that a policy would refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failed {
    /// It has failed.
    Indeed,
    /// It would have, were the policy enforced.
    InShadow,
}

impl Default for Row {
    fn default() -> Self {
        Self {
            failed: [const { AtomicU64::new(0) }; ErrorCode::COUNT],
            shadowed: [const { AtomicU64::new(0) }; ErrorCode::COUNT],
        }
    }
}

impl Row {
    fn counters(&self, failed: Failed) -> &[AtomicU64; ErrorCode::COUNT] {
        match failed {
            Failed::Indeed => &self.failed,
            Failed::InShadow => &self.shadowed,
        }
    }
}

impl Tally {
    /// For so many routes.
    pub(crate) fn new(routes: usize) -> Self {
        Self {
            rows: (0..=routes).map(|_| Row::default()).collect(),
        }
    }

    /// Counts a failure of a request of `route`, an index; none where no route was found.
    pub(crate) fn count(&self, route: Option<usize>, code: ErrorCode, failed: Failed) {
        let row = self.rows.get(route.unwrap_or(self.rows.len() - 1));
        if let Some(counter) = row.and_then(|row| row.counters(failed).get(code as usize)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Every count above zero: route, code, count.
    pub(crate) fn counts(
        &self,
        failed: Failed,
    ) -> impl Iterator<Item = (Option<usize>, ErrorCode, u64)> {
        let routes = self.rows.len() - 1;
        self.rows.iter().enumerate().flat_map(move |(index, row)| {
            let route = (index < routes).then_some(index);
            let counters = row.counters(failed).iter().zip(ErrorCode::ALL);
            counters.filter_map(move |(counter, &code)| {
                let count = counter.load(Ordering::Relaxed);
                (count > 0).then_some((route, code, count))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_by_route_and_code() {
        let tally = Tally::new(2);
        tally.count(Some(1), ErrorCode::RateLimited, Failed::Indeed);
        tally.count(Some(1), ErrorCode::RateLimited, Failed::Indeed);
        tally.count(None, ErrorCode::RouteNotFound, Failed::Indeed);
        tally.count(Some(0), ErrorCode::Unauthorized, Failed::InShadow);
        let of = |failed| tally.counts(failed).collect::<Vec<_>>();
        assert_eq!(
            of(Failed::Indeed),
            [
                (Some(1), ErrorCode::RateLimited, 2),
                (None, ErrorCode::RouteNotFound, 1)
            ]
        );
        assert_eq!(
            of(Failed::InShadow),
            [(Some(0), ErrorCode::Unauthorized, 1)]
        );
    }
}

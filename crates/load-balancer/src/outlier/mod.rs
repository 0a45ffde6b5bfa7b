//! Outlier detection: passive health checks, by the answers to requests.
//!
//! An endpoint that does worse than the others is **ejected**: not picked, for a while. As in Envoy, there are three
//! reasons: so many failures in a row; so many gateway failures in a row; a success rate, over an interval, that is
//! below the mean of all endpoints by more than so many standard deviations. The first two are judged at once, when
//! the failure is counted ([`Detector::judge`]), the third when the control plane's clock ticks ([`Detector::tick`]).
//!
//! An ejection takes the base time for each of those that came before it in a row, up to a greatest; each interval
//! without one takes one off. Then, or when an active check passes before, the endpoint returns.
//!
//! # What is never done
//! No more than the allowed share of the endpoints is ejected at a time (one may be, however few they are), and **never the
//! last one that is available**: an endpoint that answers some requests is better than none. So the endpoint of an
//! upstream that has only one stays whatever it does. What active checks say counts in that, but is not held back by
//! it.
//!
//! # Where the state is
//! In the endpoints' [`Load`]s, so that a detector can be made anew with each configuration. Answers are counted
//! there by [`InFlight::answered`](crate::InFlight::answered), a few nanoseconds each, whether or not there is a
//! detector. The lock in here is taken by a tick, and by a failure that reaches a threshold: not on the way of other
//! requests. It keeps two ejections at the same moment from exceeding the share together.

mod settings;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use settings::{Settings, SuccessRate};

use crate::in_flight::Streak;
use crate::load::{Answers, Load};

/// Ejects endpoints of one upstream that do worse than the others.
#[derive(Debug)]
pub struct Detector {
    settings: Settings,
    /// All endpoints of the upstream that have a weight.
    endpoints: Box<[Arc<Load>]>,
    /// When the present interval ends. Held while an ejection is decided. Shared with the detectors before this one.
    interval_ends: Arc<Mutex<Duration>>,
}

/// What a detector has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// The index of the endpoint among those of the detector.
    pub endpoint: usize,
    /// What has become of it.
    pub change: Change,
}

/// What has become of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is not picked for a while.
    Ejected {
        /// Why.
        reason: Reason,
        /// For how long, if no active check passes before.
        time: Duration,
    },
    /// Its ejection is over.
    Returned,
}

/// Why an endpoint was ejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// So many failures in a row, of any kind.
    ConsecutiveServerErrors,
    /// So many gateway failures in a row.
    ConsecutiveGatewayFailures,
    /// A success rate far below that of the others.
    SuccessRate,
}

impl Detector {
    /// A detector over `endpoints`, from `now` on. Answers that were counted before do not count.
    #[must_use]
    pub fn new(settings: Settings, endpoints: impl Into<Box<[Arc<Load>]>>, now: Duration) -> Self {
        let endpoints = endpoints.into();
        for load in &endpoints {
            load.take_answers();
        }
        Self {
            interval_ends: Arc::new(Mutex::new(now.saturating_add(settings.interval))),
            settings,
            endpoints,
        }
    }

    /// A detector that takes this one's place, over `endpoints`, some of which may be new: the interval goes on, and what
    /// is known of those that stay counts.
    #[must_use]
    pub fn update(&self, endpoints: impl Into<Box<[Arc<Load>]>>) -> Self {
        Self {
            settings: self.settings,
            endpoints: endpoints.into(),
            interval_ends: Arc::clone(&self.interval_ends),
        }
    }

    /// Judges an endpoint by its latest failures: call it with what
    /// [`InFlight::answered`](crate::InFlight::answered) says.
    #[inline]
    pub fn judge(&self, load: &Arc<Load>, streak: Streak, now: Duration) -> Option<Event> {
        let reason = self.reason(streak)?;
        self.judge_failures(load, reason, now)
    }

    #[inline]
    const fn reason(&self, streak: Streak) -> Option<Reason> {
        const fn reached(threshold: u32, count: u32) -> bool {
            threshold > 0 && count >= threshold
        }
        let Settings {
            consecutive_server_errors,
            consecutive_gateway_failures,
            ..
        } = self.settings;
        if reached(consecutive_gateway_failures, streak.gateway_failures) {
            Some(Reason::ConsecutiveGatewayFailures)
        } else if reached(consecutive_server_errors, streak.server_errors) {
            Some(Reason::ConsecutiveServerErrors)
        } else {
            None
        }
    }

    #[cold]
    fn judge_failures(&self, load: &Arc<Load>, reason: Reason, now: Duration) -> Option<Event> {
        // Whatever comes of it: the next attempt takes as many failures again.
        load.forget_failures();
        // One that is not here any more has been taken out of the configuration meanwhile.
        let endpoint = self.endpoints.iter().position(|it| Arc::ptr_eq(it, load))?;
        let _decision = self.lock();
        self.eject(endpoint, reason, now)
    }

    /// Lets endpoints return whose time is over and, at the end of an interval, judges success rates. Call it about
    /// once a second. (Where there is no detector any more, see [`Load::uneject`].)
    pub fn tick(&self, now: Duration) -> Vec<Event> {
        let mut interval_ends = self.lock();
        let mut events = self.let_return(now);
        if now >= *interval_ends {
            *interval_ends = now.saturating_add(self.settings.interval);
            let answers: Vec<Answers> = self.endpoints.iter().map(|it| it.take_answers()).collect();
            events.extend(self.judge_success_rates(&answers, now));
            self.forgive(now);
        }
        events
    }

    fn let_return(&self, now: Duration) -> Vec<Event> {
        let mut events = Vec::new();
        for (endpoint, load) in self.endpoints.iter().enumerate() {
            if load.is_ejected() && load.ejected_until() <= now {
                load.uneject(now);
                events.push(Event {
                    endpoint,
                    change: Change::Returned,
                });
            }
        }
        events
    }

    fn judge_success_rates(&self, answers: &[Answers], now: Duration) -> Vec<Event> {
        let Some(settings) = &self.settings.success_rate else {
            return Vec::new();
        };
        let rates: Vec<(usize, f64)> = answers
            .iter()
            .enumerate()
            .filter(|(endpoint, answers)| {
                answers.all >= settings.request_volume.max(1)
                    && !self.endpoints[*endpoint].is_ejected()
            })
            .map(|(endpoint, answers)| {
                let failed = f64::from(answers.failures) / f64::from(answers.all);
                (endpoint, 1.0 - failed)
            })
            .collect();
        if rates.len() < settings.minimum_hosts.max(1) {
            return Vec::new();
        }
        let count = rates.len() as f64;
        let mean = rates.iter().map(|(_, rate)| rate).sum::<f64>() / count;
        let squares = rates.iter().map(|(_, rate)| (rate - mean).powi(2));
        let deviation = (squares.sum::<f64>() / count).sqrt();
        let least = mean - settings.stdev_factor * deviation;
        rates
            .into_iter()
            .filter(|&(_, rate)| rate < least)
            .filter_map(|(endpoint, _)| self.eject(endpoint, Reason::SuccessRate, now))
            .collect()
    }

    /// Takes one ejection off the record of endpoints that have gone an interval without.
    fn forgive(&self, now: Duration) {
        for load in &self.endpoints {
            let calm = now.saturating_sub(load.ejected_until()) >= self.settings.interval;
            if !load.is_ejected() && calm {
                load.forgive_ejection();
            }
        }
    }

    /// Ejects an endpoint if that is allowed. The lock is held.
    fn eject(&self, endpoint: usize, reason: Reason, now: Duration) -> Option<Event> {
        let load = &self.endpoints[endpoint];
        let percent = u64::from(self.settings.max_ejection_percent.min(100));
        let least = u64::from(percent > 0);
        let most = (self.endpoints.len() as u64 * percent / 100).max(least) as usize;
        let ejected = self.endpoints.iter().filter(|it| it.is_ejected()).count();
        let mut others = self.endpoints.iter().filter(|it| !Arc::ptr_eq(it, load));
        let is_last = !others.any(|it| it.is_available());
        if load.is_ejected() || ejected >= most || is_last {
            return None;
        }
        let Settings {
            base_ejection_time: base,
            max_ejection_time,
            ..
        } = self.settings;
        let before = load.ejections();
        let greatest = max_ejection_time.max(base);
        // What does not make an ejection longer is not counted either: it would only take longer to forgive.
        let in_a_row = if base.saturating_mul(before) < greatest {
            before.saturating_add(1)
        } else {
            before
        };
        let time = base.saturating_mul(in_a_row).min(greatest);
        load.eject(now.saturating_add(time), in_a_row);
        Some(Event {
            endpoint,
            change: Change::Ejected { reason, time },
        })
    }

    fn lock(&self) -> MutexGuard<'_, Duration> {
        // A time is whole at any time: a thread that has panicked leaves nothing half done.
        self.interval_ends
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;

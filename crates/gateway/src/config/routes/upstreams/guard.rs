//! Whether a breaker makes sense, and what it means.

use std::time::Duration;

use circuit_breaker::{Breaker, OpenTime, Policy, SlowCalls};

use super::check::{UpstreamCheck, time};
use super::spec::{BreakerScope, GuardSpec};
use super::written::{Breaker as Written, Status};
use crate::config::document::Step;
use crate::config::routes::check::Check;
use crate::upstream::Statuses;

const KEY: Step<'static> = Step::Key("breaker");

/// Tells what is wrong with a breaker, and where.
type Say<'a> = dyn FnMut(&[Step<'_>], &str) + 'a;

impl UpstreamCheck<'_> {
    pub(super) fn guard(&mut self, written: &Written) -> GuardSpec {
        let scope = match written.scope.as_deref() {
            None | Some("upstream") => BreakerScope::Upstream,
            Some("endpoint") => BreakerScope::Endpoint,
            Some(other) => {
                let message = format!("\"{other}\" must be \"upstream\" or \"endpoint\"");
                self.say(&[KEY, Step::Key("scope")], &message);
                BreakerScope::Upstream
            }
        };
        guard(written, scope, &mut |at, message| self.say(at, message))
    }
}

impl Check<'_> {
    pub(in crate::config::routes) fn guard(&mut self, written: &Written) -> GuardSpec {
        if written.scope.is_some() {
            let message =
                "the breaker of a route watches the route; remove it, or set it at the upstream";
            self.say(&[KEY, Step::Key("scope")], message);
        }
        let say = &mut |at: &[Step<'_>], message: &str| self.say(at, message);
        guard(written, BreakerScope::Route, say)
    }
}

fn guard(written: &Written, scope: BreakerScope, say: &mut Say<'_>) -> GuardSpec {
    let policy = policy(written, say);
    if let Err(error) = Breaker::new(&policy) {
        say(&[KEY], &error.to_string());
    }
    GuardSpec {
        policy,
        scope,
        failures: failure_statuses(written.failure_statuses.as_deref(), say),
    }
}

fn policy(written: &Written, say: &mut Say<'_>) -> Policy {
    let usual = Policy::default();
    let by_ratio = written.failure_ratio.is_some() || written.slow.is_some();
    let slow = written.slow.as_ref().map(|slow| {
        let at = [KEY, Step::Key("slow"), Step::Key("longerThan")];
        SlowCalls {
            longer_than: time(say, &at, Some(&slow.longer_than), Duration::from_secs(1)),
            ratio: slow.ratio,
        }
    });
    let at = |key| [KEY, Step::Key(key)];
    let open = time(say, &at("open"), written.open.as_ref(), usual.open.base);
    let window = time(say, &at("window"), written.window.as_ref(), usual.window);
    Policy {
        consecutive_failures: written
            .consecutive_failures
            .or(usual.consecutive_failures.filter(|_| !by_ratio)),
        failure_ratio: written.failure_ratio,
        slow_calls: slow,
        window,
        minimum_calls: written.minimum_calls.unwrap_or(usual.minimum_calls),
        open: OpenTime {
            base: open,
            max: usual.open.max.max(open),
            ..usual.open
        },
        permitted: written.half_open_calls.unwrap_or(usual.permitted),
        successes: written.successes.unwrap_or(usual.successes),
        ..usual
    }
}

fn failure_statuses(written: Option<&[Status]>, say: &mut Say<'_>) -> Statuses {
    let mut statuses = Statuses::default();
    let Some(written) = written else {
        // A constant.
        let _ = statuses.add("5xx");
        return statuses;
    };
    for (index, status) in written.iter().enumerate() {
        let text = match status {
            Status::Code(code) => code.to_string(),
            Status::Class(text) => text.clone(),
        };
        if let Err(error) = statuses.add(&text) {
            let at = [KEY, Step::Key("failureStatuses"), Step::Index(index)];
            say(&at, &format!("\"{text}\" {error}"));
        }
    }
    statuses
}

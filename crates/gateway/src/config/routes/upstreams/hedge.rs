//! Whether hedging makes sense, and what it means.

use std::sync::Arc;
use std::time::Duration;

use circuit_breaker::Hedging;

use super::written::Hedge as Written;
use crate::config::document::Step;
use crate::config::routes::check::Check;
use crate::proxy::{Hedge, Percentile};

const KEY: Step<'static> = Step::Key("hedge");
/// As in Finagle: where most answers take less, hedging the others at once would help nobody.
const AT_LEAST: Duration = Duration::from_millis(1);

impl Check<'_> {
    pub(in crate::config::routes) fn hedge(&mut self, written: &Written) -> Hedge {
        if written.after.is_none() && written.percentile.is_none() {
            self.say(&[KEY], "must have \"after\" or \"percentile\"");
        }
        if written.at_least.is_some() && written.percentile.is_none() {
            let at = [KEY, Step::Key("atLeast")];
            self.say(&at, "\"atLeast\" means nothing without \"percentile\"");
        }
        // One that is out of its range has its finding already.
        let hedging = written.percentile.and_then(|percentile| {
            let hedging = Hedging::new(percentile).ok()?;
            Some((percentile, hedging))
        });
        let percentile = hedging.map(|(at, hedging)| Percentile {
            at,
            hedging: Arc::new(hedging),
            at_least: written.at_least.map_or(AT_LEAST, Duration::from_secs_f64),
        });
        Hedge {
            after: written.after.map(Duration::from_secs_f64),
            percentile,
        }
    }
}

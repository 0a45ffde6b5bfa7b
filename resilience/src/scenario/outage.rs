//! All endpoints are down for a while, and come back.

use std::time::Duration;

use testkit::load::{Record, Report};

use super::Outcome;
use crate::stage::Stage;
use crate::{Plan, routes};

/// When it begins.
const AFTER: Duration = Duration::from_secs(2);
/// How long recovery is watched: longer than the back-off of anything that looks for the endpoints.
const WATCHED: Duration = Duration::from_secs(20);
/// A tenth of the usual rate, for it goes on for long.
const PART_OF_RATE: f64 = 0.1;

pub(super) async fn run(plan: &Plan) -> Outcome {
    let mut stage = Stage::set(plan, routes::outage).await;
    let mut load = stage.load(plan, AFTER + plan.outage + WATCHED, 1);
    if let testkit::load::Schedule::Steady { rate, .. } = &mut load.schedule {
        *rate *= PART_OF_RATE;
    }
    let load = load.start();
    load.until(AFTER).await;
    for backend in &mut stage.backends {
        backend.kill().await;
    }
    load.until(AFTER + plan.outage).await;
    let [first, second, third] = &mut stage.backends;
    tokio::join!(first.restart(), second.restart(), third.restart());
    let back = load.elapsed();
    let report = load.finish().await;
    let after = report.of(|record| record.offered >= back);
    Outcome::new(format!(
        "All three are down for {:?} under {:.0} requests/s",
        plan.outage,
        plan.rate * PART_OF_RATE
    ))
    .figure(
        "seconds until the first success",
        seconds(first_success(&report, back)),
    )
    .figure(
        "seconds until 100 %",
        seconds(all_well(&after).map(|at| at.saturating_sub(back))),
    )
    .failures("failed in all", &report)
    .failures("failed after it", &after)
}

/// From the end of the outage to the first success that ended after it.
fn first_success(report: &Report, back: Duration) -> Option<Duration> {
    let ends = report.records().iter().filter(|record| record.succeeded());
    let ends = ends.map(|record| record.offered + record.latency);
    ends.filter_map(|end| end.checked_sub(back)).min()
}

/// When the first request was due since which none has failed; none when the last one failed.
fn all_well(after: &Report) -> Option<Duration> {
    let records = after.records();
    let last_failed = records.iter().rposition(|record| !record.succeeded());
    let first_well = last_failed.map_or(0, |last| last + 1);
    records
        .get(first_well)
        .map(|record: &Record| record.offered)
}

fn seconds(time: Option<Duration>) -> String {
    time.map_or_else(
        || format!("not within {} s", WATCHED.as_secs()),
        |time| format!("{:.3}", time.as_secs_f64()),
    )
}

#[cfg(test)]
mod tests {
    use testkit::load::Outcome;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Requests that were due a second apart and took half a second, with these statuses.
    fn report(statuses: &[u16]) -> Report {
        let record = |(number, status): (usize, &u16)| Record {
            id: number as u64,
            method: "GET",
            offered: SECOND * u32::try_from(number).unwrap(),
            latency: SECOND / 2,
            outcome: Outcome::Answered {
                status: *status,
                code: None,
            },
            backend: None,
        };
        statuses.iter().enumerate().map(record).collect()
    }

    #[test]
    fn the_first_success_is_one_that_ended_after_the_outage() {
        let report = report(&[200, 502, 502, 200]);
        assert_eq!(first_success(&report, SECOND), Some(SECOND * 5 / 2));
        assert_eq!(first_success(&report, SECOND / 4), Some(SECOND / 4));
        assert_eq!(first_success(&report, SECOND * 4), None);
    }

    #[test]
    fn all_is_well_once_none_fails_any_more() {
        assert_eq!(all_well(&report(&[200, 200])), Some(Duration::ZERO));
        assert_eq!(all_well(&report(&[502, 200, 502, 200])), Some(SECOND * 3));
        assert_eq!(all_well(&report(&[200, 502])), None);
    }
}

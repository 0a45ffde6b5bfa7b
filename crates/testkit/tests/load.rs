//! Load comes at its rate, and what came of it is told as it was.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use testkit::Backend;
use testkit::faults::{Fault, FaultyBackend, Latency};
use testkit::load::{Failure, Load, Outcome, Reuse, Schedule};

const MILLISECOND: Duration = Duration::from_millis(1);

#[tokio::test]
async fn all_that_is_offered_is_sent_once_and_counted() {
    let backend = FaultyBackend::start().await;
    let mut load = Load::steady(backend.address(), 500.0, 400 * MILLISECOND);
    load.methods = vec!["GET", "HEAD", "PUT", "POST"];
    load.bodies = vec![0, 100, 10_000];
    let report = load.run().await;
    assert_eq!((report.total(), report.failed()), (200, 0));
    assert_eq!(report.failures_by_kind().len(), 0);
    assert_eq!(report.of(|record| record.is_idempotent()).total(), 150);
    assert_eq!(report.by_backend()[&backend.address().port()], 200);
    let executions = backend.executions();
    assert_eq!((executions.total(), executions.twice()), (200, vec![]));
    assert!((1..=200).all(|id| executions.of(id) == 1));
}

#[tokio::test]
async fn slow_answers_do_not_slow_the_load_and_waiting_counts() {
    let mut backend = FaultyBackend::start().await;
    backend.latency(Latency::Fixed(50 * MILLISECOND)).await;
    let mut load = Load::steady(backend.address(), 100.0, 200 * MILLISECOND);
    let free = load.clone().start();
    // With one connection, answers come five times as slowly as requests do.
    load.connections = 1;
    let (free, jammed) = tokio::join!(free.finish(), load.run());
    assert_eq!((free.failed(), jammed.failed()), (0, 0));
    for report in [&free, &jammed] {
        assert_eq!(report.records()[19].offered, 190 * MILLISECOND);
    }
    assert!(jammed.latency(1.0) >= Some(800 * MILLISECOND));
    assert!(free.latency(0.5) >= Some(50 * MILLISECOND));
    assert!(free.latency(0.5) < jammed.latency(0.5));
}

#[tokio::test]
async fn failures_are_told_apart() {
    let problem =
        *b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 25\r\n\r\n{\"code\":\"upstream-reset\"}";
    for (fault, kind) in [
        (Fault::Refuse, "no connection"),
        (Fault::StallBeforeHead, "timeout"),
        (Fault::StallInBody, "timeout"),
        (Fault::LengthTooLarge, "cut"),
        (Fault::Garbage, "malformed"),
        (Fault::Status(503, 1.0), "503"),
    ] {
        let mut backend = FaultyBackend::start().await;
        backend.behave(fault).await;
        let mut load = Load::steady(backend.address(), 100.0, 50 * MILLISECOND);
        if kind == "timeout" {
            load.patience = 100 * MILLISECOND;
        }
        let report = load.run().await;
        assert_eq!(report.failures_by_kind()[kind], 5, "{fault}");
        assert_eq!(report.latency(0.5), None);
    }
    let backend = Backend::answering(problem).await;
    let report = Load::steady(backend.address(), 100.0, 10 * MILLISECOND)
        .run()
        .await;
    assert_eq!(report.failures_by_kind()["502 upstream-reset"], 1);
    let closing = Backend::closing(*b"").await;
    let report = Load::steady(closing.address(), 100.0, 10 * MILLISECOND)
        .run()
        .await;
    assert_eq!(
        report.records()[0].outcome,
        Outcome::Failed(Failure::Closed)
    );
}

#[tokio::test]
async fn connections_are_used_again_or_not_as_wanted() {
    for (reuse, connections) in [(Reuse::Kept, 1), (Reuse::Fresh, 20)] {
        let backend = Backend::ok().await;
        let mut load = Load::steady(backend.address(), 200.0, 100 * MILLISECOND);
        (load.reuse, load.connections) = (reuse, 1);
        assert_eq!(load.run().await.failed(), 0);
        assert_eq!(backend.connections(), connections, "{reuse:?}");
    }
}

#[tokio::test]
async fn bursts_come_at_once_with_pauses_between() {
    let backend = Backend::ok().await;
    let mut load = Load::steady(backend.address(), 1.0, MILLISECOND);
    let pause = (50 * MILLISECOND, 60 * MILLISECOND);
    (load.schedule, load.methods) = (
        Schedule::Bursts {
            size: 4,
            count: 3,
            pause,
        },
        vec!["POST"],
    );
    let report = load.run().await;
    let offered: Vec<Duration> = report
        .records()
        .iter()
        .map(|record| record.offered)
        .collect();
    assert_eq!((offered.len(), report.failed()), (12, 0));
    for burst in offered.chunks(4) {
        assert!(burst.iter().all(|due| *due == burst[0]));
    }
    for (first, second) in [(0, 4), (4, 8)] {
        let between = offered[second] - offered[first];
        assert!(pause.0 <= between && between <= pause.1, "{between:?}");
    }
}

#[tokio::test]
async fn failures_are_counted_in_the_second_of_their_offer() {
    let mut backend = FaultyBackend::start().await;
    let load = Load::steady(backend.address(), 50.0, 1400 * MILLISECOND).start();
    load.until(1005 * MILLISECOND).await;
    backend.kill().await;
    let seconds = load.finish().await.per_second();
    assert_eq!((seconds[0].offered, seconds[0].failed), (50, 0));
    assert_eq!(seconds[1].offered, 20);
    assert!(seconds[1].failed >= 1, "{seconds:?}");
}

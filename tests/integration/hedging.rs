//! Second requests beside those that take long.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt};
use serde_json::json;
use testkit::{Backend, Gateway, within};

use crate::upstreams::{answering, get, in_front_of};

const LONG: Duration = Duration::from_millis(500);

#[tokio::test]
async fn a_second_request_is_sent_beside_one_that_takes_long() {
    let slow = Backend::silent().await;
    let quick = answering("200 OK", "quick").await;
    let gateway = in_front_of(
        &[slow.url(), quick.url()],
        json!({}),
        json!({ "hedge": { "after": 0.05 }, "timeout": 5 }),
    )
    .start()
    .await;
    for _ in 0..4 {
        assert_eq!(get(&gateway, &[]).await.text(), "quick");
    }
    let log = gateway.log(4).await;
    assert!(log.iter().any(|line| line["retries"] == 1), "{log:?}");
    // The losing attempt ends with the winning one.
    slow.wait_for_ends(slow.connections()).await;
    // A body is not sent twice.
    let mut client = gateway.client().await;
    for _ in 0..2 {
        client
            .send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
            .await;
        if client.is_silent_for(Duration::from_millis(300)).await {
            return;
        }
        client.response().await;
    }
    panic!("one of two goes to the slow one, and is not sent to the other");
}

/// Takes [`LONG`] for one answer in ten, and no time for the others.
async fn slow_at_times() -> Backend {
    let answered = Arc::new(AtomicUsize::new(0));
    Backend::scripted(move |mut connection| {
        let answered = Arc::clone(&answered);
        async move {
            while connection.request().await.is_some() {
                if answered.fetch_add(1, Ordering::Relaxed) % 10 == 9 {
                    tokio::time::sleep(LONG).await;
                }
                connection
                    .send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                    .await;
            }
        }
    })
    .await
}

/// How long so many requests have taken each, a few at once.
async fn times(gateway: &Gateway, requests: usize) -> Vec<Duration> {
    let request = |_| async {
        let started = Instant::now();
        assert_eq!(get(gateway, &[]).await.status(), 200);
        started.elapsed()
    };
    let requests = stream::iter(0..requests).map(request);
    requests.buffer_unordered(8).collect().await
}

#[tokio::test]
async fn what_takes_longer_than_most_is_hedged_and_no_more_than_the_rest() {
    let backends = [
        slow_at_times().await,
        Backend::ok().await,
        Backend::ok().await,
    ];
    let sent = || {
        let counts = backends.iter().map(|backend| backend.requests().len());
        counts.sum::<usize>()
    };
    // One request in thirty is slow.
    let gateway = in_front_of(
        &backends.each_ref().map(Backend::url),
        json!({}),
        json!({ "hedge": { "percentile": 90 } }),
    )
    .start()
    .await;
    let mut asked = 0;
    within("the first hedges", async {
        while sent() < asked + 5 {
            asked += 100;
            times(&gateway, 100).await;
        }
    })
    .await;
    let times = times(&gateway, 600).await;
    asked += 600;
    let slow = times.iter().filter(|time| **time >= LONG).count();
    assert!(
        slow < 6,
        "{slow} of 600 took long, and more than one in a hundred"
    );
    let hedges = sent() - asked;
    assert!(hedges * 10 <= asked, "{hedges} beside {asked}");
}

#[tokio::test]
async fn until_most_are_known_a_delay_holds_that_is_given_for_it() {
    let slow = Backend::silent().await;
    let quick = answering("200 OK", "quick").await;
    let gateway = in_front_of(
        &[slow.url(), quick.url()],
        json!({ "outliers": false }),
        json!({ "hedge": { "percentile": 50, "after": 0.05 }, "timeout": 1 }),
    )
    .start()
    .await;
    // Every answer brings in half a hedge, and so does a time-out.
    for _ in 0..12 {
        get(&gateway, &[]).await;
    }
    let log = gateway.log(12).await;
    let mut hedged = log.iter().filter(|line| line["retries"] == 1).peekable();
    assert!(hedged.peek().is_some(), "{log:?}");
    assert!(hedged.all(|line| line["status"] == 200), "{log:?}");
}

//! What counts in Redis, against what counts in the process.

use std::cell::RefCell;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rate_limiter::{Decision, Limiter, Policy};
use testkit::Redis;

const SOURCE: &str = include_str!("../../crates/gateway/src/middleware/rate_limit/store/take.lua");

/// 2026, in microseconds.
const EPOCH: u64 = 1_767_225_600_000_000;

/// A limit, and how it is asked.
#[derive(Debug, Clone, Copy)]
struct Ask {
    limit: u32,
    /// Microseconds.
    slice: u64,
    units: u32,
    how: How,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Take,
    Alone,
    Look,
}

impl Ask {
    fn policy(&self) -> Policy {
        Policy::new(self.limit, Duration::from_micros(self.slice * 16)).unwrap()
    }
}

/// Redis, at a time of the test's choice.
struct Script {
    connection: redis::Connection,
    script: redis::Script,
}

impl Script {
    fn new(redis: &Redis) -> Self {
        let client = redis::Client::open(redis.url()).unwrap();
        let clock = "redis.call('TIME')";
        assert!(SOURCE.contains(clock));
        Self {
            connection: client.get_connection().unwrap(),
            script: redis::Script::new(&SOURCE.replace(clock, "{0, ARGV[#ARGV]}")),
        }
    }

    fn take(&mut self, trace: u64, asks: &[Ask], now: u64) -> Vec<u64> {
        let mut call = self.script.prepare_invoke();
        for (index, _) in asks.iter().enumerate() {
            call.key(format!("{trace}:{index}"));
        }
        for ask in asks {
            let how = match ask.how {
                How::Take => "take",
                How::Alone => "alone",
                How::Look => "look",
            };
            call.arg(ask.limit).arg(ask.slice).arg(ask.units).arg(how);
        }
        call.arg(now).invoke(&mut self.connection).unwrap()
    }
}

/// The same, in the process.
fn take(limiter: &Limiter, asks: &[Ask], now: u64) -> Vec<u64> {
    let now = Duration::from_micros(now);
    let has = |(index, ask): (usize, &Ask)| limiter.has(&ask.policy(), index, now, ask.units);
    let room: Vec<bool> = asks.iter().enumerate().map(has).collect();
    let refused = asks
        .iter()
        .zip(&room)
        .any(|(ask, room)| ask.how == How::Look || (ask.how == How::Take && !room));
    let limits = asks.iter().zip(room).enumerate();
    limits
        .flat_map(|(index, (ask, room))| {
            let spared = refused && room && ask.how != How::Alone;
            let units = if spared { 0 } else { ask.units };
            let Decision {
                allowed,
                remaining,
                retry_after,
                reset,
            } = limiter.take(&ask.policy(), index, now, units);
            let microseconds = |time: Duration| time.as_nanos().div_ceil(1_000) as u64;
            [
                u64::from(allowed),
                u64::from(remaining),
                microseconds(retry_after),
                microseconds(reset),
            ]
        })
        .collect()
}

/// Limits of up to an hour: a trace takes less real time than that, so that nothing is forgotten on the way.
fn limits() -> impl Strategy<Value = Vec<(u32, u64, u32)>> {
    let limit = (1_u32..50, 4_000_000_u64..225_000_000, 1_u32..4);
    vec(limit, 1..4)
}

fn how() -> impl Strategy<Value = How> {
    prop_oneof![4 => Just(How::Take), 1 => Just(How::Alone), 1 => Just(How::Look)]
}

#[tokio::test]
async fn redis_decides_as_the_process_would() {
    let redis = Redis::start().await;
    let script = RefCell::new(Script::new(&redis));
    let steps = vec((0_u64..2_000, vec(how(), 3)), 1..60);
    let config = Config {
        cases: 400,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new(config)
        .run(&(limits(), steps), |(limits, steps)| {
            let (limiter, mut now) = (Limiter::new(1_000), EPOCH);
            let trace = fastrand::u64(..);
            for (gap, hows) in steps {
                // In thousandths of the first window.
                now += gap * limits[0].1 * 16 / 1_000;
                let asks: Vec<Ask> = limits
                    .iter()
                    .zip(hows)
                    .map(|(&(limit, slice, units), how)| Ask {
                        limit,
                        slice,
                        units: units.min(limit),
                        how,
                    })
                    .collect();
                let expected = take(&limiter, &asks, now);
                let found = script.borrow_mut().take(trace, &asks, now);
                prop_assert_eq!(found, expected, "{:?} at {}", asks, now);
            }
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

#[tokio::test]
async fn the_largest_limits_in_the_longest_windows_are_counted() {
    let redis = Redis::start().await;
    let mut script = Script::new(&redis);
    let ask = Ask {
        limit: 1_000_000_000,
        slice: 366 * 24 * 60 * 60 * 1_000_000 / 16,
        units: 400_000_000,
        how: How::Take,
    };
    let limiter = Limiter::new(1_000);
    for step in 0..60 {
        let now = EPOCH + step * ask.slice / 2;
        let (found, expected) = (script.take(0, &[ask], now), take(&limiter, &[ask], now));
        for (found, expected) in found.iter().zip(&expected) {
            // Numbers of scripts have 53 bits.
            assert!(found.abs_diff(*expected) <= 1, "{step}: {found} {expected}");
        }
    }
}

#[tokio::test]
async fn a_clock_that_is_set_back_gives_nothing_away() {
    let redis = Redis::start().await;
    let mut script = Script::new(&redis);
    let ask = Ask {
        limit: 2,
        slice: 4_000_000,
        units: 1,
        how: How::Take,
    };
    let mut passes = |now| script.take(0, &[ask], now)[0] == 1;
    assert!(passes(EPOCH));
    assert!(passes(EPOCH - 60_000_000));
    assert!(!passes(EPOCH - 30_000_000));
    assert!(!passes(EPOCH));
    assert!(passes(EPOCH + 70_000_000));
}

#[tokio::test]
async fn a_count_is_small_and_goes_when_it_is_empty() {
    let redis = Redis::start().await;
    let mut script = Script::new(&redis);
    let ask = Ask {
        limit: 1_000_000,
        slice: 4_000_000,
        units: 1_000,
        how: How::Take,
    };
    for step in 0..100 {
        script.take(0, &[ask], EPOCH + step * 1_000_000);
    }
    let lives: u64 = redis.ask(&["PTTL", "0:0"]).await.parse().unwrap();
    // A window, and the rest of the slice that was counted in last.
    assert!((63_000..=68_000).contains(&lives), "{lives}");
    let size: u64 = redis
        .ask(&["MEMORY", "USAGE", "0:0"])
        .await
        .parse()
        .unwrap();
    assert!(size <= 256, "{size}");
}

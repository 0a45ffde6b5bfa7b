//! How long a backend surely keeps connections that are idle.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

/// A backend that does not say how long it keeps idle connections keeps them for longer than this. Gunicorn closes
/// after 2 seconds, Node.js, Apache and Uvicorn after 5, others later.
const USUAL: Duration = Duration::from_secs(1);
/// A close after less is no time-out, but the end of the backend.
const SHORTEST: Duration = Duration::from_millis(100);
/// So long a close is remembered: it may have been a restart, and meant nothing.
const MEMORY: Duration = Duration::from_mins(10);

/// How long a backend surely keeps idle connections: a second, or half of the shortest time after which it has been
/// seen to close one.
#[derive(Debug, Default)]
pub(super) struct SafeIdle {
    seen: Cell<Option<Seen>>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    safe: Duration,
    forgotten_at: Instant,
}

impl SafeIdle {
    pub(super) fn at(&self, now: Instant) -> Duration {
        let seen = self.seen.get().filter(|seen| now < seen.forgotten_at);
        seen.map_or(USUAL, |seen| seen.safe)
    }

    /// The backend has closed a connection that had been idle for so long, or less.
    pub(super) fn learn_closed(&self, idle: Duration, now: Instant) {
        if idle >= SHORTEST && idle / 2 < USUAL {
            self.seen.set(Some(Seen {
                safe: self.at(now).min(idle / 2),
                forgotten_at: now + MEMORY,
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn half_of_the_shortest_time_that_was_seen_is_safe() {
        let (safe, now) = (SafeIdle::default(), Instant::now());
        assert_eq!(safe.at(now), ms(1000));
        for (closed_after, then) in [
            (5000, 1000),
            (2000, 1000),
            (1900, 950),
            (1000, 500),
            (1100, 500),
            (300, 150),
            (100, 50),
        ] {
            safe.learn_closed(ms(closed_after), now);
            assert_eq!(safe.at(now), ms(then), "{closed_after}");
        }
    }

    #[test]
    fn connections_that_end_with_their_backend_teach_nothing() {
        let (safe, now) = (SafeIdle::default(), Instant::now());
        safe.learn_closed(ms(99), now);
        assert_eq!(safe.at(now), ms(1000));
    }

    #[test]
    fn a_close_is_forgotten_after_a_while() {
        let (safe, now) = (SafeIdle::default(), Instant::now());
        safe.learn_closed(ms(400), now);
        let later = now + Duration::from_secs(599);
        assert_eq!(safe.at(later), ms(200));
        assert_eq!(safe.at(later + ms(1000)), ms(1000));
        // And what is seen after that counts by itself.
        safe.learn_closed(ms(600), later + ms(1000));
        assert_eq!(safe.at(later + ms(1000)), ms(300));
    }
}

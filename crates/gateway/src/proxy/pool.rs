//! A worker's idle connections to backends.
//!
//! The connection that was used last is used next: the others grow old and go, so that a quiet gateway holds few.
//! Backends close idle connections too, and a request sent into a closing one is lost. What can be known is checked
//! before reuse: the backend's own word on how long it keeps them (`Keep-Alive: timeout=`), what the runtime has
//! heard of the socket, and, where losing the race would cost the most, the socket itself.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;
use wire::Idle;
use wire::client::{Connection, Home};

/// A backend closes at the end of its own time-out; our request must be there before.
const MARGIN: Duration = Duration::from_millis(500);
/// A connection idle for longer than this is looked at before reuse, whatever is sent: a system call is small
/// against that pause.
const FRESH: Duration = Duration::from_millis(100);

/// How idle connections are kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PoolLimits {
    /// Idle connections per endpoint.
    pub(crate) most_idle: usize,
    /// How long one may be idle.
    pub(crate) idle: Duration,
    /// How old one may be when it is used again.
    pub(crate) lifetime: Duration,
}

/// How much it matters that a connection is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Care {
    /// The request can be sent again.
    Usual,
    /// It cannot: look at the socket.
    Great,
}

/// The idle connections of one worker to all endpoints.
#[derive(Debug)]
pub(crate) struct Pools(Box<[Rc<Pool>]>);

/// The idle connections to one endpoint.
#[derive(Debug)]
pub(super) struct Pool {
    limits: PoolLimits,
    /// The one used last is at the end.
    idle: RefCell<Vec<IdleConnection>>,
}

#[derive(Debug)]
struct IdleConnection {
    connection: Connection,
    since: Instant,
    /// Not to be used any more from here on.
    expires: Instant,
}

impl Pools {
    /// Pools for endpoints whose [`Endpoint::pool`] is below `count`.
    ///
    /// [`Endpoint::pool`]: crate::upstream::Endpoint::pool
    pub(crate) fn new(count: usize, limits: PoolLimits) -> Self {
        Self(
            (0..count)
                .map(|_| {
                    Rc::new(Pool {
                        limits,
                        idle: RefCell::default(),
                    })
                })
                .collect(),
        )
    }

    pub(super) fn get(&self, pool: usize) -> Option<&Rc<Pool>> {
        self.0.get(pool)
    }

    /// Closes what has expired or stirred, and takes memory from the rest; to be called now and then.
    pub(crate) fn sweep(&self) {
        let now = Instant::now();
        for pool in &self.0 {
            pool.idle.borrow_mut().retain_mut(|idle| {
                idle.connection.release_memory();
                now < idle.expires && !idle.connection.has_stirred()
            });
        }
    }
}

impl Pool {
    /// An idle connection that, as far as can be known, is alive.
    pub(super) fn take(&self, now: Instant, care: Care) -> Option<Connection> {
        loop {
            let idle = self.idle.borrow_mut().pop()?;
            let doubtful = care == Care::Great || now.saturating_duration_since(idle.since) > FRESH;
            let usable = now < idle.expires
                && !idle.connection.has_stirred()
                && (!doubtful || idle.connection.look() == Idle::Quiet);
            if usable {
                return Some(idle.connection);
            }
        }
    }
}

impl Home for Pool {
    fn take_back(&self, connection: Connection) {
        let now = Instant::now();
        let kept = connection.keep_alive().map_or(self.limits.idle, |kept| {
            kept.saturating_sub(MARGIN).min(self.limits.idle)
        });
        let expires = (now + kept).min(connection.opened() + self.limits.lifetime);
        let mut idle = self.idle.borrow_mut();
        if now < expires && idle.len() < self.limits.most_idle {
            idle.push(IdleConnection {
                connection,
                since: now,
                expires,
            });
        }
    }
}

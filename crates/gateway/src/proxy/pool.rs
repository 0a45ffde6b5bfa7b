//! A worker's idle connections to backends.
//!
//! The connection that was used last is used next: the others grow old and go, so that a quiet gateway holds few.
//! Backends close idle connections too, and a request sent into a closing one is lost. What can be known is checked
//! before reuse: the backend's own word on how long it keeps them (`Keep-Alive: timeout=`), what the runtime has
//! heard of the socket, and, where losing the race would cost the most, the socket itself.
//!
//! None of that helps when the backend closes while the request is on its way. So a request that cannot be sent again
//! only gets a connection that is surely not closed yet for being idle ([`SafeIdle`]), and else a new one: a round trip
//! is a small price for a request that would be lost. Other proxies leave that to whoever sets an idle time-out below the
//! backend's (nginx, Envoy), or to browsers that send the request again (HAProxy's `http-reuse safe`).
//!
//! A pool is made when a peer is first asked, and goes when no upstream has that peer among its members any more, with
//! the connections that are idle then; those that are in use come back to it, and are closed.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;
use wire::Idle;
use wire::client::{Connection, Home};

use super::safe_idle::SafeIdle;
use crate::upstream::PeerRef;

/// A backend closes at the end of its own time-out; our request must be there before.
const MARGIN: Duration = Duration::from_millis(500);
/// A connection idle for longer than this is looked at before reuse, whatever is sent: a system call is small
/// against that pause.
const FRESH: Duration = Duration::from_millis(100);

/// How idle connections are kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PoolLimits {
    /// Idle connections per peer.
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
    /// It cannot: the socket is looked at, and must not be idle for long.
    Great,
}

/// The idle connections of one worker to all peers.
#[derive(Debug)]
pub(crate) struct Pools {
    limits: PoolLimits,
    /// By the peers' numbers. Bounded by the peers that there are, and those that have gone since the last sweep.
    by_peer: RefCell<HashMap<u64, Rc<Pool>, foldhash::fast::RandomState>>,
}

/// The idle connections to one peer.
#[derive(Debug)]
pub(super) struct Pool {
    limits: PoolLimits,
    peer: PeerRef,
    /// The one used last is at the end.
    idle: RefCell<VecDeque<IdleConnection>>,
    /// How long one is safe that the backend has said nothing about.
    safe: SafeIdle,
}

/// A connection that is used again.
#[derive(Debug)]
pub(super) struct Reused {
    pub(super) connection: Connection,
    /// How long it has been idle.
    pub(super) idle: Duration,
}

#[derive(Debug)]
struct IdleConnection {
    connection: Connection,
    since: Instant,
    /// The backend has said how long it keeps it.
    announced: bool,
    /// Not to be used any more from here on.
    expires: Instant,
}

impl Pools {
    pub(crate) fn new(limits: PoolLimits) -> Self {
        Self {
            limits,
            by_peer: RefCell::default(),
        }
    }

    /// The pool of a peer.
    pub(super) fn of(&self, peer: &PeerRef) -> Rc<Pool> {
        let mut by_peer = self.by_peer.borrow_mut();
        let pool = by_peer.entry(peer.number()).or_insert_with(|| {
            Rc::new(Pool {
                limits: self.limits,
                peer: peer.clone(),
                idle: RefCell::default(),
                safe: SafeIdle::default(),
            })
        });
        Rc::clone(pool)
    }

    /// Closes what has expired or stirred, and what leads to peers that are gone, and takes memory from the rest; to be
    /// called now and then.
    pub(crate) fn sweep(&self) {
        let now = Instant::now();
        self.by_peer.borrow_mut().retain(|_, pool| {
            let stays = !pool.peer.is_gone();
            pool.idle.borrow_mut().retain_mut(|idle| {
                idle.connection.release_memory();
                let is_alive = !idle.connection.has_stirred();
                if !is_alive {
                    pool.learn_closed(now.saturating_duration_since(idle.since), now);
                }
                stays && is_alive && now < idle.expires
            });
            stays
        });
    }
}

impl Pool {
    /// An idle connection that, as far as can be known, is alive.
    pub(super) fn take(&self, now: Instant, care: Care) -> Option<Reused> {
        loop {
            let IdleConnection {
                connection,
                since,
                expires,
                ..
            } = self.pop(now, care)?;
            if now >= expires {
                continue;
            }
            let idle = now.saturating_duration_since(since);
            let doubtful = care == Care::Great || idle > FRESH;
            if !connection.has_stirred() && (!doubtful || connection.look() == Idle::Quiet) {
                return Some(Reused { connection, idle });
            }
            self.learn_closed(idle, now);
        }
    }

    /// The backend has closed a connection that had been idle for so long, or less.
    pub(super) fn learn_closed(&self, idle: Duration, now: Instant) {
        self.safe.learn_closed(idle, now);
    }

    fn pop(&self, now: Instant, care: Care) -> Option<IdleConnection> {
        let mut idle = self.idle.borrow_mut();
        let last = idle.back()?;
        let is_safe =
            || last.announced || now.saturating_duration_since(last.since) < self.safe.at(now);
        // The others have been idle for longer. They stay: requests that can be sent again may use them.
        if care == Care::Great && !is_safe() {
            return None;
        }
        idle.pop_back()
    }
}

impl Home for Pool {
    fn take_back(&self, connection: Connection) {
        if self.peer.is_gone() {
            return;
        }
        let now = Instant::now();
        let said = connection.keep_alive();
        let kept = said.map_or(self.limits.idle, |said| {
            said.saturating_sub(MARGIN).min(self.limits.idle)
        });
        let expires = (now + kept).min(connection.opened() + self.limits.lifetime);
        if now >= expires {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        // The oldest makes room: it is the next to be closed in any case.
        while idle.len() >= self.limits.most_idle {
            if idle.pop_front().is_none() {
                return;
            }
        }
        idle.push_back(IdleConnection {
            announced: said.is_some(),
            connection,
            since: now,
            expires,
        });
    }
}

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
//!
//! Where an upstream's connections are limited, a request may have to wait for one, and a connection that comes home or is
//! idle goes to those who wait: see [`ConnectionLimit`].

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use tokio::time::Instant;
use wire::Idle;
use wire::client::{Connection, Held, Home};

use super::retry::is_idempotent;
use super::safe_idle::SafeIdle;
use crate::counters::OpenConnection;
use crate::upstream::{Asked, ConnectionLimit, Full, Granted, Idling, PeerRef, PoolLimits};

/// A backend closes at the end of its own time-out; our request must be there before.
const MARGIN: Duration = Duration::from_millis(500);
/// A connection idle for longer than this is looked at before reuse, whatever is sent: a system call is small
/// against that pause.
const FRESH: Duration = Duration::from_millis(100);

/// How much it matters that a connection is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Care {
    /// The request can be sent again.
    Usual,
    /// It cannot: the socket is looked at, and must not be idle for long.
    Great,
}

impl Care {
    /// For a request by this method.
    pub(super) fn of(method: &Method) -> Self {
        if is_idempotent(method) {
            Self::Usual
        } else {
            Self::Great
        }
    }
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
    /// Where the upstream's connections are limited.
    limited: Option<Limited>,
}

/// A limit, and the pool's number there.
#[derive(Debug)]
struct Limited {
    limit: Arc<ConnectionLimit>,
    number: usize,
}

/// What a request is sent over.
#[derive(Debug)]
pub(super) enum Ready {
    /// A connection that is used again.
    Reused(Reused),
    /// One that is to be made, and is to hold this: its place, where there are so many.
    New(Option<Held>),
}

impl Ready {
    /// What there is of it for a request to another peer of the upstream: the place.
    pub(super) fn elsewhere(self) -> Self {
        match self {
            Self::Reused(reused) => Self::New(reused.connection.held().cloned()),
            Self::New(held) => Self::New(held),
        }
    }
}

/// Whether a request waits where all places are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// Until then.
    Until(Instant),
    /// Not at all.
    None,
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
    /// Where connections are limited.
    _idling: Option<Idling>,
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
        let pool = by_peer
            .entry(peer.number())
            .or_insert_with(|| Rc::new(Pool::new(peer, self.limits)));
        Rc::clone(pool)
    }

    /// Closes idle connections that are under this limit, those first that have been idle for longest, until nobody waits
    /// for their places.
    pub(crate) fn give_way(&self, limit: &Arc<ConnectionLimit>) {
        while limit.is_wanted() {
            let by_peer = self.by_peer.borrow();
            let pools = by_peer.values().filter(|pool| pool.is_under(limit));
            let idle = pools.filter_map(|pool| Some((pool.idle_since()?, pool)));
            let Some((_, pool)) = idle.min_by_key(|(since, _)| *since) else {
                return;
            };
            let oldest = {
                let mut idle = pool.idle.borrow_mut();
                let oldest = idle.pop_front();
                pool.tell_idle(&idle);
                oldest
            };
            drop(oldest);
        }
    }

    /// Closes what has expired or stirred, and what leads to peers that are gone, and takes memory from the rest; to be
    /// called now and then.
    pub(crate) fn sweep(&self) {
        let now = Instant::now();
        self.by_peer.borrow_mut().retain(|_, pool| {
            let stays = !pool.peer.is_gone();
            let mut all = pool.idle.borrow_mut();
            all.retain_mut(|idle| {
                idle.connection.release_memory();
                let is_alive = !idle.connection.has_stirred();
                if !is_alive {
                    pool.learn_closed(now.saturating_duration_since(idle.since), now);
                }
                stays && is_alive && now < idle.expires
            });
            pool.tell_idle(&all);
            stays
        });
    }
}

impl Pool {
    fn new(peer: &PeerRef, limits: PoolLimits) -> Self {
        let pooling = peer.pooling();
        let limit = pooling.and_then(|pooling| pooling.connections.as_ref());
        Self {
            limits: pooling.map_or(limits, |pooling| pooling.limits),
            peer: peer.clone(),
            idle: RefCell::default(),
            safe: SafeIdle::default(),
            limited: limit.map(|limit| Limited {
                limit: Arc::clone(limit),
                number: limit.number_a_pool(),
            }),
        }
    }

    fn is_under(&self, limit: &Arc<ConnectionLimit>) -> bool {
        let limited = self.limited.as_ref();
        limited.is_some_and(|limited| Arc::ptr_eq(&limited.limit, limit))
    }

    /// Since when the one has been idle that has been for longest.
    fn idle_since(&self) -> Option<Instant> {
        self.idle.borrow().front().map(|idle| idle.since)
    }

    /// What a request can be sent over at once; nothing where that has to be [asked for](Self::ask).
    pub(super) fn ready(&self, now: Instant, care: Care) -> Option<Ready> {
        match self.take(now, care) {
            Some(reused) => Some(Ready::Reused(reused)),
            None if self.limited.is_some() => None,
            None => Some(Ready::New(None)),
        }
    }

    /// What a request can be sent over where there is no idle connection, and no more than so many may be made.
    ///
    /// # Errors
    /// When there is nothing, and waiting is of no use any more.
    pub(super) async fn ask(&self, care: Care, patience: Patience) -> Result<Ready, Full> {
        let place = |place| Ready::New(Some(Arc::new(place) as Held));
        let Some(Limited { limit, number }) = &self.limited else {
            return Ok(Ready::New(None));
        };
        let Patience::Until(due) = patience else {
            return limit.try_take().map(place);
        };
        let granted = match limit.ask(*number)? {
            Asked::Place(free) => Granted::Place(free),
            Asked::Waiting(waiting) => waiting.granted(due).await?,
        };
        Ok(match granted {
            Granted::Place(free) => place(free),
            Granted::Connection(mut connection) => {
                let doubtful = care == Care::Great;
                if doubtful && (connection.has_stirred() || connection.look() == Idle::Unusable) {
                    return Ok(Ready::New(connection.held().cloned()));
                }
                Ready::Reused(Reused {
                    connection,
                    idle: Duration::ZERO,
                })
            }
        })
    }

    /// What a new connection is to hold, so that it is counted as open.
    pub(super) fn counted(&self) -> Option<Held> {
        let counts = self.peer.counts();
        counts.own()?;
        Some(Arc::new(OpenConnection::new(counts)))
    }

    /// Tells how many connections are idle.
    fn tell_idle(&self, idle: &VecDeque<IdleConnection>) {
        if let Some(counts) = self.peer.counts().own() {
            counts.idle.set(idle.len() as u64);
        }
    }

    /// An idle connection that, as far as can be known, is alive.
    fn take(&self, now: Instant, care: Care) -> Option<Reused> {
        loop {
            let IdleConnection {
                mut connection,
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
        let taken = idle.pop_back();
        self.tell_idle(&idle);
        taken
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
        if now >= expires || self.limits.most_idle == 0 {
            return;
        }
        let (connection, idling) = match &self.limited {
            None => (connection, None),
            Some(Limited { limit, number }) => match limit.rest(connection, *number) {
                Some((connection, idling)) => (connection, Some(idling)),
                None => return,
            },
        };
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
            _idling: idling,
            since: now,
            expires,
        });
        self.tell_idle(&idle);
    }
}

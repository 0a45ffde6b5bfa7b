//! How many connections an upstream may have, and who waits for one.
//!
//! A connection has a [`Place`] from before it is made until it is closed: while it is idle, and as a tunnel, too. When
//! all places are taken, requests wait in one queue for all workers, the first to come first. A place that becomes free
//! goes to the front; so does one that was given to somebody who has left meanwhile.
//!
//! A connection cannot leave its worker, nor lead to another peer. One that comes home is handed on to the first in the
//! queue who can use it, which costs nothing; if all who wait are others', it is closed, and its place goes to the front.
//! Handing on lets some overtake, so it has an end: the front is passed over once, and for [`PASSED_OVER`] after that.
//!
//! Connections that are idle give way at once: the workers hear when somebody waits while there are such. Nobody is
//! missed in between. Who waits is counted before he looks for idle connections; a connection is counted as idle before
//! its worker looks whether somebody waits: one of the two sees the other.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, timeout_at};
use wire::client::Connection;

/// For how long the front of the queue is passed over. To close a connection for another one costs some round trips,
/// which is much where answers are quick, and nothing where they are slow: there nobody is passed over twice. With four
/// workers, 200 clients, 8 connections, and a backend that answers at once, one request in a hundred gets a new one.
const PASSED_OVER: Duration = Duration::from_millis(2);

/// The most connections of an upstream, of all workers and to all its members.
#[derive(Debug)]
pub(crate) struct ConnectionLimit {
    most: usize,
    most_pending: usize,
    places: Mutex<Places>,
    /// How many wait, for those who look without the lock.
    pending: AtomicUsize,
    /// Connections that are idle.
    idle: AtomicUsize,
    /// Numbers for pools.
    pools: AtomicUsize,
    /// Somebody waits while connections are idle.
    wanted: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Places {
    taken: usize,
    /// Empty while places are free.
    queue: Queue,
    /// When the front was passed over for the first time.
    passed_over: Option<Instant>,
}

/// Those who wait, in their order.
#[derive(Debug, Default)]
struct Queue {
    /// By their numbers, which only grow.
    all: BTreeMap<u64, Waiter>,
    /// The numbers of those who can use the connections of a pool; none of pools that nobody waits for.
    of_pools: HashMap<usize, VecDeque<u64>, foldhash::fast::RandomState>,
    /// The number of the next who comes.
    next: u64,
}

#[derive(Debug)]
struct Waiter {
    /// Whose connections he can use.
    pool: usize,
    granted: oneshot::Sender<Granted>,
}

/// Leave to have one connection. Dropping gives it to the next.
#[derive(Debug)]
pub(crate) struct Place(Arc<ConnectionLimit>);

/// What comes of waiting.
#[derive(Debug)]
pub(crate) enum Granted {
    /// A connection can be made.
    Place(Place),
    /// Another request's, which is over.
    Connection(Connection),
}

/// A place, or a wait for one.
#[derive(Debug)]
pub(crate) enum Asked {
    /// One was free.
    Place(Place),
    /// None was.
    Waiting(Waiting),
}

/// Somebody in the queue. Dropping leaves it.
#[derive(Debug)]
pub(crate) struct Waiting {
    limit: Arc<ConnectionLimit>,
    number: u64,
    granted: oneshot::Receiver<Granted>,
}

/// Counts a connection as idle.
#[derive(Debug)]
pub(crate) struct Idling(Arc<ConnectionLimit>);

/// All places are taken, and nobody else may wait for one, or longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

/// Whom a connection goes to that has come home.
enum Next {
    /// Nobody waits.
    Nobody,
    /// Somebody who can use it.
    Same(Waiter),
    /// Only its place is of use.
    Other,
}

impl ConnectionLimit {
    pub(crate) fn new(most: usize, most_pending: usize) -> Self {
        Self {
            most,
            most_pending,
            places: Mutex::default(),
            pending: AtomicUsize::new(0),
            idle: AtomicUsize::new(0),
            pools: AtomicUsize::new(0),
            wanted: watch::Sender::new(()),
        }
    }

    /// A number for a pool of one worker to one peer.
    pub(crate) fn number_a_pool(&self) -> usize {
        self.pools.fetch_add(1, Ordering::Relaxed)
    }

    /// A free place, or else a wait for one, which ends with a connection of this pool too.
    ///
    /// # Errors
    /// When as many wait as may. Who waits for an idle connection to give way is not counted.
    pub(crate) fn ask(self: &Arc<Self>, pool: usize) -> Result<Asked, Full> {
        let mut places = self.lock();
        if places.taken < self.most {
            places.taken += 1;
            return Ok(Asked::Place(Place(Arc::clone(self))));
        }
        let idle = self.idle.load(Ordering::SeqCst);
        if places.queue.len() >= self.most_pending.saturating_add(idle) {
            return Err(Full);
        }
        let (sender, granted) = oneshot::channel();
        let number = places.queue.push(Waiter {
            pool,
            granted: sender,
        });
        self.count(&places);
        drop(places);
        if self.idle.load(Ordering::SeqCst) > 0 {
            self.wanted.send_replace(());
        }
        Ok(Asked::Waiting(Waiting {
            limit: Arc::clone(self),
            number,
            granted,
        }))
    }

    /// A place, where one is free.
    pub(crate) fn try_take(self: &Arc<Self>) -> Result<Place, Full> {
        let mut places = self.lock();
        if places.taken >= self.most {
            return Err(Full);
        }
        places.taken += 1;
        Ok(Place(Arc::clone(self)))
    }

    /// How many wait.
    pub(crate) fn pending(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }

    /// Whether somebody waits.
    pub(crate) fn is_wanted(&self) -> bool {
        self.pending.load(Ordering::SeqCst) > 0
    }

    /// Hears from now on when idle connections are to give way.
    pub(crate) fn wanted(&self) -> watch::Receiver<()> {
        self.wanted.subscribe()
    }

    /// What becomes of a connection that has come home to a pool: it rests there, unless somebody waits.
    pub(crate) fn rest(
        self: &Arc<Self>,
        connection: Connection,
        pool: usize,
    ) -> Option<(Connection, Idling)> {
        let idling = Idling::new(self);
        if !self.is_wanted() {
            return Some((connection, idling));
        }
        let connection = self.hand_on(connection, pool)?;
        Some((connection, idling))
    }

    /// Gives a connection to whom it is of use, or its place to the front. Returns it when nobody waits.
    fn hand_on(&self, mut connection: Connection, pool: usize) -> Option<Connection> {
        loop {
            let mut places = self.lock();
            let next = places.next_for(pool);
            self.count(&places);
            drop(places);
            match next {
                Next::Nobody => return Some(connection),
                // It is closed, and so gives its place back.
                Next::Other => return None,
                Next::Same(waiter) => {
                    match waiter.granted.send(Granted::Connection(connection)) {
                        // He has left in this moment.
                        Err(Granted::Connection(back)) => connection = back,
                        Ok(()) | Err(Granted::Place(_)) => return None,
                    }
                }
            }
        }
    }

    /// A place is free: it goes to the front of the queue.
    fn release(self: &Arc<Self>) {
        let mut places = self.lock();
        let Some(front) = places.queue.pop_front() else {
            places.taken -= 1;
            return;
        };
        places.passed_over = None;
        self.count(&places);
        drop(places);
        // Where he has left in this moment the place is dropped, and comes by here again.
        let _left = front.granted.send(Granted::Place(Place(Arc::clone(self))));
    }

    fn leave(&self, number: u64) {
        let mut places = self.lock();
        if places.queue.front() == Some(number) {
            places.passed_over = None;
        }
        places.queue.remove(number);
        self.count(&places);
    }

    fn count(&self, places: &Places) {
        self.pending.store(places.queue.len(), Ordering::SeqCst);
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Places {
    fn next_for(&mut self, pool: usize) -> Next {
        let Some(front) = self.queue.front() else {
            return Next::Nobody;
        };
        let Some(first) = self.queue.first_of(pool) else {
            return Next::Other;
        };
        if first == front {
            self.passed_over = None;
        } else if !self.may_pass_over() {
            return Next::Other;
        }
        self.queue.remove(first).map_or(Next::Nobody, Next::Same)
    }

    /// Whether the front may be passed over now.
    fn may_pass_over(&mut self) -> bool {
        let now = Instant::now();
        let first = *self.passed_over.get_or_insert(now);
        now.saturating_duration_since(first) < PASSED_OVER
    }
}

impl Queue {
    /// Returns the number of who comes.
    fn push(&mut self, waiter: Waiter) -> u64 {
        let number = self.next;
        self.next += 1;
        let of_pool = self.of_pools.entry(waiter.pool).or_default();
        of_pool.push_back(number);
        self.all.insert(number, waiter);
        number
    }

    fn len(&self) -> usize {
        self.all.len()
    }

    fn front(&self) -> Option<u64> {
        self.all.keys().next().copied()
    }

    fn first_of(&self, pool: usize) -> Option<u64> {
        self.of_pools.get(&pool)?.front().copied()
    }

    fn pop_front(&mut self) -> Option<Waiter> {
        self.remove(self.front()?)
    }

    fn remove(&mut self, number: u64) -> Option<Waiter> {
        let waiter = self.all.remove(&number)?;
        if let Some(of_pool) = self.of_pools.get_mut(&waiter.pool) {
            if let Ok(at) = of_pool.binary_search(&number) {
                of_pool.remove(at);
            }
            if of_pool.is_empty() {
                self.of_pools.remove(&waiter.pool);
            }
        }
        Some(waiter)
    }
}

impl Waiting {
    /// Waits no longer than until `due`.
    ///
    /// # Errors
    /// When nothing has been granted by then.
    pub(crate) async fn granted(mut self, due: Instant) -> Result<Granted, Full> {
        match timeout_at(due, &mut self.granted).await {
            Ok(Ok(granted)) => Ok(granted),
            // Only a grant takes a waiter out of the queue.
            Ok(Err(_)) | Err(_) => Err(Full),
        }
    }
}

impl Idling {
    fn new(limit: &Arc<ConnectionLimit>) -> Self {
        limit.idle.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(limit))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.release();
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.limit.leave(self.number);
    }
}

impl Drop for Idling {
    fn drop(&mut self) {
        self.0.idle.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
#[path = "connection_limit_tests.rs"]
mod tests;

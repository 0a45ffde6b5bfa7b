//! How responses get into the store, and how requests for the same thing share one way to the backend.
//!
//! A [`Leader`] goes to the backend. When the head of its answer may be stored it becomes a [`Fill`], which takes the
//! body as it comes and stores it when it is whole. [`Follower`]s wait for the head, see whether it is for them, and
//! read the body as far as it has come. Whatever goes wrong before a follower has got a head sets it free, all of them
//! at once, to go to the backend by itself.

mod assembly;
mod flight;
mod flights;
mod follower;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::HeaderMap;

use crate::admit::Admitted;
use crate::body::Body;
use crate::cache::{Cache, Inner};
use crate::lookup::Failure;
use crate::stored::{Record, Stored};
use crate::time::Timestamp;

use flight::{Flight, Opening, Phase};
use flights::Boarding;
pub(crate) use flights::Flights;
pub use follower::{Chunk, Followed, Follower};

/// A response that may be stored.
#[derive(Debug)]
pub struct Admission {
    pub(crate) admitted: Admitted,
    pub(crate) key: Box<[u8]>,
    pub(crate) labels: Box<[u64]>,
    pub(crate) epoch: u64,
    pub(crate) largest_body: u64,
    pub(crate) most_variants: usize,
    pub(crate) share: usize,
    pub(crate) received: Timestamp,
}

/// What a request is that wants to go to the backend.
#[derive(Debug)]
pub enum Joined {
    /// The first: it goes.
    Leader(Leader),
    /// Another has gone already: it waits.
    Follower(Follower),
    /// It goes, and nobody waits for it: there are too many that do, or it is known not to help.
    Alone,
}

/// Goes to the backend for others as well. When it is dropped, they are free.
#[derive(Debug)]
pub struct Leader {
    cache: Cache,
    flight: Arc<Flight>,
    name: Box<[u8]>,
}

/// Takes the body of a response that is to be stored. When it is dropped before its end, nothing is.
#[derive(Debug)]
pub struct Fill {
    cache: Cache,
    flight: Arc<Flight>,
    /// What others join it by, if they can.
    name: Option<Box<[u8]>>,
    opening: Arc<Opening>,
    key: Box<[u8]>,
    labels: Box<[u64]>,
    epoch: u64,
    largest_body: u64,
    most_variants: usize,
    share: usize,
    received: Timestamp,
    /// What it has taken of the room that all fills share.
    reserved: u64,
    failed: Option<Abandoned>,
}

/// Why a response was not stored although its head allowed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.as_str())]
pub enum Abandoned {
    /// Its body is larger than is stored.
    TooLarge,
    /// Its body is longer or shorter than it said.
    BadLength,
    /// Too many bodies are arriving at the same time.
    NoRoom,
    /// What it would be stored for has been purged or changed since it was asked for.
    Invalidated,
}

impl Abandoned {
    /// A word for it, as `Cache-Status` has in `detail`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too-large",
            Self::BadLength => "bad-length",
            Self::NoRoom => "no-room",
            Self::Invalidated => "invalidated",
        }
    }
}

impl Joined {
    /// Joins what is under way by this name, or begins it. `url` is the hash of the URL.
    pub(crate) fn board(cache: &Cache, name: &[u8], url: u64, epoch: u64, now: Timestamp) -> Self {
        let inner = cache.inner();
        if inner.flights.was_refused(name, now) {
            return Self::Alone;
        }
        let is_current = |epoch| inner.store.purges.is_current(url, epoch);
        let most = inner.settings.most_followers;
        match inner.flights.board(name, epoch, most, now, is_current) {
            Boarding::First(flight) => Self::Leader(Leader {
                cache: cache.clone(),
                flight,
                name: name.into(),
            }),
            Boarding::Joined(flight, number) => Self::Follower(Follower::new(flight, number)),
            Boarding::Full => Self::Alone,
        }
    }
}

impl Leader {
    /// One more for those who wait for a flight, if nobody has gone for them within `patience`.
    pub(crate) fn relieving(
        cache: &Cache,
        name: &[u8],
        follower: Follower,
        patience: Duration,
        now: Timestamp,
    ) -> Result<Self, Follower> {
        let flight = Arc::clone(follower.flight());
        {
            let mut state = flight.lock();
            let is_due = now.since(state.asked) >= patience;
            if !is_due || !matches!(state.phase, Phase::Asked) {
                drop(state);
                return Err(follower);
            }
            state.asked = now;
            state.leaders += 1;
        }
        Ok(Self {
            cache: cache.clone(),
            flight,
            name: name.into(),
        })
    }

    /// The head of the answer may be stored: what comes of the body goes to the followers as well. Of several leaders
    /// that is the first whose answer is there.
    #[must_use]
    pub fn fill(mut self, admission: Admission) -> Fill {
        let name = std::mem::take(&mut self.name);
        Fill::begin(
            self.cache.clone(),
            Arc::clone(&self.flight),
            Some(name),
            admission,
        )
    }

    /// What is stored is right, or right again: followers are answered from it.
    pub fn found(mut self, stored: &Stored) {
        self.end(Phase::Stored(stored.clone()));
    }

    /// The answer cannot be shared: followers are free, and for some seconds nobody waits for the next of the kind.
    pub fn refused(mut self, now: Timestamp) {
        self.cache.inner().flights.note_refused(&self.name, now);
        self.end(Phase::Released);
    }

    /// The backend has failed so: followers that may be answered with something stale need not ask it again. If others
    /// are under way for them, they wait for those.
    pub fn failed(mut self, failure: Failure) {
        self.step_back(Phase::Failed(failure));
    }

    /// Whether others wait. Worth going on for when the client of this one has left.
    #[must_use]
    pub fn has_followers(&self) -> bool {
        self.flight.lock().has_followers()
    }

    /// Brings nothing; the last of several ends the flight.
    fn step_back(&mut self, phase: Phase) {
        let left = {
            let mut state = self.flight.lock();
            state.leaders = state.leaders.saturating_sub(1);
            state.leaders
        };
        if left == 0 {
            self.end(phase);
        } else {
            self.name = Box::default();
        }
    }

    /// Ends the flight, unless another leader's answer is there.
    fn end(&mut self, phase: Phase) {
        let name = std::mem::take(&mut self.name);
        if !matches!(self.flight.lock().phase, Phase::Asked) {
            return;
        }
        // Out of the table first: nobody joins what is over.
        self.cache.inner().flights.remove(&name, &self.flight);
        self.flight.change(|state| state.conclude(phase));
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        // One that has ended has no name any more.
        if !self.name.is_empty() {
            self.step_back(Phase::Released);
        }
    }
}

impl Fill {
    pub(crate) fn alone(cache: Cache, admission: Admission) -> Self {
        Self::begin(cache, Arc::default(), None, admission)
    }

    fn begin(
        cache: Cache,
        flight: Arc<Flight>,
        name: Option<Box<[u8]>>,
        admission: Admission,
    ) -> Self {
        let admitted = admission.admitted;
        let opening = Arc::new(Opening {
            head: admitted.head,
            freshness: admitted.freshness,
            selector: admitted.selector,
            length: admitted.length,
        });
        let (flight, name) = if flight.change(|state| state.open(Arc::clone(&opening))) {
            (flight, name)
        } else {
            // Another's answer is there already. This one is stored as well, and nobody reads along.
            let own = Flight::default();
            own.lock().open(Arc::clone(&opening));
            (Arc::new(own), None)
        };
        Self {
            cache,
            flight,
            name,
            opening,
            key: admission.key,
            labels: admission.labels,
            epoch: admission.epoch,
            largest_body: admission.largest_body,
            most_variants: admission.most_variants,
            share: admission.share,
            received: admission.received,
            reserved: 0,
            failed: None,
        }
    }

    /// A chunk of the body. An error says that the response will not be stored; as long as [`is_needed`] is true,
    /// followers still want what comes.
    ///
    /// # Errors
    /// The body is too large or longer than it said, or there is no room.
    ///
    /// [`is_needed`]: Self::is_needed
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), Abandoned> {
        if self.failed.is_none() {
            let length = self.flight.lock().length() + chunk.len() as u64;
            if let Err(why) = self.make_room(length) {
                self.abandon(why);
            }
        }
        if self.failed == Some(Abandoned::BadLength) {
            return Err(Abandoned::BadLength);
        }
        if self.is_needed() {
            let (expected, most) = (self.opening.length, self.largest_body);
            self.flight
                .change(|state| state.push(chunk, expected, most));
        }
        self.failed.map_or(Ok(()), Err)
    }

    /// What comes behind the body, for those who read along. It is not stored (RFC 9111 §3.1): a trailer tells of one
    /// transfer more often than of what was transferred, and what is stored has a length, with which none can be sent.
    pub fn trailers(&mut self, trailers: HeaderMap) {
        self.flight.lock().set_trailers(trailers);
    }

    /// Whether anything is done with what is pushed: it is to be stored, or somebody follows.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        self.failed.is_none() || self.flight.lock().has_followers()
    }

    /// Whether others read along. Worth going on for when the client of this one has left.
    #[must_use]
    pub fn has_followers(&self) -> bool {
        self.flight.lock().has_followers()
    }

    /// Another reader of the body from its beginning, such as the client that it was asked for: where the body is
    /// fetched by a task of its own, a client that is slow or leaves holds nobody up. `None` if there are too many, or the
    /// beginning is not kept any more.
    #[must_use]
    pub fn follow(&self) -> Option<Follower> {
        if self.failed.is_some() {
            return None;
        }
        let number = self
            .flight
            .lock()
            .join(self.inner().settings.most_followers)?;
        Some(Follower::new(Arc::clone(&self.flight), number))
    }

    /// The body has ended as it should: it is stored.
    ///
    /// # Errors
    /// It is not, for this reason.
    pub fn finish(mut self) -> Result<Stored, Abandoned> {
        let length = self.flight.lock().length();
        if self.opening.length.is_some_and(|it| it != length) {
            self.abandon(Abandoned::BadLength);
        }
        if let Some(why) = self.failed {
            if why != Abandoned::BadLength {
                self.end(Phase::Over);
            }
            return Err(why);
        }
        let pieces = self.flight.lock().finish();
        let stored = Record {
            key: &self.key,
            head: self.opening.head.clone().with_length(length).view(),
            selector: self.opening.selector.view(),
            labels: &self.labels,
            freshness: self.opening.freshness,
            epoch: self.epoch,
            used: self.received,
            body: &Body::new(pieces),
            forms: &[],
        }
        .store();
        let is_stored = self
            .inner()
            .store
            .put(self.share, &stored, None, self.most_variants);
        self.end(Phase::Stored(stored.clone()));
        if is_stored {
            self.inner().tell_stored(&stored);
            Ok(stored)
        } else {
            Err(Abandoned::Invalidated)
        }
    }

    fn inner(&self) -> &Inner {
        self.cache.inner()
    }

    fn make_room(&mut self, length: u64) -> Result<(), Abandoned> {
        if self.opening.length.is_some_and(|it| length > it) {
            return Err(Abandoned::BadLength);
        }
        if length > self.largest_body {
            return Err(Abandoned::TooLarge);
        }
        let more = length.saturating_sub(self.reserved);
        let inner = self.cache.inner();
        let before = inner.filling.fetch_add(more, Ordering::Relaxed);
        self.reserved += more;
        if before + more > inner.settings.most_filling(inner.store.capacity()) {
            return Err(Abandoned::NoRoom);
        }
        Ok(())
    }

    /// It will not be stored. What is too large still goes to those who follow; what lies about its length does not.
    fn abandon(&mut self, why: Abandoned) {
        self.failed = Some(why);
        if why == Abandoned::TooLarge {
            self.inner().store.note_too_large();
        }
        if why == Abandoned::BadLength {
            self.end(Phase::Broken);
            return;
        }
        self.leave_table();
        self.flight.change(flight::State::let_go);
    }

    fn leave_table(&mut self) {
        if let Some(name) = self.name.take() {
            self.cache.inner().flights.remove(&name, &self.flight);
        }
    }

    fn end(&mut self, phase: Phase) {
        self.leave_table();
        self.flight.change(|state| {
            state.phase = phase;
            state.let_go();
        });
    }
}

impl Drop for Fill {
    fn drop(&mut self) {
        self.inner()
            .filling
            .fetch_sub(self.reserved, Ordering::Relaxed);
        let is_arriving = matches!(self.flight.lock().phase, Phase::Arriving(_));
        if is_arriving {
            self.end(Phase::Broken);
        }
    }
}

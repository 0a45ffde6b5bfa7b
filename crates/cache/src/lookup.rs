//! What the cache says to a request.

use std::time::Duration;

use crate::cache::Cache;
use crate::conditional::Validators;
use crate::fill::{Follower, Joined, Leader};
use crate::hit::Hit;
use crate::status::{CacheStatus, Forward};
use crate::stored::Stored;
use crate::time::Timestamp;

/// What is to be done with a request.
#[derive(Debug)]
pub enum Lookup {
    /// It is answered from the cache.
    Hit(Hit),
    /// What is stored for it has to be validated first.
    Stale(Stale),
    /// It goes to the backend; the answer may be stored.
    Miss(Miss),
    /// It goes to the backend, and the cache has nothing to do with it.
    Bypass(Forward),
    /// It was to be answered from the cache only, and cannot be: 504 (RFC 9111 §5.2.1.7).
    OnlyIfCached,
}

/// How a backend has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// It has been asked, and has not answered as it should: not at all, not in time, or as
    /// [`is_failure`](crate::is_failure) says.
    Error,
    /// There is no way to it: it cannot be connected to, or closes the connection instead of answering.
    Disconnected,
}

/// A request that goes to the backend, for an answer that may be stored.
#[derive(Debug)]
pub struct Miss {
    pub(crate) why: Forward,
    pub(crate) ticket: Ticket,
}

/// A stored response that has to be validated.
#[derive(Debug)]
pub struct Stale {
    pub(crate) stored: Stored,
    pub(crate) why: Forward,
    pub(crate) meanwhile: bool,
    pub(crate) on_error: bool,
    pub(crate) when_disconnected: bool,
    pub(crate) ticket: Ticket,
}

/// What is remembered of a look-up until its answer is there.
#[derive(Debug, Clone)]
pub struct Ticket {
    /// Which purges had been before it.
    pub(crate) epoch: u64,
    /// What others can join it by; `None` if its answer may be for it alone.
    pub(crate) name: Option<Box<[u8]>>,
    /// The hash of the URL.
    pub(crate) url: u64,
}

impl Miss {
    /// Why there is no answer.
    #[must_use]
    pub fn why(&self) -> Forward {
        self.why
    }

    /// To be handed over with the answer.
    #[must_use]
    pub fn ticket(&self) -> &Ticket {
        &self.ticket
    }
}

impl Stale {
    /// What is stored.
    #[must_use]
    pub fn stored(&self) -> &Stored {
        &self.stored
    }

    /// Why it cannot be used as it is.
    #[must_use]
    pub fn why(&self) -> Forward {
        self.why
    }

    /// What the backend is asked by.
    #[must_use]
    pub fn validators(&self) -> Validators {
        self.stored.validators()
    }

    /// Whether it may be served now, while it is validated in the background (RFC 5861 §3).
    #[must_use]
    pub fn serves_meanwhile(&self) -> bool {
        self.meanwhile
    }

    /// Whether it may be served if the backend fails in this way (RFC 5861 §4, RFC 9111 §4.2.4).
    #[must_use]
    pub fn serves_on(&self, failure: Failure) -> bool {
        match failure {
            Failure::Error => self.on_error,
            Failure::Disconnected => self.when_disconnected,
        }
    }

    /// To be handed over with the answer.
    #[must_use]
    pub fn ticket(&self) -> &Ticket {
        &self.ticket
    }
}

impl Ticket {
    /// Joins another request that is on its way for the same, or goes for others as well.
    #[must_use]
    pub fn join(&self, cache: &Cache, now: Timestamp) -> Joined {
        match &self.name {
            Some(name) => Joined::board(cache, name, self.url, self.epoch, now),
            None => Joined::Alone,
        }
    }

    /// Goes for those who wait, `follower` among them, because nothing has come of those who went before. Of all that
    /// ask, one does in each `patience`; the others wait on.
    ///
    /// # Errors
    /// Somebody has gone a shorter while ago, or the wait is over: the follower.
    pub fn relieve(
        &self,
        cache: &Cache,
        follower: Follower,
        patience: Duration,
        now: Timestamp,
    ) -> Result<Leader, Follower> {
        match &self.name {
            Some(name) => Leader::relieving(cache, name, follower, patience, now),
            None => Err(follower),
        }
    }
}

impl Forward {
    /// What is to be said in `Cache-Status` of a request that was sent on for this reason.
    #[must_use]
    pub fn cache_status(self) -> CacheStatus<'static> {
        CacheStatus {
            forward: Some(self),
            ..CacheStatus::default()
        }
    }
}

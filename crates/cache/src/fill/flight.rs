//! A request that is under way to the backend, and those that wait for its answer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use bytes::Bytes;
use http::HeaderMap;

use super::assembly::Assembly;
use crate::freshness::Freshness;
use crate::head::Head;
use crate::lookup::Failure;
use crate::stored::Stored;
use crate::time::Timestamp;
use crate::vary::Selector;

/// What leader and followers share.
#[derive(Debug, Default)]
pub(super) struct Flight {
    /// Before which purges the leader has asked.
    pub(super) epoch: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) phase: Phase,
    body: Assembly,
    /// What came behind the body: for those who read along, and not stored.
    trailers: Option<HeaderMap>,
    /// When somebody last went to the backend for those who wait.
    pub(super) asked: Timestamp,
    /// How many are at the backend without an answer.
    pub(super) leaders: usize,
    /// Later readers of all of it are possible: until it is known not to be stored.
    kept: bool,
    /// By number; those that have left are `None`.
    followers: Vec<Option<Place>>,
    waiting: usize,
    /// Whom to tell that he was cut off.
    cut_off: Vec<Waker>,
}

/// How far a flight is.
#[derive(Debug, Default, Clone)]
pub(super) enum Phase {
    /// Nothing has come.
    #[default]
    Asked,
    /// The head has, and the body is coming.
    Arriving(Arc<Opening>),
    /// All of it has come, or a stored response is right after all.
    Stored(Stored),
    /// All of it has come, but it is not stored.
    Over,
    /// The backend has failed before there was anything.
    Failed(Failure),
    /// There is nothing to share.
    Released,
    /// It has broken off.
    Broken,
}

/// A response whose body is still coming.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) head: Head,
    pub(super) freshness: Freshness,
    pub(super) selector: Selector,
    pub(super) length: Option<u64>,
}

/// Where a follower is.
#[derive(Debug, Default)]
struct Place {
    /// How many bytes it has read.
    position: u64,
    /// It has had the trailers.
    has_trailers: bool,
    waker: Option<Waker>,
}

/// What a follower gets of the body.
#[derive(Debug)]
pub(super) enum Read {
    Chunk(Bytes),
    Trailers(HeaderMap),
    End,
    /// Not yet: the waker is kept.
    Wait,
    /// It breaks off here.
    Broken,
}

impl Flight {
    pub(super) fn new(epoch: u64, now: Timestamp) -> Self {
        Self {
            epoch,
            state: Mutex::new(State {
                asked: now,
                leaders: 1,
                ..State::default()
            }),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, and wakes all who wait. They are woken after the lock is given back: a waker may run what it
    /// wakes.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let (result, wakers) = {
            let mut state = self.lock();
            let result = change(&mut state);
            (result, state.wakers())
        };
        for waker in wakers {
            waker.wake();
        }
        result
    }
}

impl State {
    fn wakers(&mut self) -> Vec<Waker> {
        let mut wakers = std::mem::take(&mut self.cut_off);
        let waiting = self.followers.iter_mut().flatten();
        wakers.extend(waiting.filter_map(|it| it.waker.take()));
        wakers
    }

    /// A number for another follower, if there may be one.
    pub(super) fn join(&mut self, most: usize) -> Option<usize> {
        if self.waiting >= most {
            return None;
        }
        self.waiting += 1;
        let place = Some(Place::default());
        match self.followers.iter().position(Option::is_none) {
            Some(free) => {
                *self.followers.get_mut(free)? = place;
                Some(free)
            }
            None => {
                self.followers.push(place);
                Some(self.followers.len() - 1)
            }
        }
    }

    pub(super) fn leave(&mut self, number: usize) {
        if let Some(place) = self.followers.get_mut(number)
            && place.take().is_some()
        {
            self.waiting -= 1;
        }
        self.trim();
    }

    pub(super) fn has_followers(&self) -> bool {
        self.waiting > 0
    }

    /// Remembers whom to wake; whether the follower is still one.
    pub(super) fn wait(&mut self, number: usize, waker: &Waker) -> bool {
        let Some(Some(place)) = self.followers.get_mut(number) else {
            return false;
        };
        match &mut place.waker {
            Some(kept) => kept.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        true
    }

    /// Begins the answer, whether or not it is the first.
    pub(super) fn open(&mut self, opening: Arc<Opening>) -> bool {
        let is_first = matches!(self.phase, Phase::Asked);
        if is_first {
            self.phase = Phase::Arriving(opening);
            self.kept = true;
        }
        is_first
    }

    /// Ends it before anything has come.
    pub(super) fn conclude(&mut self, phase: Phase) {
        if matches!(self.phase, Phase::Asked) {
            self.phase = phase;
        }
    }

    /// Adds what has come. Those who lag so far behind that more than `most` bytes would have to be kept for them are
    /// cut off.
    pub(super) fn push(&mut self, chunk: &[u8], expected: Option<u64>, most: u64) {
        self.body.push(chunk, expected);
        while !self.kept && self.body.kept() > most.max(2 * super::assembly::PIECE as u64) {
            let slowest = self
                .followers
                .iter_mut()
                .filter(|it| it.is_some())
                .min_by_key(|it| it.as_ref().map(|it| it.position));
            match slowest {
                Some(place) => {
                    let waker = place.take().and_then(|it| it.waker);
                    self.cut_off.extend(waker);
                    self.waiting -= 1;
                }
                None => break,
            }
            self.trim();
        }
        self.trim();
    }

    pub(super) fn set_trailers(&mut self, trailers: HeaderMap) {
        self.trailers = Some(trailers);
    }

    pub(super) fn length(&self) -> u64 {
        self.body.length()
    }

    /// It will not be stored: only followers need it now.
    pub(super) fn let_go(&mut self) {
        self.kept = false;
        self.trim();
    }

    /// Lets go of what all have read.
    fn trim(&mut self) {
        if self.kept {
            return;
        }
        let slowest = self.followers.iter().flatten().map(|it| it.position).min();
        self.body.forget_before(slowest.unwrap_or(u64::MAX));
    }

    pub(super) fn finish(&mut self) -> Vec<Bytes> {
        self.body.finish()
    }

    /// What comes next for a follower.
    pub(super) fn read(&mut self, number: usize, waker: &Waker) -> Read {
        let Some(Some(place)) = self.followers.get_mut(number) else {
            return Read::Broken;
        };
        if place.position < self.body.length() {
            let Some(chunk) = self.body.read(place.position) else {
                return Read::Broken;
            };
            place.position += chunk.len() as u64;
            self.trim();
            return Read::Chunk(chunk);
        }
        match self.phase {
            Phase::Stored(_) | Phase::Over => match &self.trailers {
                Some(trailers) if !place.has_trailers => {
                    place.has_trailers = true;
                    Read::Trailers(trailers.clone())
                }
                _ => Read::End,
            },
            Phase::Arriving(_) | Phase::Asked => {
                self.wait(number, waker);
                Read::Wait
            }
            Phase::Failed(_) | Phase::Released | Phase::Broken => Read::Broken,
        }
    }
}

//! Requests that wait for another's answer.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{AGE, CONTENT_LENGTH};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::flight::{Flight, Opening, Phase, Read};
use crate::hit::Hit;
use crate::lookup::Failure;
use crate::policy::Policy;
use crate::request::Request;
use crate::time::Timestamp;
use crate::vary::Matcher;
use crate::verdict::{Verdict, judge};

/// Waits for the answer to another request of the same key. It holds nothing that others need: dropping it is enough
/// to stop waiting.
#[derive(Debug)]
pub struct Follower {
    flight: Arc<Flight>,
    number: usize,
}

/// What a follower's wait has come to.
#[derive(Debug)]
pub enum Followed {
    /// The other's answer is for this request as well. The body comes by [`Follower::poll_chunk`].
    Arriving {
        /// Its status.
        status: StatusCode,
        /// Its fields, `Age` among them.
        headers: HeaderMap,
    },
    /// A whole response that answers the request.
    Stored(Box<Hit>),
    /// The backend has failed so. What is stale is served if it may be; else it is as with [`Followed::Alone`].
    Failed(Failure),
    /// There is nothing to share: the request goes to the backend by itself, without waiting for anybody again.
    Alone,
}

/// A chunk of another's answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Chunk {
    /// These bytes.
    Data(Bytes),
    /// What has come behind the body.
    Trailers(HeaderMap),
    /// It ends, and is whole.
    End,
    /// It ends too early: the backend has failed, or this follower is too slow for a body that is not stored. The
    /// client has to be told by a connection that breaks off.
    Broken,
}

impl Follower {
    pub(super) fn new(flight: Arc<Flight>, number: usize) -> Self {
        Self { flight, number }
    }

    pub(super) fn flight(&self) -> &Arc<Flight> {
        &self.flight
    }

    /// Waits for an answer. `request` and `policy` are those of the look-up.
    pub fn poll(
        &mut self,
        context: &mut Context<'_>,
        request: &Request<'_>,
        policy: &Policy,
        now: Timestamp,
    ) -> Poll<Followed> {
        let phase = {
            let mut state = self.flight.lock();
            match &state.phase {
                Phase::Asked => {
                    return if state.wait(self.number, context.waker()) {
                        Poll::Pending
                    } else {
                        Poll::Ready(Followed::Alone)
                    };
                }
                phase => phase.clone(),
            }
        };
        Poll::Ready(match phase {
            Phase::Arriving(opening) if self.is_for(&opening, request, policy, now) => {
                arriving(&opening, now)
            }
            Phase::Stored(stored) => Hit::if_usable(stored, request, policy, now)
                .map_or(Followed::Alone, |hit| Followed::Stored(Box::new(hit))),
            Phase::Failed(failure) => Followed::Failed(failure),
            _ => Followed::Alone,
        })
    }

    fn is_for(
        &self,
        opening: &Opening,
        request: &Request<'_>,
        policy: &Policy,
        now: Timestamp,
    ) -> bool {
        let wishes = policy.wishes(request.headers);
        Matcher::new(request.headers, policy).matches(opening.selector.view())
            && judge(&opening.freshness, false, &wishes, now) == Verdict::Usable
    }

    /// The next chunk, once [`poll`](Self::poll) has said that one is arriving.
    pub fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Chunk> {
        let read = self.flight.lock().read(self.number, context.waker());
        Poll::Ready(match read {
            Read::Chunk(chunk) => Chunk::Data(chunk),
            Read::Trailers(trailers) => Chunk::Trailers(trailers),
            Read::End => Chunk::End,
            Read::Broken => Chunk::Broken,
            Read::Wait => return Poll::Pending,
        })
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.flight.lock().leave(self.number);
    }
}

fn arriving(opening: &Opening, now: Timestamp) -> Followed {
    let mut headers = opening.head.to_map(2);
    headers.insert(
        AGE,
        HeaderValue::from(opening.freshness.age_in_seconds(now)),
    );
    let status = opening.head.view().status();
    if let Some(length) = opening.length
        && status != StatusCode::NO_CONTENT
    {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Followed::Arriving { status, headers }
}

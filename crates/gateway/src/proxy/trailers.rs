//! The trailers of a request, which pass the same gate as its fields.
//!
//! A backend may merge trailers into the fields (RFC 9110 §6.5.1), so what a client must not say in the head it must not
//! say behind the body either.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderName};
use http_body::{Frame, SizeHint};
use wire::{Body, BodyError};

use super::fields::ends_at_the_gateway;
use crate::config::Route;
use crate::middleware::client_address::speaks_for_a_proxy;
use crate::middleware::underscores::has_underscore;

/// A request's body, without the trailers that are not forwarded.
struct Gated {
    body: Body,
    /// Where fields of the route are the gateway's to say, or to hide, no trailers are forwarded.
    all_withheld: bool,
}

/// The body as the backend of `route` may get it. Only bodies of unknown length can have trailers there.
pub(super) fn gate(body: Body, route: &Route) -> Body {
    if body.exact_length().is_some() {
        return body;
    }
    Body::boxed(Gated {
        body,
        all_withheld: route.withholds_any(),
    })
}

impl Gated {
    fn kept(&self, trailers: HeaderMap) -> HeaderMap {
        if self.all_withheld {
            return HeaderMap::new();
        }
        let mut kept = HeaderMap::with_capacity(trailers.len());
        let mut last: Option<HeaderName> = None;
        for (name, value) in trailers {
            // A map gives a name once for all of its values.
            last = name.or(last);
            if let Some(name) = last.as_ref().filter(|name| Self::keeps(name)) {
                kept.append(name, value);
            }
        }
        kept
    }

    fn keeps(name: &HeaderName) -> bool {
        let credentials = name == AUTHORIZATION || name == COOKIE;
        !(credentials
            || has_underscore(name)
            || speaks_for_a_proxy(name)
            || ends_at_the_gateway(name))
    }
}

impl http_body::Body for Gated {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let frame = ready!(this.body.poll_next(context));
        Poll::Ready(frame.map(|frame| {
            frame.map(|frame| match frame.into_trailers() {
                Ok(trailers) => Frame::trailers(this.kept(trailers)),
                Err(data) => data,
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_finished()
    }

    fn size_hint(&self) -> SizeHint {
        http_body::Body::size_hint(&self.body)
    }
}

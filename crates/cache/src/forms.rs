//! Compressed forms of what is stored: made once, given to all who understand them.

use bytes::Bytes;

use crate::body::{Body, Content};
use crate::cache::Cache;
use crate::stored::Stored;

/// A stored body in a coding (RFC 9110 §8.4.1).
#[derive(Debug, Clone)]
pub(crate) struct Form {
    pub(crate) coding: &'static str,
    pub(crate) body: Body,
}

/// The forms of a stored response in other codings than its own. They are part of it: what takes it out takes them
/// out, and what makes it fresh again keeps them.
///
/// Fields are its own; that the form has another coding and length, and that its entity tag is weak, is for whoever
/// sends it to say.
#[derive(Debug, Clone)]
pub struct Forms {
    cache: Cache,
    share: usize,
    stored: Stored,
}

impl Forms {
    pub(crate) fn new(cache: &Cache, share: usize, stored: &Stored) -> Self {
        Self {
            cache: cache.clone(),
            share,
            stored: stored.clone(),
        }
    }

    /// The body in a coding, if it is stored.
    #[must_use]
    pub fn get(&self, coding: &str) -> Option<Content> {
        let form = self.stored.forms().iter().find(|it| it.coding == coding)?;
        Some(form.body.read(0..form.body.length()))
    }

    /// The most bytes that a form has to be stored. One that is larger than the body as it is is worth nothing.
    #[must_use]
    pub fn largest(&self) -> u64 {
        self.stored.body_length()
    }

    /// Stores the whole body in a coding. Whether it was: not if the response is not there any more, or has it already,
    /// or if there is no room.
    pub fn keep(&self, coding: &'static str, pieces: &[Bytes]) -> bool {
        let length: usize = pieces.iter().map(Bytes::len).sum();
        if length == 0 || length as u64 > self.largest() || self.get(coding).is_some() {
            return false;
        }
        let body = Body::new(compact(pieces, length));
        let new = self.stored.with_form(Form { coding, body });
        let store = &self.cache.inner().store;
        store.replace(self.share, &self.stored, &new)
    }
}

/// Without the room that a buffer has for more.
fn compact(pieces: &[Bytes], length: usize) -> Vec<Bytes> {
    /// So much is not worth to be in several pieces.
    const ONE: usize = 64 * 1024;
    if length <= ONE {
        return vec![pieces.concat().into()];
    }
    let copies = pieces.iter().map(|it| Bytes::copy_from_slice(it));
    copies.collect()
}

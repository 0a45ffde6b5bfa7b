//! Stored responses.
//!
//! Of a small response everything is in one piece of memory: the counts, what is needed to tell its age, and the bytes
//! of its key, head, selector, labels and body. Each piece more would cost a small response more than its age does. Of
//! a large one the body is in pieces of its own, which all that is made of it share.

mod marks;
mod record;
mod size;

use std::fmt;

use bytes::Bytes;
use triomphe::ThinArc;

use crate::body::Body;
use crate::conditional::Validators;
use crate::forms::Form;
use crate::freshness::Freshness;
use crate::head::{Head, HeadRef};
use crate::time::Timestamp;
use crate::vary::SelectorRef;

pub(crate) use record::{LONGEST, Record};
pub(crate) use size::allocated;

use record::Fixed;

/// A response that is stored, whole and never changed: what a revalidation changes is stored anew. A clone is the same
/// response.
#[derive(Clone)]
pub struct Stored(ThinArc<Fixed, u8>);

impl Stored {
    /// Its status and fields.
    #[must_use]
    pub fn head(&self) -> HeadRef<'_> {
        HeadRef::new(self.fixed().status, self.slice(self.fixed().head()))
    }

    /// How long its body is.
    #[must_use]
    pub fn body_length(&self) -> u64 {
        self.body_apart()
            .map_or(self.inline_body().len() as u64, Body::length)
    }

    /// What it can be validated by.
    #[must_use]
    pub fn validators(&self) -> Validators {
        Validators::of(self.head())
    }

    /// How old it is, in seconds.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> u32 {
        self.freshness().age_in_seconds(now)
    }

    /// For how many seconds more it is fresh; less than zero if it is stale (`ttl` of RFC 9211).
    #[must_use]
    pub fn ttl(&self, now: Timestamp) -> i64 {
        let left = self.freshness().remaining(now).as_secs();
        let over = self.freshness().staleness(now).as_secs();
        i64::try_from(left).unwrap_or(i64::MAX) - i64::try_from(over).unwrap_or(i64::MAX)
    }

    /// For how long it is of any use: as long as it is fresh, or may be served stale.
    #[must_use]
    pub fn use_left(&self, now: Timestamp) -> std::time::Duration {
        self.freshness().use_left(now)
    }

    /// What it is stored for.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        self.slice(self.fixed().key())
    }

    pub(crate) fn selector(&self) -> SelectorRef<'_> {
        SelectorRef::of(self.slice(self.fixed().selector()))
    }

    /// What it can be purged by, hashed.
    pub(crate) fn labels(&self) -> impl Iterator<Item = u64> + '_ {
        let bytes = self.slice(self.fixed().labels(&self.0.slice));
        bytes
            .chunks_exact(8)
            .filter_map(|label| Some(u64::from_le_bytes(label.try_into().ok()?)))
    }

    pub(crate) fn freshness(&self) -> Freshness {
        self.fixed().freshness(&self.0.slice)
    }

    /// Head and body, which share the memory of this. It costs an allocation of a few words.
    pub(crate) fn share(&self) -> (Head, Body) {
        let bytes = Bytes::from_owner(Owner(self.clone()));
        let head = Head::of_lines(self.fixed().status, shared(&bytes, self.fixed().head()));
        let body = match self.body_apart() {
            Some(body) => body.clone(),
            None => Body::one(shared(&bytes, self.body_start()..bytes.len())),
        };
        (head, body)
    }

    pub(crate) fn forms(&self) -> &[Form] {
        let apart = self.fixed().apart.as_ref();
        apart.map(|it| &*it.forms).unwrap_or_default()
    }

    /// The same with a form more, and all that purges have had to do with it.
    pub(crate) fn with_form(&self, form: Form) -> Self {
        // First: what a purge notes after this is looked for again.
        let epoch = self.checked();
        let mut forms = self.forms().to_vec();
        forms.push(form);
        let new = Record {
            key: self.key(),
            head: self.head(),
            selector: self.selector(),
            labels: &self.labels().collect::<Vec<_>>(),
            freshness: self.freshness(),
            epoch,
            used: Timestamp::from_secs(self.last_used().into()),
            body: &self.share().1,
            forms: &forms,
        }
        .store();
        if self.is_softened() {
            new.soften();
        }
        new
    }

    /// Whether it is the very same, not one that is like it.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        std::ptr::eq(self.fixed(), other.fixed())
    }

    /// The memory that it takes, in bytes.
    pub(crate) fn size(&self) -> usize {
        let apart = self.fixed().apart.as_ref().map_or(0, |it| it.size());
        allocated(record::OVERHEAD + self.0.slice.len()) + apart
    }

    fn fixed(&self) -> &Fixed {
        &self.0.header.header
    }

    fn body_start(&self) -> usize {
        self.fixed().labels(&self.0.slice).end
    }

    fn body_apart(&self) -> Option<&Body> {
        self.fixed().apart.as_ref()?.body.as_ref()
    }

    fn inline_body(&self) -> &[u8] {
        self.slice(self.body_start()..self.0.slice.len())
    }

    fn slice(&self, range: std::ops::Range<usize>) -> &[u8] {
        self.0.slice.get(range).unwrap_or_default()
    }
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What it says may be secret.
        f.debug_struct("Stored")
            .field("status", &self.fixed().status)
            .field("freshness", &self.freshness())
            .field("body_length", &self.body_length())
            .finish_non_exhaustive()
    }
}

/// What keeps the memory of a response while parts of it are sent.
struct Owner(Stored);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.0.0.slice
    }
}

fn shared(bytes: &Bytes, range: std::ops::Range<usize>) -> Bytes {
    if range.start <= range.end && range.end <= bytes.len() {
        bytes.slice(range)
    } else {
        Bytes::new()
    }
}

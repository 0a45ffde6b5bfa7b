//! Stored responses as bytes, for tiers that outlive the memory or the process.
//!
//! ```text
//! "agc" version            four bytes
//! checksum                 eight, of all that follows
//! kind                     one: a response, or which fields responses for the key vary by
//! epoch                    eight: the purges that it comes after
//! key, names, values       length and bytes each: what it is for
//! freshness                28 bytes, of which the first 8 say when it came, by the wall clock
//! status, head, body       two bytes; length and bytes each
//! ```
//!
//! A tier finds records by names, which are hashes of what they are for. For a response that varies the name of the key
//! alone leads to the names of its fields, and these with a request's values to the response. Whatever is read is compared
//! with the request in full: a record that lies under a wrong name is not taken.

mod reader;

use http::HeaderMap;
use twox_hash::{XxHash3_64, XxHash3_128};

use crate::admit::Response;
use crate::body::Body;
use crate::cache::Cache;
use crate::freshness::{Freshness, Times};
use crate::head::Head;
use crate::key::Key;
use crate::policy::Policy;
use crate::store::Epochs;
use crate::stored::{Record, Stored};
use crate::vary::{Matcher, Selector};
use reader::Reader;

const MAGIC: [u8; 4] = *b"agc\x01";
/// The magic and the checksum.
const PREFIX: usize = 12;
const RESPONSE: u8 = 0;
const FIELDS: u8 = 1;

/// What a record is found by.
pub type RecordName = u128;

/// The records of a response.
#[derive(Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The response.
    pub response: (RecordName, Vec<u8>),
    /// By which fields it was selected, if it varies.
    pub fields: Option<(RecordName, Vec<u8>)>,
}

/// What a record holds.
#[derive(Debug)]
pub enum Decoded {
    /// A response, to be given to [`Cache::recall`].
    Response(Stored),
    /// The response for the request, if there is one, has this name.
    At(RecordName),
}

/// Why a record is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It was written by another version, or by something else.
    #[error("a record of another version")]
    Version,
    /// It is not what was written.
    #[error("a damaged record")]
    Damaged,
    /// It is for another key, or for other requests: two have the same hash.
    #[error("a record of another key")]
    OtherKey,
    /// It is older than the purges that are remembered.
    #[error("a record from before the first purge that is known")]
    TooOld,
}

/// The name of what is stored for a key.
#[must_use]
pub fn record_name(key: &[u8]) -> RecordName {
    XxHash3_128::oneshot(key)
}

fn variant_name(key: &[u8], names: &str, values: &[u8]) -> RecordName {
    let mut bytes = Vec::with_capacity(key.len() + names.len() + values.len() + 24);
    for part in [key, names.as_bytes(), values] {
        push(&mut bytes, part);
    }
    record_name(&bytes)
}

impl Cache {
    /// A response as bytes; none if it could not be taken back: because it has tags that it does not tell of any more, or
    /// the log of purges is not followed.
    #[must_use]
    pub fn encode(&self, stored: &Stored, epochs: Epochs) -> Option<Encoded> {
        let epoch = self.epoch_in(epochs, stored)?;
        let key = stored.key();
        let (head, body) = stored.share();
        if !stored.labels().eq(self.labels_of(key, &head)?) {
            return None;
        }
        let (names, values) = stored.selector().parts().unwrap_or_default();
        let room = usize::try_from(body.length()).ok()? + head.lines().len() + key.len() + 128;
        let mut bytes = begin(RESPONSE, epoch, room + names.len() + values.len());
        push(&mut bytes, key);
        push(&mut bytes, names.as_bytes());
        push(&mut bytes, values);
        bytes.extend_from_slice(&stored.freshness().to_bytes());
        bytes.extend_from_slice(&head.view().status().as_u16().to_le_bytes());
        push(&mut bytes, head.lines());
        bytes.extend_from_slice(&body.length().to_le_bytes());
        for piece in body.read(0..body.length()) {
            bytes.extend_from_slice(&piece);
        }
        let response = finish(bytes);
        if names.is_empty() {
            return Some(Encoded {
                response: (record_name(key), response),
                fields: None,
            });
        }
        let mut bytes = begin(FIELDS, epoch, key.len() + names.len() + 64);
        push(&mut bytes, key);
        push(&mut bytes, names.as_bytes());
        Some(Encoded {
            response: (variant_name(key, names, values), response),
            fields: Some((record_name(key), finish(bytes))),
        })
    }

    /// Reads a record for a request with these fields.
    ///
    /// # Errors
    /// It is of no use.
    pub fn decode(
        &self,
        key: &Key,
        request: &HeaderMap,
        policy: &Policy,
        bytes: &[u8],
        epochs: Epochs,
    ) -> Result<Decoded, Unreadable> {
        let mut reader = Reader::new(checked(bytes)?);
        let kind = reader.byte()?;
        let epoch = reader.long()?;
        if reader.part()? != key.as_bytes() {
            return Err(Unreadable::OtherKey);
        }
        let names = std::str::from_utf8(reader.part()?).map_err(|_| Unreadable::Damaged)?;
        match kind {
            FIELDS => {
                reader.end()?;
                Selector::from_parts(names, &[]).ok_or(Unreadable::Damaged)?;
                let values = Selector::values_of(names, request, policy);
                Ok(Decoded::At(variant_name(key.as_bytes(), names, &values)))
            }
            RESPONSE => {
                let epoch = self.epoch_from(epochs, epoch).ok_or(Unreadable::TooOld)?;
                let stored = self.response(key.as_bytes(), names, &mut reader, epoch)?;
                if !Matcher::new(request, policy).matches(stored.selector()) {
                    return Err(Unreadable::OtherKey);
                }
                Ok(Decoded::Response(stored))
            }
            _ => Err(Unreadable::Damaged),
        }
    }

    fn response(
        &self,
        key: &[u8],
        names: &str,
        reader: &mut Reader<'_>,
        epoch: u64,
    ) -> Result<Stored, Unreadable> {
        let selector = Selector::from_parts(names, reader.part()?).ok_or(Unreadable::Damaged)?;
        let freshness = Freshness::from_bytes(reader.array()?).ok_or(Unreadable::Damaged)?;
        let status = u16::from_le_bytes(*reader.array()?);
        let lines = reader.part()?;
        let length = reader.long()?;
        let body = reader.rest();
        if body.len() as u64 != length || length > self.settings().largest_body {
            return Err(Unreadable::Damaged);
        }
        let head = Head::from_lines(status, lines, length).ok_or(Unreadable::Damaged)?;
        let labels = self.labels_of(key, &head).ok_or(Unreadable::Damaged)?;
        let record = Record {
            key,
            head: head.view(),
            selector: selector.view(),
            labels: &labels,
            freshness,
            epoch,
            used: freshness.received,
            body: &Body::of(body),
            forms: &[],
        };
        Ok(record.store())
    }

    /// What a response with this head can be purged by.
    fn labels_of(&self, key: &[u8], head: &Head) -> Option<Box<[u64]>> {
        let headers = head.to_map(0);
        let now = crate::time::Timestamp::default();
        let response = Response {
            status: head.view().status(),
            headers: &headers,
            times: Times {
                requested: now,
                received: now,
            },
        };
        self.labels(key, &response).ok()
    }
}

fn begin(kind: u8, epoch: u64, room: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(room);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&[0; PREFIX - MAGIC.len()]);
    bytes.push(kind);
    bytes.extend_from_slice(&epoch.to_le_bytes());
    bytes
}

fn finish(mut bytes: Vec<u8>) -> Vec<u8> {
    let sum = checksum(bytes.get(PREFIX..).unwrap_or_default());
    if let Some(place) = bytes.get_mut(MAGIC.len()..PREFIX) {
        place.copy_from_slice(&sum.to_le_bytes());
    }
    bytes
}

/// What stands after the checksum, if that is right.
fn checked(bytes: &[u8]) -> Result<&[u8], Unreadable> {
    let (magic, rest) = bytes.split_first_chunk().ok_or(Unreadable::Damaged)?;
    if *magic != MAGIC {
        return Err(Unreadable::Version);
    }
    let (sum, rest) = rest.split_first_chunk().ok_or(Unreadable::Damaged)?;
    if u64::from_le_bytes(*sum) != checksum(rest) {
        return Err(Unreadable::Damaged);
    }
    Ok(rest)
}

fn checksum(bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot(bytes)
}

/// No part but a body is longer than 4 GiB: a head has a bound of its own.
fn push(bytes: &mut Vec<u8>, part: &[u8]) {
    let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(part);
}

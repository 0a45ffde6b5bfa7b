//! What consistent hashing goes by.

use std::hash::{BuildHasher, Hash};
use std::str::FromStr;

use foldhash::fast::FixedState;

use crate::auth::{ClaimPath, Place, Subject};

/// The part of a request that decides its endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HashKey {
    /// The client's address.
    Address,
    /// The path, in its one form.
    Path,
    /// A field, a cookie or a query parameter.
    Place(Place),
    /// A claim of whoever the request is from.
    Claim(ClaimPath),
}

impl HashKey {
    /// The hash of what `request` has; none where it has nothing. The same in all gateways and after each start.
    pub(crate) fn hash(&self, request: &Subject<'_>) -> Option<u64> {
        Some(match self {
            Self::Address => hash(request.client.to_canonical()),
            Self::Path => hash(request.path),
            Self::Place(place) => hash(place.find(request.head).ok()?),
            Self::Claim(claim) => {
                let value = request.identity?.claims.find(claim)?;
                value.as_str().map_or_else(|| hash(value.to_string()), hash)
            }
        })
    }
}

fn hash(value: impl Hash) -> u64 {
    FixedState::default().hash_one(value)
}

impl FromStr for HashKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "ip" => return Ok(Self::Address),
            None if text == "path" => return Ok(Self::Path),
            Some(("claim", name)) if !name.is_empty() => return Ok(Self::Claim(name.into())),
            Some(_) => {
                if let Ok(place) = text.parse() {
                    return Ok(Self::Place(place));
                }
            }
            None => {}
        }
        Err("must be \"ip\", \"path\", or \"header:\", \"cookie:\", \"query:\" or \"claim:\" and a name".to_owned())
    }
}

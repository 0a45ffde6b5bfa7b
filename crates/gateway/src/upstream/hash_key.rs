//! What consistent hashing goes by.

use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;
use std::str::FromStr;

use foldhash::fast::FixedState;
use http::request;

use crate::auth::{ClaimPath, Identity, Place};

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

/// A request, as far as hashing looks at it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hashed<'a> {
    pub(crate) head: &'a request::Parts,
    /// Normalised.
    pub(crate) path: &'a str,
    pub(crate) client: IpAddr,
    pub(crate) identity: Option<&'a Identity>,
}

impl HashKey {
    /// The hash of what `request` has; none where it has nothing. The same in all gateways and after each start.
    pub(crate) fn hash(&self, request: &Hashed<'_>) -> Option<u64> {
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

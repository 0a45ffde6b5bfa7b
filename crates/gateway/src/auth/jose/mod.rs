//! Signed tokens and the keys for them: JWS (RFC 7515), JWK (RFC 7517), JWA (RFC 7518), EdDSA (RFC 8037), as RFC 8725
//! says to use them. Cryptography is the library's; what may be verified with which key is decided here.

mod algorithm;
mod compact;
mod jwk;
mod key;
mod pem;
mod sign;
mod strict_json;
#[cfg(test)]
mod vectors;

pub(crate) use algorithm::Algorithm;
pub(crate) use compact::Compact;
pub(crate) use jwk::KeySet;
pub(crate) use key::{Key, KeyError};
pub(crate) use pem::public_keys;
pub(crate) use sign::SigningKey;
pub(crate) use strict_json::StrictJson;

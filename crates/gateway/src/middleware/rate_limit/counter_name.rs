//! What counts are called in Redis: the same in every gateway that has the same routes file, and after a restart.
//!
//! `api-gateway:rate-limit:v1:route/users/burst:10/1s:{5a3e…}`: whose limit it is, how much in which time, and a digest
//! of the client. Nothing of what a client has sent can be read there. A limit that is changed begins anew. The version
//! is that of what is kept under the name.

use std::borrow::Cow;

use aws_lc_rs::digest::{Digest, SHA256, digest};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rate_limiter::Policy;

/// What stands in a name as it is. Separators do not, nor do braces, which decide where a cluster keeps a key.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'*')
    .remove(b'/');
/// Of a longer name only the start is shown.
const LONGEST: usize = 128;

/// Whose limit it is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Owner<'a> {
    /// Any route's that calls it by its name.
    File,
    /// The route's of this name.
    Route(&'a str),
}

/// The name of a limit's counts, up to the client.
#[must_use]
pub(crate) fn counter_name(owner: Owner<'_>, limit: &str, policy: &Policy) -> Box<str> {
    let owner = match owner {
        Owner::File => Cow::Borrowed("shared"),
        Owner::Route(name) => format!("route/{}", bounded(name)).into(),
    };
    let window = policy.window();
    let window = match window.subsec_nanos() {
        0 => format!("{}s", window.as_secs()),
        _ => format!("{}us", window.as_micros()),
    };
    let limit = format!("{limit}:{}/{window}", policy.limit());
    format!("api-gateway:rate-limit:v1:{owner}/{limit}:").into()
}

fn bounded(name: &str) -> Cow<'_, str> {
    let encoded: Cow<'_, str> = utf8_percent_encode(name, ENCODED).into();
    match encoded.get(..LONGEST) {
        Some(start) if encoded.len() > LONGEST => {
            let whole = first_bits(&digest(&SHA256, name.as_bytes()));
            format!("{start}~{whole:032x}").into()
        }
        _ => encoded,
    }
}

/// 128 bits of a digest: enough that nobody finds another text with the same.
pub(super) fn first_bits(digest: &Digest) -> u128 {
    let first = digest.as_ref().first_chunk();
    first.map_or(0, |bytes| u128::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn name(owner: Owner<'_>, window: Duration) -> String {
        counter_name(owner, "burst", &Policy::new(10, window).unwrap()).into()
    }

    #[test]
    fn names_tell_whose_limit_it_is_and_how_much_it_allows() {
        let second = Duration::from_secs(1);
        assert_eq!(
            name(Owner::File, second),
            "api-gateway:rate-limit:v1:shared/burst:10/1s:"
        );
        assert_eq!(
            name(Owner::Route("/users/{id}"), second / 2),
            "api-gateway:rate-limit:v1:route//users/%7Bid%7D/burst:10/500000us:"
        );
    }

    #[test]
    fn names_are_bounded_and_stay_different() {
        let of = |end: &str| {
            let route = format!("{}{end}", "é".repeat(1_000));
            name(Owner::Route(&route), Duration::from_secs(1))
        };
        assert!(of("a").len() < 256);
        assert_ne!(of("a"), of("b"));
        assert_eq!(of("a"), of("a"));
    }
}

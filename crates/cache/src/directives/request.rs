//! What a request says about answers from a cache (RFC 9111 §5.2.1).

use http::HeaderMap;
use http::header::{CACHE_CONTROL, PRAGMA};

use super::response::Seconds;
use super::syntax::{Argument, directives, members};

/// The directives of a request. Those that cannot be read are not there: they are wishes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestDirectives {
    pub(crate) max_age: Option<u32>,
    /// Without an argument, any staleness will do: `u32::MAX`.
    pub(crate) max_stale: Option<u32>,
    pub(crate) min_fresh: Option<u32>,
    pub(crate) stale_if_error: Option<u32>,
    pub(crate) no_cache: bool,
    pub(crate) no_store: bool,
    pub(crate) only_if_cached: bool,
}

impl RequestDirectives {
    pub(crate) fn read(headers: &HeaderMap) -> Self {
        let mut read = Self::default();
        if !headers.contains_key(CACHE_CONTROL) {
            // HTTP/1.0 knew nothing else (RFC 9111 §5.4).
            read.no_cache = headers
                .get_all(PRAGMA)
                .iter()
                .flat_map(|line| members(line.as_bytes()))
                .any(|it| it.eq_ignore_ascii_case(b"no-cache"));
            return read;
        }
        for directive in directives(headers.get_all(CACHE_CONTROL).iter()) {
            let seconds = match Seconds::of(&directive.argument) {
                Seconds::Valid(seconds) => Some(seconds),
                Seconds::Invalid => None,
            };
            match &directive {
                it if it.is("no-cache") => read.no_cache = true,
                it if it.is("no-store") => read.no_store = true,
                it if it.is("only-if-cached") => read.only_if_cached = true,
                it if it.is("max-age") => read.max_age = lesser(read.max_age, seconds),
                it if it.is("min-fresh") => read.min_fresh = read.min_fresh.max(seconds),
                it if it.is("stale-if-error") => read.stale_if_error = seconds,
                it if it.is("max-stale") => {
                    let any = (it.argument == Argument::None).then_some(u32::MAX);
                    read.max_stale = lesser(read.max_stale, seconds.or(any));
                }
                _ => {}
            }
        }
        read
    }
}

fn lesser(one: Option<u32>, other: Option<u32>) -> Option<u32> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

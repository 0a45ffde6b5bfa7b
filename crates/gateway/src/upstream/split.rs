//! Splitting a route's requests over several upstreams: a share to a new version, and all of those who ask for it.

use std::sync::Arc;

use http::request;

use super::Upstream;
use super::hash_key::HashKey;
use crate::auth::{Place, Subject};

/// Which upstream each request of a route goes to.
#[derive(Debug)]
pub struct Split<U = Arc<Upstream>> {
    /// Looked at in order: the first whose conditions are met gets the request.
    pub(crate) overrides: Box<[Override<U>]>,
    /// At least one of them has a weight.
    pub(crate) shares: Box<[Share<U>]>,
    /// The same key gets the same upstream; none for each request by lot.
    pub(crate) by: Option<HashKey>,
}

/// An upstream's share.
#[derive(Debug)]
pub(crate) struct Share<U> {
    pub(crate) upstream: U,
    pub(crate) weight: u32,
}

/// A request that asks for an upstream.
#[derive(Debug)]
pub(crate) struct Override<U> {
    pub(crate) condition: Condition,
    pub(crate) upstream: U,
}

/// What a request has that asks for an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Condition {
    place: Place,
    /// Any where there is none.
    value: Option<Box<str>>,
}

impl Condition {
    fn holds(&self, head: &request::Parts) -> bool {
        match (self.place.find(head), &self.value) {
            (Ok(found), Some(value)) => found == value.as_bytes(),
            (Ok(_), None) => true,
            (Err(_), _) => false,
        }
    }
}

impl std::str::FromStr for Condition {
    type Err = String;

    /// `header:Name`, `cookie:name` or `query:name`, perhaps with `=value`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (place, value) = match text.split_once('=') {
            Some((place, value)) => (place, Some(value.into())),
            None => (text, None),
        };
        match place.parse() {
            Ok(Place::Bearer) | Err(_) => Err(
                "must be \"header:\", \"cookie:\" or \"query:\" and a name, perhaps with \"=value\""
                    .to_owned(),
            ),
            Ok(place) => Ok(Self { place, value }),
        }
    }
}

impl<U> Split<U> {
    /// Whether [`Self::choose`] gives `request` the same upstream every time.
    pub(crate) fn is_certain(&self, request: &Subject<'_>) -> bool {
        let mut overrides = self.overrides.iter();
        let weighted = self.shares.iter().filter(|share| share.weight > 0).count();
        weighted == 1
            || overrides.any(|asked| asked.condition.holds(request.head))
            || self
                .by
                .as_ref()
                .is_some_and(|by| by.hash(request).is_some())
    }

    /// The upstream for `request`; none where no share has a weight.
    pub(crate) fn choose(&self, request: &Subject<'_>) -> Option<&U> {
        let asked = self
            .overrides
            .iter()
            .find(|asked| asked.condition.holds(request.head));
        if let Some(asked) = asked {
            return Some(&asked.upstream);
        }
        let key = self.by.as_ref().and_then(|by| by.hash(request));
        let total: u64 = self
            .shares
            .iter()
            .map(|share| u64::from(share.weight))
            .sum();
        // Multiplied and shifted, a number from all becomes one below the total (Lemire).
        let drawn = u128::from(key.unwrap_or_else(|| fastrand::u64(..))) * u128::from(total);
        let mut place = u64::try_from(drawn >> 64).unwrap_or(0);
        for share in &self.shares {
            match place.checked_sub(share.weight.into()) {
                Some(left) => place = left,
                None => return Some(&share.upstream),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(by: Option<&str>) -> Split<usize> {
        Split {
            overrides: [Override {
                condition: "header:X-Canary=always".parse().unwrap(),
                upstream: 1,
            }]
            .into(),
            shares: [(0, 90), (1, 10), (2, 0)]
                .map(|(upstream, weight)| Share { upstream, weight })
                .into(),
            by: by.map(|by| by.parse().unwrap()),
        }
    }

    fn choose(split: &Split<usize>, fields: &[(&str, &str)]) -> Option<usize> {
        let mut request = http::Request::builder();
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        split
            .choose(&Subject {
                head: &head,
                path: "/",
                client: [127, 0, 0, 1].into(),
                identity: None,
            })
            .copied()
    }

    #[test]
    fn shares_are_followed() {
        let split = split(None);
        let mut counts = [0; 3];
        for _ in 0..10_000 {
            counts[choose(&split, &[]).unwrap()] += 1;
        }
        assert!(
            (800..1_200).contains(&counts[1]) && counts[2] == 0,
            "{counts:?}"
        );
    }

    #[test]
    fn who_asks_gets_it_and_a_key_stays_where_it_is() {
        let split = split(Some("cookie:user"));
        for _ in 0..100 {
            assert_eq!(choose(&split, &[("x-canary", "always")]), Some(1));
        }
        for user in 0..50 {
            let cookie = format!("user={user}");
            let fields = [("cookie", &*cookie), ("x-canary", "never")];
            let first = choose(&split, &fields);
            assert!((0..10).all(|_| choose(&split, &fields) == first));
        }
    }

    #[test]
    fn conditions_have_a_place_and_perhaps_a_value() {
        for good in ["header:X", "cookie:a=b=c", "query:q="] {
            assert!(good.parse::<Condition>().is_ok(), "{good}");
        }
        for bad in ["", "bearer", "header:", "ip=1", "x"] {
            assert!(bad.parse::<Condition>().is_err(), "{bad}");
        }
    }
}

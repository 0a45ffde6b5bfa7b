//! What can be asked, and what comes of it.

use std::fmt;
use std::net::SocketAddr;

/// More than a balancer has use for; those that come later in the order are left out.
const MOST: usize = 1000;
/// So many addresses are named in a line of the log.
const SHOWN: usize = 8;

/// Something that names lead to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Question {
    /// All addresses of a host, IPv4 and IPv6.
    Addresses {
        /// A name, lower case; an address is its own answer.
        host: Box<str>,
        /// Goes into the answer as it is.
        port: u16,
    },
    /// The SRV records (RFC 2782) of a service, and the addresses of their targets.
    Services {
        /// The whole name, such as `_http._tcp.users.example.com`; the search list does not hold for it.
        name: Box<str>,
    },
}

/// What a question has come to. Equal answers are equal, whatever order the resolver gave them in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// By priority, then address, every address once. Empty where the name is known to lead nowhere.
    pub(crate) resolved: Box<[Resolved]>,
}

/// One place that a name leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Resolved {
    /// Where to connect to.
    pub(crate) address: SocketAddr,
    /// Its part of the requests, as compared with others of the same priority; at least 1. Each address of an SRV
    /// record's target has the weight of the record; an address that several records lead to, the sum of theirs.
    pub(crate) weight: u32,
    /// Lower ones go first; others are for when none of these can be used. 0 where there is none.
    pub(crate) priority: u32,
}

impl Answer {
    /// The answer with these places, in any order.
    pub(super) fn new(mut places: Vec<Resolved>) -> Self {
        places.sort_by_key(|place| (place.address, place.priority));
        places.dedup_by(|next, kept| {
            let same = next.address == kept.address;
            if same && next.priority == kept.priority {
                kept.weight = kept.weight.saturating_add(next.weight);
            }
            same
        });
        places.sort_by_key(|place| (place.priority, place.address));
        places.truncate(MOST);
        Self {
            resolved: places.into(),
        }
    }
}

impl fmt::Display for Question {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addresses { host, .. } => formatter.write_str(host),
            Self::Services { name } => formatter.write_str(name),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.resolved.is_empty() {
            return formatter.write_str("none");
        }
        for (index, place) in self.resolved.iter().take(SHOWN).enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(formatter, "{comma}{}", place.address)?;
        }
        match self.resolved.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(formatter, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(address: &str, weight: u32, priority: u32) -> Resolved {
        let address = address.parse().unwrap();
        Resolved {
            address,
            weight,
            priority,
        }
    }

    #[test]
    fn the_order_of_records_makes_no_difference() {
        let (one, two) = (place("10.0.0.9:80", 1, 0), place("10.0.0.10:80", 1, 0));
        let six = place("[::1]:80", 1, 0);
        let answer = Answer::new(vec![six, two, one]);
        assert_eq!(answer, Answer::new(vec![one, six, two]));
        assert_eq!(*answer.resolved, [one, two, six]);
    }

    #[test]
    fn an_address_is_there_once_where_it_matters_most() {
        let places = vec![
            place("10.0.0.1:80", 5, 2),
            place("10.0.0.1:80", 3, 1),
            place("10.0.0.1:80", 4, 1),
            place("10.0.0.1:81", 1, 0),
        ];
        let wanted = [place("10.0.0.1:81", 1, 0), place("10.0.0.1:80", 7, 1)];
        assert_eq!(*Answer::new(places).resolved, wanted);
    }

    #[test]
    fn a_line_of_the_log_names_some() {
        let places = (1..=10).map(|n| place(&format!("10.0.0.{n}:80"), 1, 0));
        let shown = Answer::new(places.collect()).to_string();
        assert!(shown.starts_with("10.0.0.1:80, 10.0.0.2:80, "), "{shown}");
        assert!(shown.ends_with("10.0.0.8:80 and 2 more"), "{shown}");
        assert_eq!(Answer::default().to_string(), "none");
    }

    #[test]
    fn answers_have_a_largest_size() {
        let places = (0..2 * MOST).map(|n| place(&format!("10.0.0.1:{}", n + 1), 1, 0));
        assert_eq!(Answer::new(places.collect()).resolved.len(), MOST);
    }
}

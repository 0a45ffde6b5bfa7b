//! What can be asked, and what comes of it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// More than a balancer has use for; those that come later in the order are left out.
const MOST: usize = 1000;
/// Each is tried before a connection is given up on.
const MOST_FALLBACKS: usize = 2;
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resolved {
    /// Where to connect to.
    pub(crate) address: SocketAddr,
    /// Where to connect to when that fails: addresses of the same host and the other family.
    pub(crate) fallbacks: Box<[SocketAddr]>,
    /// Its part of the requests, as compared with others of the same priority; at least 1. Each address of an SRV
    /// record's target has the weight of the record; an address that several records lead to, the sum of theirs.
    pub(crate) weight: u32,
    /// Lower ones go first; others are for when none of these can be used. 0 where there is none.
    pub(crate) priority: u32,
}

impl Resolved {
    /// An address that needs no resolver.
    pub(crate) fn literal(address: SocketAddr) -> Self {
        Self {
            address,
            fallbacks: Box::default(),
            weight: 1,
            priority: 0,
        }
    }

    /// The places of a host. If it has IPv4 addresses it is these, and IPv6 ones are to fall back on: of those that have
    /// both it is often the IPv6 one that leads nowhere, and `localhost` listens where it likes.
    pub(in crate::upstream) fn all_of(
        addresses: &[IpAddr],
        (port, weight, priority): (u16, u32, u32),
    ) -> impl Iterator<Item = Self> {
        let mut v4: Vec<SocketAddr> = Vec::new();
        let mut v6: Vec<SocketAddr> = Vec::new();
        for &address in addresses {
            let family = if address.is_ipv4() { &mut v4 } else { &mut v6 };
            family.push((address, port).into());
        }
        // Whatever order the resolver gave them in.
        v4.sort_unstable();
        v6.sort_unstable();
        let (first, others) = if v4.is_empty() { (v6, v4) } else { (v4, v6) };
        first
            .into_iter()
            .enumerate()
            .map(move |(index, address)| Self {
                address,
                // Not the same ones for all.
                fallbacks: others
                    .iter()
                    .cycle()
                    .skip(index)
                    .take(others.len().min(MOST_FALLBACKS))
                    .copied()
                    .collect(),
                weight,
                priority,
            })
    }
}

impl Answer {
    /// The answer with these places, in any order.
    pub(in crate::upstream) fn new(mut places: Vec<Resolved>) -> Self {
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

    /// The places, each with its level: 0 for those of the first priority that there is, 1 for the next.
    pub(crate) fn by_level(&self) -> impl Iterator<Item = (u32, &Resolved)> {
        let levels = self
            .resolved
            .chunk_by(|one, next| one.priority == next.priority);
        let levels = (0..).zip(levels);
        levels.flat_map(|(level, places)| places.iter().map(move |place| (level, place)))
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
        Resolved {
            address: address.parse().unwrap(),
            fallbacks: Box::default(),
            weight,
            priority,
        }
    }

    #[test]
    fn the_order_of_records_makes_no_difference() {
        let (one, two) = (place("10.0.0.9:80", 1, 0), place("10.0.0.10:80", 1, 0));
        let six = place("[::1]:80", 1, 0);
        let answer = Answer::new(vec![six.clone(), two.clone(), one.clone()]);
        let other = vec![one.clone(), six.clone(), two.clone()];
        assert_eq!(answer, Answer::new(other));
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

    /// The places of a host with these addresses, each with what it falls back on.
    fn all_of(addresses: &[&str]) -> Vec<String> {
        let addresses: Vec<IpAddr> = addresses.iter().map(|it| it.parse().unwrap()).collect();
        Resolved::all_of(&addresses, (80, 1, 0))
            .map(|place| {
                let all = [place.address].into_iter().chain(place.fallbacks);
                let all: Vec<_> = all.map(|it| it.ip().to_string()).collect();
                all.join(" ")
            })
            .collect()
    }

    #[test]
    fn a_host_is_its_ipv4_addresses_and_falls_back_on_the_others() {
        assert_eq!(all_of(&["::1", "127.0.0.1"]), ["127.0.0.1 ::1"]);
        assert_eq!(
            all_of(&["fd00::3", "fd00::1", "fd00::2", "10.0.0.2", "10.0.0.1"]),
            ["10.0.0.1 fd00::1 fd00::2", "10.0.0.2 fd00::2 fd00::3"]
        );
    }

    #[test]
    fn a_host_without_ipv4_addresses_is_its_ipv6_ones() {
        assert_eq!(all_of(&["fd00::2", "fd00::1"]), ["fd00::1", "fd00::2"]);
        assert!(all_of(&[]).is_empty());
    }

    #[test]
    fn priorities_are_levels() {
        let places = vec![
            place("10.0.0.1:80", 1, 20),
            place("10.0.0.2:80", 1, 10),
            place("10.0.0.3:80", 1, 10),
        ];
        let answer = Answer::new(places);
        let levels: Vec<_> = answer
            .by_level()
            .map(|(level, place)| format!("{level} {}", place.address))
            .collect();
        assert_eq!(levels, ["0 10.0.0.2:80", "0 10.0.0.3:80", "1 10.0.0.1:80"]);
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

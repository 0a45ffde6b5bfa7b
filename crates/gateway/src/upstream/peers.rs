//! Whom connections are made to, and kept for.
//!
//! A [`Peer`] is one address of one host: endpoints that lead there share its connections, of all upstreams that have no
//! rules of their own for them. It is there for as long as some upstream has it among its members; workers keep no more
//! than a [`PeerRef`], which tells whether it is.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::{Host, Pooling, Scheme, Target};
use crate::counters::PeerCounts;

/// The fewest entries that are looked over for those that are gone.
const FEW: usize = 64;

/// An address of a host that some upstream has among its members.
#[derive(Debug)]
pub(crate) struct Peer {
    /// No other peer ever has the same.
    number: u64,
    /// How connections to it are kept, where the upstream has its own.
    pooling: Option<Arc<Pooling>>,
    /// What is counted of the connections to it.
    counts: Arc<PeerCounts>,
}

/// What is known of a peer by those who do not keep it.
#[derive(Debug, Clone)]
pub(crate) struct PeerRef {
    number: u64,
    peer: Weak<Peer>,
    pooling: Option<Arc<Pooling>>,
    counts: Arc<PeerCounts>,
}

/// All peers, or those of an upstream that has its own. Asked where members are made, and never by requests.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    /// Shared with all others, so that no two peers have the same number.
    next: Arc<AtomicU64>,
    pooling: Option<Arc<Pooling>>,
    /// How many workers count.
    workers: usize,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    peers: HashMap<(Scheme, Host, SocketAddr), Weak<Peer>>,
    /// How many there were that are not gone, when that was looked at last.
    alive: usize,
}

impl Peers {
    /// None yet; so many workers count connections to them.
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            workers,
            ..Self::default()
        }
    }

    /// Those of an upstream that shares none with others, and may have rules of its own for connections.
    pub(crate) fn apart(&self, pooling: Option<Arc<Pooling>>) -> Self {
        Self {
            next: Arc::clone(&self.next),
            pooling,
            workers: self.workers,
            known: Mutex::default(),
        }
    }

    /// The peer at this address of the target's host: the same for as long as somebody keeps it.
    pub(super) fn at(&self, target: &Target, address: SocketAddr) -> Arc<Peer> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (target.scheme, target.host.clone(), address);
        if let Some(peer) = known.peers.get(&key).and_then(Weak::upgrade) {
            return peer;
        }
        known.forget_the_gone();
        let peer = Arc::new(Peer {
            number: self.next.fetch_add(1, Ordering::Relaxed),
            pooling: self.pooling.clone(),
            counts: Arc::new(PeerCounts::new(self.workers)),
        });
        known.peers.insert(key, Arc::downgrade(&peer));
        peer
    }
}

impl Known {
    /// Whenever as many have come as there were: so it costs little for each.
    fn forget_the_gone(&mut self) {
        if self.peers.len() >= FEW + 2 * self.alive {
            self.peers.retain(|_, peer| peer.strong_count() > 0);
            self.alive = self.peers.len();
        }
    }
}

impl PeerRef {
    pub(super) fn to(peer: &Arc<Peer>) -> Self {
        Self {
            number: peer.number,
            peer: Arc::downgrade(peer),
            pooling: peer.pooling.clone(),
            counts: Arc::clone(&peer.counts),
        }
    }

    /// How connections to it are kept, where its upstream has rules of its own.
    pub(crate) fn pooling(&self) -> Option<&Pooling> {
        self.pooling.as_deref()
    }

    /// What is counted of the connections to it.
    pub(crate) const fn counts(&self) -> &Arc<PeerCounts> {
        &self.counts
    }

    /// What tells it from all others, for ever.
    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    /// Whether no upstream has it among its members any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.peer.strong_count() == 0
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::PoolLimits;
    use super::*;

    fn target(url: &str) -> Target {
        Target::parse(url).unwrap()
    }

    fn address(last: u32) -> SocketAddr {
        (std::net::Ipv4Addr::from(last), 80).into()
    }

    #[test]
    fn an_address_of_a_host_is_the_same_peer_for_as_long_as_somebody_keeps_it() {
        let peers = Peers::default();
        let host = target("http://users");
        let first = peers.at(&host, address(1));
        assert!(Arc::ptr_eq(&first, &peers.at(&host, address(1))));
        let known = PeerRef::to(&first);
        for other in [
            peers.at(&host, address(2)),
            peers.at(&target("http://orders"), address(1)),
            peers.at(&target("https://users:80"), address(1)),
        ] {
            assert_ne!(PeerRef::to(&other).number(), known.number());
        }
        assert!(!known.is_gone());
        drop(first);
        assert!(known.is_gone());
        let again = peers.at(&host, address(1));
        assert_ne!(PeerRef::to(&again).number(), known.number());
    }

    #[test]
    fn an_upstream_with_rules_of_its_own_shares_no_peer() {
        let peers = Peers::default();
        let pooling = Arc::new(Pooling {
            limits: PoolLimits {
                most_idle: 1,
                idle: Duration::from_secs(1),
                lifetime: Duration::from_secs(1),
            },
            connections: None,
        });
        let apart = peers.apart(Some(Arc::clone(&pooling)));
        let host = target("http://users");
        let known: Vec<_> = [&peers, &apart]
            .map(|peers| PeerRef::to(&peers.at(&host, address(1))))
            .into();
        assert_ne!(known[0].number(), known[1].number());
        assert!(known[0].pooling().is_none());
        assert!(std::ptr::eq(known[1].pooling().unwrap(), &*pooling));
    }

    #[test]
    fn peers_that_are_gone_take_up_no_room() {
        let peers = Peers::default();
        let host = target("http://users");
        let kept: Vec<_> = (0..100)
            .map(|last| peers.at(&host, address(last)))
            .collect();
        for last in 100..10_000 {
            peers.at(&host, address(last));
        }
        assert!(peers.known.lock().unwrap().peers.len() <= FEW + 2 * kept.len());
    }
}

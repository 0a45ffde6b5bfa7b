//! The sockets of all listeners.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use super::StartError;
use super::inherited::Inherited;
use super::listener;
use super::opening::Opening;
use crate::config::{Listeners, Settings};

/// The listeners' sockets.
#[derive(Debug)]
pub(super) struct Bound {
    /// Those of each worker, and what is spoken there.
    pub(super) of_workers: Vec<Vec<(TcpListener, Arc<Opening>)>>,
    /// Where that is, as URLs, in the order of the configuration.
    pub(super) addresses: Vec<(&'static str, SocketAddr)>,
}

impl Bound {
    /// Binds all listeners, or takes the sockets that are there already. `copies` for whoever hands them on.
    pub(super) fn new(
        listeners: &Listeners,
        settings: &Settings,
        inherited: &mut Inherited,
    ) -> Result<(Self, Vec<TcpListener>), StartError> {
        let there = inherited.at_all(listeners.all.iter().map(|it| it.address));
        let (mut bound, mut copies) = (Vec::new(), Vec::new());
        for (listener, there) in listeners.all.iter().zip(there) {
            let own = listener::bind(listener.setting, listener.address, settings.workers, there)?;
            copies.extend(own.copies()?);
            bound.push((listener, own));
        }
        let with_tls = bound.iter().find(|(listener, _)| listener.tls.is_some());
        let https_port = with_tls.map_or(0, |(_, own)| own.address.port());
        let mut of_workers: Vec<Vec<_>> = (0..settings.workers).map(|_| Vec::new()).collect();
        let mut addresses = Vec::new();
        for (listener, own) in bound {
            addresses.push((listener.scheme(), own.address));
            let opening = Opening::new(listener.clone(), https_port, settings.timeouts.head);
            let opening = Arc::new(opening);
            for (worker, sockets) in of_workers.iter_mut().zip(own.of_workers) {
                worker.extend(sockets.into_iter().map(|it| (it, Arc::clone(&opening))));
            }
        }
        let bound = Self {
            of_workers,
            addresses,
        };
        Ok((bound, copies))
    }
}

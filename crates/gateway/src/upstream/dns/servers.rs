//! The DNS servers, and asking them in turn.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RecordType};

use super::lookup::TARGETS_AT_ONCE;
use super::names::AT_ONCE;

/// Questions of one look-up that a server is asked at once: for both families of some targets.
const PER_LOOK_UP: usize = TARGETS_AT_ONCE * 2;
/// Questions that one server is asked at once: as many as there can be, for one too many is an error.
const MOST_ACTIVE: usize = AT_ONCE * PER_LOOK_UP;
/// A question is sent as often while there is no answer, each time from another socket.
const SENT: usize = 3;

/// How many sockets there are at once at most where so many names are looked up.
pub(crate) const fn most_sockets(names: usize) -> usize {
    let at_once = if names < AT_ONCE { names } else { AT_ONCE };
    at_once * PER_LOOK_UP * SENT
}

/// DNS servers that all know the same.
///
/// Each has a resolver of its own, for the library's way from one server to the next holds one time limit over all of
/// them together: when the first is silent, the second is not asked.
pub(super) struct Servers {
    resolvers: Box<[TokioResolver]>,
    /// The one that has answered last: a server that is down is waited for once, not for every name.
    first: AtomicUsize,
}

impl Servers {
    /// Servers that are waited for as long as `timeout` each.
    pub(super) fn new(addresses: &[SocketAddr], timeout: Duration) -> Self {
        let resolvers = addresses.iter().filter_map(|address| {
            let resolver = resolver(*address, timeout);
            let told = resolver.inspect_err(|error| {
                tracing::warn!(server = %address, %error, "DNS server cannot be used");
            });
            told.ok()
        });
        Self {
            resolvers: resolvers.collect(),
            first: AtomicUsize::new(0),
        }
    }

    /// The records of `name`, a whole one, from the first server that knows whether there are any.
    ///
    /// # Errors
    /// That there are none, or what was wrong with the last server.
    pub(super) async fn look_up(&self, name: &Name, kind: RecordType) -> Result<Lookup, NetError> {
        let first = self.first.load(Ordering::Relaxed);
        let in_turn = self.resolvers.iter().enumerate().cycle().skip(first);
        let mut result = Err(NetError::NoConnections);
        for (index, resolver) in in_turn.take(self.resolvers.len()) {
            result = resolver.lookup(name.clone(), kind).await;
            let has_answered = match &result {
                Ok(_) => true,
                Err(error) => error.is_no_records_found(),
            };
            if has_answered {
                self.first.store(index, Ordering::Relaxed);
                break;
            }
        }
        result
    }
}

fn resolver(address: SocketAddr, timeout: Duration) -> Result<TokioResolver, NetError> {
    let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
    for connection in &mut connections {
        connection.port = address.port();
    }
    let server = NameServerConfig::new(address.ip(), true, connections);
    let config = ResolverConfig::from_name_servers(vec![server]);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options = builder.options_mut();
    *options = ResolverOpts::default();
    options.timeout = timeout;
    options.max_active_requests = MOST_ACTIVE;
    // A datagram that is lost is sent again within the time limit; this would be the whole of it once more.
    options.attempts = 0;
    // When a name is looked up again is decided here, and then it is to be asked for.
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    builder.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_sockets_for_as_many_look_ups_as_there_can_be() {
        assert_eq!(most_sockets(0), 0);
        assert_eq!(most_sockets(1), 12);
        assert_eq!(most_sockets(16), 192);
        assert_eq!(most_sockets(10_000), 192);
    }
}

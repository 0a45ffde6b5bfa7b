//! What the control plane does for upstreams and issuers, for as long as there are such.

use std::sync::Arc;

use crate::auth::RemoteKeys;
use crate::config::{DnsSettings, Snapshot};
use crate::counters::Lookups;
use crate::server::supervisor::{Supervised, supervise};
use crate::server::{StartError, http_client};
use crate::upstream::{self, Names, Upstream};

/// The tasks of the present configuration, and of upstreams that may be used still.
#[derive(Default)]
pub(super) struct Keepers {
    upstreams: Vec<(Arc<Upstream>, Supervised)>,
    keys: Vec<(Arc<RemoteKeys>, Supervised)>,
    /// Resolves names, as soon as there are any.
    names: Option<(Arc<Names>, Supervised)>,
    /// It takes a while to read the system's certificates.
    client: Option<reqwest::Client>,
}

impl Keepers {
    /// Starts what `snapshot` needs and is not there yet.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub(super) fn start(
        &mut self,
        snapshot: &Snapshot,
        dns: &DnsSettings,
        lookups: &Arc<Lookups>,
    ) -> Result<(), StartError> {
        for keys in &snapshot.authority.remote_keys {
            if !self.keys.iter().any(|(known, _)| Arc::ptr_eq(known, keys)) {
                let client = self.client()?;
                let task = keep_keys_fresh(Arc::clone(keys), client);
                self.keys.push((Arc::clone(keys), task));
            }
        }
        for upstream in &snapshot.upstreams {
            if !self
                .upstreams
                .iter()
                .any(|(known, _)| Arc::ptr_eq(known, upstream))
            {
                let names = (upstream.names() > 0).then(|| self.names(dns, lookups));
                let task = keep(Arc::clone(upstream), names);
                self.upstreams.push((Arc::clone(upstream), task));
            }
        }
        Ok(())
    }

    /// Ends what is done for others than these upstreams and the issuers of `snapshot`. What it has ended is given back: it
    /// goes on until that is dropped.
    pub(super) fn retain<'a>(
        &mut self,
        snapshot: &Snapshot,
        upstreams: impl Iterator<Item = &'a Arc<Upstream>>,
    ) -> Vec<Supervised> {
        let upstreams: Vec<_> = upstreams.map(Arc::as_ptr).collect();
        let gone =
            |(upstream, _): &mut (Arc<Upstream>, _)| !upstreams.contains(&Arc::as_ptr(upstream));
        let gone = self.upstreams.extract_if(.., gone);
        let mut ended: Vec<Supervised> = gone.map(|(_, task)| task).collect();
        let keys = &snapshot.authority.remote_keys;
        let gone =
            |(known, _): &mut (Arc<RemoteKeys>, _)| !keys.iter().any(|it| Arc::ptr_eq(it, known));
        ended.extend(self.keys.extract_if(.., gone).map(|(_, task)| task));
        ended
    }

    fn client(&mut self) -> Result<reqwest::Client, StartError> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let client = http_client()?;
        self.client = Some(client.clone());
        Ok(client)
    }

    fn names(&mut self, dns: &DnsSettings, lookups: &Arc<Lookups>) -> Arc<Names> {
        let (names, _) = self.names.get_or_insert_with(|| {
            let names = Arc::new(Names::new(dns, Arc::clone(lookups)));
            let task = resolve(Arc::clone(&names));
            (names, task)
        });
        Arc::clone(names)
    }
}

/// Fetches the keys of an issuer that publishes them.
fn keep_keys_fresh(keys: Arc<RemoteKeys>, client: reqwest::Client) -> Supervised {
    supervise("keys of an issuer", move || {
        let (keys, client) = (Arc::clone(&keys), client.clone());
        async move { keys.keep_fresh(&client).await }
    })
}

fn resolve(names: Arc<Names>) -> Supervised {
    supervise("resolving names", move || {
        let names = Arc::clone(&names);
        async move { names.run().await }
    })
}

/// Follows names, checks endpoints and keeps the balancer up to date.
fn keep(upstream: Arc<Upstream>, names: Option<Arc<Names>>) -> Supervised {
    supervise("an upstream", move || {
        let (upstream, names) = (Arc::clone(&upstream), names.clone());
        async move { upstream::keep(&upstream, names.as_deref()).await }
    })
}

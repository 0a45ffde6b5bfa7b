//! What the machine says about names: the hosts file, and `/etc/resolv.conf`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use hickory_resolver::config::{ResolverConfig, ResolverOpts};
use hickory_resolver::proto::rr::Name;
use hickory_resolver::system_conf::read_system_conf;

use super::hosts::LocalNames;
use super::servers::Servers;
use crate::config::DnsSettings;

const HOSTS: &str = "/etc/hosts";
/// Read by the resolver library, which knows its place on other systems as well.
const RESOLV_CONF: &str = "/etc/resolv.conf";
const DNS_PORT: u16 = 53;
/// The C library's as well: more make of one short name a storm of questions.
const MOST_SEARCHED: usize = 6;

/// The files, and what was read from them last.
pub(super) struct System {
    /// In place of those of the system; may be empty.
    servers: Vec<SocketAddr>,
    /// For an answer of one server.
    timeout: Duration,
    hosts: PathBuf,
    /// What was read last, and from which state of the files.
    read: Mutex<Option<(Stamps, Arc<View>)>>,
}

/// What the files say, and the servers they name.
pub(super) struct View {
    pub(super) local: LocalNames,
    pub(super) servers: Servers,
    search: Search,
}

/// How short names are completed.
#[derive(Debug, Default)]
struct Search {
    /// What they may end with, in order.
    domains: Vec<Name>,
    /// A name with so many dots is first taken for a whole one.
    ndots: usize,
}

/// By which a change of the files is noticed: when each was changed, and its size.
type Stamps = [Option<(SystemTime, u64)>; 2];

impl System {
    /// The system with these settings. Reads nothing yet.
    pub(super) fn new(settings: &DnsSettings) -> Self {
        Self::with_hosts(settings, HOSTS.into())
    }

    /// [`Self::new`], with another hosts file.
    pub(super) fn with_hosts(settings: &DnsSettings, hosts: PathBuf) -> Self {
        Self {
            servers: settings.servers.clone(),
            timeout: settings.timeout,
            hosts,
            read: Mutex::default(),
        }
    }

    /// What the files say now. They are read when they have changed: they are short, and this is no thread that
    /// requests are served by.
    pub(super) fn view(&self) -> Arc<View> {
        let stamps = [stamp(&self.hosts), stamp(Path::new(RESOLV_CONF))];
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        match &*read {
            Some((of, view)) if *of == stamps => Arc::clone(view),
            _ => {
                let view = Arc::new(self.read_files());
                *read = Some((stamps, Arc::clone(&view)));
                view
            }
        }
    }

    fn read_files(&self) -> View {
        let (config, options) = read_system_conf().unwrap_or_else(|error| {
            tracing::debug!(%error, "no DNS server in the system's configuration");
            (ResolverConfig::default(), ResolverOpts::default())
        });
        let servers = if self.servers.is_empty() {
            system_servers(&config)
        } else {
            self.servers.clone()
        };
        View {
            local: LocalNames::read(&self.hosts),
            servers: Servers::new(&servers, self.timeout),
            search: Search::new(&config, options.ndots),
        }
    }
}

impl View {
    /// The whole names that `name` may stand for, in the order in which they are to be tried.
    pub(super) fn candidates(&self, name: &Name) -> Vec<Name> {
        self.search.candidates(name)
    }
}

#[cfg(test)]
impl View {
    pub(super) const TIMEOUT_FOR_TESTS: Duration = Duration::from_millis(500);

    /// No hosts file, these servers, and a search list of these domains.
    pub(super) fn for_tests(servers: &[SocketAddr], domains: &[&str]) -> Self {
        let domains = domains
            .iter()
            .filter_map(|domain| Name::from_ascii(domain).ok());
        Self {
            local: LocalNames::default(),
            servers: Servers::new(servers, Self::TIMEOUT_FOR_TESTS),
            search: Search {
                domains: domains.collect(),
                ndots: 1,
            },
        }
    }
}

impl Search {
    fn new(config: &ResolverConfig, ndots: usize) -> Self {
        let mut domains = config.search().to_vec();
        if domains.is_empty() {
            domains.extend(config.domain().cloned());
        }
        domains.truncate(MOST_SEARCHED);
        Self { domains, ndots }
    }

    fn candidates(&self, name: &Name) -> Vec<Name> {
        let mut whole = name.clone();
        whole.set_fqdn(true);
        if name.is_fqdn() {
            return vec![whole];
        }
        let dots = usize::from(name.num_labels()).saturating_sub(1);
        let mut candidates = Vec::with_capacity(self.domains.len() + 1);
        if dots >= self.ndots {
            candidates.push(whole.clone());
        }
        for domain in &self.domains {
            // One that is too long is no name.
            let Ok(mut completed) = name.clone().append_domain(domain) else {
                continue;
            };
            completed.set_fqdn(true);
            if !candidates.contains(&completed) {
                candidates.push(completed);
            }
        }
        if !candidates.contains(&whole) {
            candidates.push(whole);
        }
        candidates
    }
}

/// Where the configuration names none, the one on this machine is meant (resolv.conf(5)).
fn system_servers(config: &ResolverConfig) -> Vec<SocketAddr> {
    let mut servers: Vec<SocketAddr> = config
        .name_servers()
        .iter()
        .map(|server| {
            let connection = server.connections.first();
            (
                server.ip,
                connection.map_or(DNS_PORT, |connection| connection.port),
            )
                .into()
        })
        .collect();
    if servers.is_empty() {
        servers.push((Ipv4Addr::LOCALHOST, DNS_PORT).into());
    }
    servers
}

fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(ndots: usize, domains: &[&str], name: &str) -> Vec<String> {
        let domains = domains
            .iter()
            .map(|domain| Name::from_ascii(domain).unwrap());
        let search = Search {
            domains: domains.collect(),
            ndots,
        };
        let candidates = search.candidates(&Name::from_ascii(name).unwrap());
        candidates.iter().map(Name::to_ascii).collect()
    }

    #[test]
    fn short_names_are_completed_before_they_are_taken_for_whole_ones() {
        let cluster = ["team.svc.cluster.local", "svc.cluster.local"];
        assert_eq!(
            candidates(5, &cluster, "users"),
            [
                "users.team.svc.cluster.local.",
                "users.svc.cluster.local.",
                "users."
            ]
        );
        assert_eq!(
            candidates(1, &["example.com"], "users.internal"),
            ["users.internal.", "users.internal.example.com."]
        );
    }

    #[test]
    fn whole_names_are_not_completed() {
        assert_eq!(candidates(5, &["example.com"], "users."), ["users."]);
        assert_eq!(candidates(1, &[], "users"), ["users."]);
        assert_eq!(candidates(1, &["."], "users"), ["users."]);
    }

    #[test]
    fn a_name_that_would_be_too_long_is_left_out() {
        let long = [
            "a".repeat(60),
            "b".repeat(60),
            "c".repeat(60),
            "d".repeat(60),
        ]
        .join(".");
        assert_eq!(candidates(9, &["example.com"], &long), [format!("{long}.")]);
    }

    #[test]
    fn the_files_are_read_again_when_they_have_changed() {
        let file = std::env::temp_dir().join(format!("api-gateway-hosts-{:x}", fastrand::u64(..)));
        std::fs::write(&file, "10.0.0.1 users\n").unwrap();
        let settings = DnsSettings {
            servers: Vec::new(),
            timeout: Duration::from_secs(1),
        };
        let system = System::with_hosts(&settings, file.clone());
        let users = Name::from_ascii("Users").unwrap();
        let addresses = || system.view().local.addresses(&users);
        assert_eq!(addresses(), Some(vec![Ipv4Addr::new(10, 0, 0, 1).into()]));
        assert!(Arc::ptr_eq(&system.view(), &system.view()));
        std::fs::write(&file, "10.0.0.2 other users # mine\n::1 users\n").unwrap();
        assert_eq!(addresses().map(|found| found.len()), Some(2));
        std::fs::remove_file(&file).unwrap();
        assert_eq!(addresses(), None);
        let local = system
            .view()
            .local
            .addresses(&Name::from_ascii("localhost").unwrap());
        assert_eq!(local.map(|found| found.len()), Some(2));
    }
}

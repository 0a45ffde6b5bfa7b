//! Names that need no DNS server: those in the hosts file, and `localhost`.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use hickory_resolver::Hosts;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::domain::usage::LOCALHOST;
use hickory_resolver::proto::rr::{Name, RecordType};

/// The hosts file as it was read.
#[derive(Debug, Default)]
pub(super) struct LocalNames {
    hosts: Hosts,
}

impl LocalNames {
    /// Reads the file. A file that cannot be read holds no names, as for the C library.
    pub(super) fn read(path: &Path) -> Self {
        let mut hosts = Hosts::default();
        let read = File::open(path).and_then(|file| hosts.read_hosts_conf(file));
        if let Err(error) = read {
            tracing::debug!(path = %path.display(), %error, "hosts file not read");
        }
        Self { hosts }
    }

    /// The addresses of `name`, if no DNS server is to be asked for it. A name that is in the file has those in the
    /// file and no others: somebody who writes an IPv4 address there wants the IPv6 one of the DNS no more. But `localhost`
    /// is this machine in both families, whatever half of that is in the file.
    pub(super) fn addresses(&self, name: &Name) -> Option<Vec<IpAddr>> {
        let mut in_file: Vec<IpAddr> = [RecordType::A, RecordType::AAAA]
            .into_iter()
            .filter_map(|kind| {
                let query = Query::query(name.clone(), kind);
                self.hosts.lookup_static_host(&query)
            })
            .flat_map(|found| {
                let addresses = found.answers().iter();
                let addresses = addresses.filter_map(|record| record.data.ip_addr());
                addresses.collect::<Vec<_>>()
            })
            .collect();
        if LOCALHOST.zone_of(name) && in_file.iter().all(IpAddr::is_loopback) {
            let mut missing: Vec<IpAddr> =
                vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
            missing.retain(|one| in_file.iter().all(|it| it.is_ipv4() != one.is_ipv4()));
            in_file.extend(missing);
        }
        (!in_file.is_empty()).then_some(in_file)
    }
}

//! One look-up of a question: whatever records it takes, put together to one outcome.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use hickory_resolver::lookup::Lookup as Records;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::ProtoError;
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use tokio::time::timeout;

use super::names::Ask;
use super::question::{Answer, Question, Resolved};
use super::schedule::{MOST_RETRY, Outcome};
use super::system::{System, View};

/// For one look-up, all of its steps together.
const LIMIT: Duration = Duration::from_secs(30);
/// What needs no DNS server has no time to live, and costs next to nothing: a change of the hosts file is seen so soon.
const LOCAL_TTL: Duration = Duration::from_secs(5);
/// More SRV records are not looked at, those of the highest priority numbers first.
const MOST_TARGETS: usize = 100;
/// Targets that are looked up at once.
pub(super) const TARGETS_AT_ONCE: usize = 2;

/// Looks one question up, again and again.
pub(super) struct Lookup {
    system: Arc<System>,
    question: Question,
    /// What the names that the last good look-up has asked for came to: for those that fail next time.
    remembered: Memory,
}

type Memory = HashMap<Name, Box<[IpAddr]>>;

/// Why a name could not be looked up.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookupError {
    #[error("{0}")]
    Dns(#[from] NetError),
    #[error("it is no name that the DNS could hold: {0}")]
    Name(#[from] ProtoError),
    #[error("no answer within {} seconds", LIMIT.as_secs())]
    TimedOut,
}

/// Why there is no address.
enum Nothing {
    Absent { ttl: Option<Duration> },
    Failed(LookupError),
}

/// The addresses of one name.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    /// The whole name that has them.
    name: Name,
    addresses: Box<[IpAddr]>,
    ttl: Duration,
}

/// What records of one kind there are: the addresses in them, and for how long that holds.
type Family = Result<(Vec<IpAddr>, Duration), Nothing>;

impl Lookup {
    pub(super) fn new(system: Arc<System>, question: Question) -> Self {
        Self {
            system,
            question,
            remembered: Memory::new(),
        }
    }

    async fn look_up(&mut self) -> Result<(Answer, Duration), Nothing> {
        let view = self.system.view();
        let (answer, ttl, memory) = match &self.question {
            Question::Addresses { host, port } => {
                let found = addresses_of_host(&view, host, &self.remembered).await?;
                let places = Resolved::all_of(&found.addresses, (*port, 1, 0));
                let answer = Answer::new(places.collect());
                (answer, found.ttl, [(found.name, found.addresses)].into())
            }
            Question::Services { name } => services(&view, name, &self.remembered).await?,
        };
        self.remembered = memory;
        Ok((answer, ttl))
    }
}

impl Ask for Lookup {
    type Error = LookupError;

    async fn ask(&mut self) -> Outcome<LookupError> {
        match timeout(LIMIT, self.look_up()).await {
            Ok(Ok((answer, ttl))) => Outcome::Found { answer, ttl },
            Ok(Err(Nothing::Absent { ttl })) => Outcome::Absent { ttl },
            Ok(Err(Nothing::Failed(error))) => Outcome::Failed(error),
            Err(_) => Outcome::Failed(LookupError::TimedOut),
        }
    }
}

async fn addresses_of_host(view: &View, host: &str, memory: &Memory) -> Result<Found, Nothing> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(Found {
            name: Name::root(),
            addresses: [address].into(),
            ttl: LOCAL_TTL,
        });
    }
    addresses(view, &name(host)?, memory).await
}

/// The addresses of the first of the names that `name` may stand for that has any.
///
/// A candidate that the servers cannot tell about is passed over, as search lists often hold domains that are out of
/// their reach; but then it is not said that there is no such name. Where no server answers, the rest is not tried: what
/// it found might be somebody else's.
async fn addresses(view: &View, name: &Name, memory: &Memory) -> Result<Found, Nothing> {
    if let Some(addresses) = view.local.addresses(name) {
        return Ok(Found {
            name: name.clone(),
            addresses: addresses.into(),
            ttl: LOCAL_TTL,
        });
    }
    let mut nothing = Nothing::Absent { ttl: None };
    for candidate in view.candidates(name) {
        match both_families(view, &candidate, memory).await {
            Ok(found) => return Ok(found),
            Err(failed @ Nothing::Failed(LookupError::Dns(NetError::Dns(_)))) => nothing = failed,
            Err(failed @ Nothing::Failed(_)) => return Err(failed),
            Err(absent @ Nothing::Absent { .. }) => {
                if let Nothing::Absent { .. } = nothing {
                    nothing = absent;
                }
            }
        }
    }
    Err(nothing)
}

async fn both_families(view: &View, name: &Name, memory: &Memory) -> Result<Found, Nothing> {
    let (v4, v6) = futures_util::join!(
        family(view, name, RecordType::A),
        family(view, name, RecordType::AAAA)
    );
    let remembered = memory.get(name).map_or(&[][..], |addresses| addresses);
    let (addresses, ttl) = merge(v4, v6, remembered)?;
    Ok(Found {
        name: name.clone(),
        addresses: addresses.into(),
        ttl,
    })
}

async fn family(view: &View, name: &Name, kind: RecordType) -> Family {
    let records = view.servers.look_up(name, kind).await?;
    let answers = records.answers().iter();
    let addresses: Vec<IpAddr> = answers.filter_map(|record| record.data.ip_addr()).collect();
    if addresses.is_empty() {
        return Err(Nothing::Absent { ttl: None });
    }
    Ok((addresses, time_to_live(&records)))
}

/// Both families together. One that fails has the addresses that it had, and is asked for again before long; when none
/// is found, a failure goes before the news that the other family is absent.
fn merge(v4: Family, v6: Family, remembered: &[IpAddr]) -> Family {
    let those = |are_v4: bool| {
        let remembered = remembered.iter().copied();
        remembered.filter(move |address| address.is_ipv4() == are_v4)
    };
    let (mut found, missing) = match (v4, v6) {
        (Ok((mut addresses, ttl)), Ok((more, other_ttl))) => {
            addresses.extend(more);
            return Ok((addresses, ttl.min(other_ttl)));
        }
        (Ok(found), Err(Nothing::Failed(error))) => {
            tracing::debug!(%error, "no AAAA records");
            (found, those(false).collect::<Vec<_>>())
        }
        (Err(Nothing::Failed(error)), Ok(found)) => {
            tracing::debug!(%error, "no A records");
            (found, those(true).collect())
        }
        (Ok(found), Err(Nothing::Absent { .. })) | (Err(Nothing::Absent { .. }), Ok(found)) => {
            return Ok(found);
        }
        (Err(Nothing::Absent { ttl }), Err(Nothing::Absent { ttl: other_ttl })) => {
            let ttl = ttl.into_iter().chain(other_ttl).min();
            return Err(Nothing::Absent { ttl });
        }
        (Err(failed @ Nothing::Failed(_)), Err(_)) | (Err(_), Err(failed)) => return Err(failed),
    };
    found.0.extend(missing);
    Ok((found.0, found.1.min(MOST_RETRY)))
}

/// The places that the SRV records of a name lead to. A target that is absent is left out; one that fails has the
/// addresses that it had.
async fn services(
    view: &View,
    service: &str,
    memory: &Memory,
) -> Result<(Answer, Duration, Memory), Nothing> {
    let mut whole = name(service)?;
    whole.set_fqdn(true);
    let records = view.servers.look_up(&whole, RecordType::SRV).await?;
    let mut ttl = time_to_live(&records);
    let lookups = targets(&records).into_iter().map(|record| async move {
        let found = addresses(view, &record.target, memory).await;
        (record, found)
    });
    let mut lookups = stream::iter(lookups).buffered(TARGETS_AT_ONCE);
    let (mut places, mut found, mut failure) = (Vec::new(), Memory::new(), None);
    while let Some((record, target)) = lookups.next().await {
        let addresses = match target {
            Ok(target) => {
                ttl = ttl.min(target.ttl);
                target.addresses
            }
            Err(Nothing::Absent { .. }) => continue,
            Err(Nothing::Failed(error)) => {
                tracing::debug!(target = %record.target, %error, "target of a service not resolved");
                ttl = ttl.min(MOST_RETRY);
                failure = Some(error);
                memory.get(&record.target).cloned().unwrap_or_default()
            }
        };
        places.extend(places_of(&record, &addresses));
        found.insert(record.target, addresses);
    }
    match failure {
        Some(error) if places.is_empty() => Err(Nothing::Failed(error)),
        None if places.is_empty() => Err(Nothing::Absent { ttl: Some(ttl) }),
        _ => Ok((Answer::new(places), ttl, found)),
    }
}

/// The records that name a target, those that go first first.
fn targets(records: &Records) -> Vec<SRV> {
    let records = records.answers().iter();
    let mut targets: Vec<SRV> = records
        .filter_map(|record| match &record.data {
            // RFC 2782: a target of "." says that there is no such service here.
            RData::SRV(record) if !record.target.is_root() => Some(record.clone()),
            _ => None,
        })
        .collect();
    targets.sort_by_key(|record| record.priority);
    targets.truncate(MOST_TARGETS);
    targets
}

fn places_of(record: &SRV, addresses: &[IpAddr]) -> impl Iterator<Item = Resolved> {
    // RFC 2782: a weight of 0 is to be chosen hardly ever, and, where all are 0, as often as any other.
    let weight = u32::from(record.weight).max(1);
    Resolved::all_of(addresses, (record.port, weight, record.priority.into()))
}

/// The name, taken as it is: backends' names hold underscores, which host names must not.
fn name(text: &str) -> Result<Name, Nothing> {
    Name::from_ascii(text).map_err(|error| Nothing::Failed(error.into()))
}

fn time_to_live(records: &Records) -> Duration {
    let now = Instant::now();
    records.valid_until().saturating_duration_since(now)
}

impl From<NetError> for Nothing {
    fn from(error: NetError) -> Self {
        match error {
            NetError::Dns(DnsError::NoRecordsFound(none)) => {
                let ttl = none.negative_ttl.map(|ttl| Duration::from_secs(ttl.into()));
                Self::Absent { ttl }
            }
            error => Self::Failed(error.into()),
        }
    }
}

#[cfg(test)]
#[path = "lookup_tests.rs"]
mod tests;

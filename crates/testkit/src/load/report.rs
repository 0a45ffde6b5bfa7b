//! What came of a load.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

/// What came of a request.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its number.
    pub id: u64,
    /// Its method.
    pub method: &'static str,
    /// When it was due, since the load began.
    pub offered: Duration,
    /// From when it was due to the end of its answer, or to its failure.
    pub latency: Duration,
    /// How it ended.
    pub outcome: Outcome,
    /// The port of the backend that has answered, where the answer says so.
    pub backend: Option<u16>,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// With an answer, from first byte to last.
    Answered {
        /// Its status.
        status: u16,
        /// The code of a problem document.
        code: Option<Box<str>>,
    },
    /// Without.
    Failed(Failure),
}

/// Why there was no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No connection.
    Connect,
    /// The connection was closed before the answer began.
    Closed,
    /// The connection was reset before the answer was there.
    Reset,
    /// The answer broke off.
    Cut,
    /// The answer was not HTTP.
    Malformed,
    /// Patience was at its end.
    Timeout,
}

/// The requests that were due in one second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Second {
    /// All of them.
    pub offered: usize,
    /// Those that failed.
    pub failed: usize,
}

/// The records of a load, or some of them, in the order in which they were due.
#[derive(Debug, Clone, Default)]
pub struct Report {
    records: Vec<Record>,
}

impl Record {
    /// Whether there was an answer below 400.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        matches!(self.outcome, Outcome::Answered { status, .. } if status < 400)
    }

    /// Whether its method may be repeated (RFC 9110 §9.2.2).
    #[must_use]
    pub fn is_idempotent(&self) -> bool {
        !matches!(self.method, "POST" | "PATCH" | "CONNECT")
    }
}

impl Display for Outcome {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered { status, code: None } => write!(to, "{status}"),
            Self::Answered {
                status,
                code: Some(code),
            } => write!(to, "{status} {code}"),
            Self::Failed(failure) => to.write_str(match failure {
                Failure::Connect => "no connection",
                Failure::Closed => "closed",
                Failure::Reset => "reset",
                Failure::Cut => "cut",
                Failure::Malformed => "malformed",
                Failure::Timeout => "timeout",
            }),
        }
    }
}

impl FromIterator<Record> for Report {
    fn from_iter<I: IntoIterator<Item = Record>>(records: I) -> Self {
        let mut records: Vec<Record> = records.into_iter().collect();
        records.sort_unstable_by_key(|record| record.id);
        Self { records }
    }
}

impl Report {
    /// All records.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The report of some of the requests.
    #[must_use]
    pub fn of(&self, wanted: impl Fn(&Record) -> bool) -> Self {
        let records = self.records.iter().filter(|record| wanted(record));
        Self {
            records: records.cloned().collect(),
        }
    }

    /// How many requests there were.
    #[must_use]
    pub fn total(&self) -> usize {
        self.records.len()
    }

    /// How many failed.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.failures().count()
    }

    /// How many failed, by what they ended with.
    #[must_use]
    pub fn failures_by_kind(&self) -> BTreeMap<String, usize> {
        let mut kinds = BTreeMap::new();
        for record in self.failures() {
            *kinds.entry(record.outcome.to_string()).or_default() += 1;
        }
        kinds
    }

    /// How many were offered and failed in each second since the load began.
    #[must_use]
    pub fn per_second(&self) -> Vec<Second> {
        let mut seconds = Vec::new();
        for record in &self.records {
            let second = usize::try_from(record.offered.as_secs()).unwrap_or(usize::MAX);
            if seconds.len() <= second {
                seconds.resize(second + 1, Second::default());
            }
            seconds[second].offered += 1;
            seconds[second].failed += usize::from(!record.succeeded());
        }
        seconds
    }

    /// How many each backend has answered, by its port.
    #[must_use]
    pub fn by_backend(&self) -> BTreeMap<u16, usize> {
        let mut backends = BTreeMap::new();
        for port in self.records.iter().filter_map(|record| record.backend) {
            *backends.entry(port).or_default() += 1;
        }
        backends
    }

    /// The latency below which this part (0 to 1) of the successful requests stayed; none when none was.
    #[must_use]
    pub fn latency(&self, quantile: f64) -> Option<Duration> {
        let successes = self.records.iter().filter(|record| record.succeeded());
        let mut latencies: Vec<Duration> = successes.map(|record| record.latency).collect();
        latencies.sort_unstable();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss
        )]
        let rank = (latencies.len() as f64 * quantile).ceil() as usize;
        latencies.get(rank.max(1) - 1).copied()
    }

    fn failures(&self) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(|record| !record.succeeded())
    }
}

//! What goes wrong.

mod keep_alive;
mod killed;
mod outage;
mod reload;
mod rolling;
mod slow;
mod storm;
mod upgrade;

use testkit::load::Report;

use crate::Plan;

/// A thing that goes wrong, and what is counted meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Scenario {
    /// One of three endpoints is killed under load.
    Killed,
    /// All three are restarted, one after the other, each with draining.
    Rolling,
    /// A server closes idle connections as they are used again.
    KeepAlive,
    /// One of three is tenfold slow.
    Slow,
    /// Every answer is a failure.
    Storm,
    /// All three are down for a while.
    Outage,
    /// The gateway is upgraded while it serves.
    Upgrade,
    /// Nothing does, but routes are replaced all the time; `scripts/reload` runs it.
    Reload,
}

/// What was counted in a scenario.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// What went wrong.
    pub(crate) title: String,
    /// Names and values, in the order of the report.
    pub(crate) figures: Vec<(String, String)>,
}

impl Scenario {
    pub(crate) const ALL: [Self; 7] = [
        Self::Killed,
        Self::Rolling,
        Self::KeepAlive,
        Self::Slow,
        Self::Storm,
        Self::Outage,
        Self::Upgrade,
    ];

    pub(crate) async fn run(self, plan: &Plan) -> Outcome {
        match self {
            Self::Killed => killed::run(plan).await,
            Self::Rolling => rolling::run(plan).await,
            Self::KeepAlive => keep_alive::run(plan).await,
            Self::Slow => slow::run(plan).await,
            Self::Storm => storm::run(plan).await,
            Self::Outage => outage::run(plan).await,
            Self::Upgrade => upgrade::run(plan).await,
            Self::Reload => reload::run(plan).await,
        }
    }
}

impl Outcome {
    fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            figures: Vec::new(),
        }
    }

    fn figure(mut self, name: impl Into<String>, value: impl ToString) -> Self {
        self.figures.push((name.into(), value.to_string()));
        self
    }

    /// How many failed of how many, and of what.
    fn failures(self, name: &str, report: &Report) -> Self {
        let kinds = report.failures_by_kind();
        let kinds: Vec<String> = kinds
            .iter()
            .map(|(kind, count)| format!("{count} × {kind}"))
            .collect();
        let of = format!("{} of {}", report.failed(), report.total());
        self.figure(
            name,
            match kinds.is_empty() {
                true => of,
                false => format!("{of} ({})", kinds.join(", ")),
            },
        )
    }
}

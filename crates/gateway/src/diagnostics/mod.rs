//! What the gateway says about itself, on standard error. There is one for the whole process, as there is one standard
//! error.

mod recent;

pub(crate) use recent::{RecentEvent, recent_events};

use std::io::{IsTerminal, stderr};
use std::sync::OnceLock;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload::{Error, Handle};
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogFormat, Settings, log_filter};
use recent::Recent;

/// Replaces the filter; none before the diagnostics have started.
static FILTER: OnceLock<Box<dyn Filter>> = OnceLock::new();

/// Why the level is not changed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LevelError {
    /// It is not understood.
    #[error("level {0}")]
    Unknown(String),
    /// There are no diagnostics yet.
    #[error("there are no diagnostics to be changed")]
    NotStarted,
}

/// The filter that is in force, whatever form the lines have.
trait Filter: Send + Sync {
    fn replace(&self, filter: EnvFilter) -> Result<(), Error>;
    fn text(&self) -> Result<String, Error>;
}

impl<S> Filter for Handle<EnvFilter, S> {
    fn replace(&self, filter: EnvFilter) -> Result<(), Error> {
        self.reload(filter)
    }

    fn text(&self) -> Result<String, Error> {
        self.with_current(ToString::to_string)
    }
}

/// Diagnostics go to standard error from here on.
pub(crate) fn start(settings: &Settings) {
    let subscriber = tracing_subscriber::fmt().with_writer(stderr);
    let filter = EnvFilter::new(&settings.log_level);
    // Whoever comes second has no part in it.
    let _first = match settings.log_format {
        LogFormat::Json => {
            let subscriber = subscriber.json().with_env_filter(filter);
            let subscriber = subscriber.with_filter_reloading();
            let first = FILTER.set(Box::new(subscriber.reload_handle()));
            let _first = subscriber.finish().with(Recent).try_init();
            first
        }
        LogFormat::Text => {
            let colours = stderr().is_terminal();
            let subscriber = subscriber.with_ansi(colours).with_target(false);
            let subscriber = subscriber.with_env_filter(filter).with_filter_reloading();
            let first = FILTER.set(Box::new(subscriber.reload_handle()));
            let _first = subscriber.finish().with(Recent).try_init();
            first
        }
    };
}

/// The filter that is in force, as `LOG_LEVEL` has it.
pub(crate) fn level() -> Option<String> {
    FILTER.get()?.text().ok()
}

/// Has `level` be in force from now on; it is read as `LOG_LEVEL` is.
///
/// # Errors
/// When it is none; then the one before stays.
pub(crate) fn set_level(level: &str) -> Result<(), LevelError> {
    let level = log_filter(level).map_err(LevelError::Unknown)?;
    let filter = EnvFilter::new(level);
    let current = FILTER.get().ok_or(LevelError::NotStarted)?;
    current.replace(filter).map_err(|_| LevelError::NotStarted)
}

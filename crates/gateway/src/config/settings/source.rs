//! Where values come from, and which one counts.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use load_balancer::Locality;

use super::RollbackSettings;
use super::table::{SETTINGS, Setting};
use super::values;
use crate::config::Finding;
use crate::middleware::client_address::TrustedProxies;
use crate::middleware::cors::Cors;
use crate::upstream::Target;

/// Values as given: flag before environment before `.env` file before default.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The `.env` file, whether or not there is one.
    file: PathBuf,
    values: HashMap<&'static str, Given>,
}

/// A value that somebody has given.
#[derive(Clone)]
struct Given {
    value: String,
    origin: Origin,
}

impl fmt::Debug for Given {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It may be a secret.
        self.origin.fmt(formatter)
    }
}

/// Where a value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    Flag,
    Environment,
    /// With the number of its line, from 1.
    File(PathBuf, usize),
}

/// A value that is not allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingError {
    variable: &'static str,
    origin: Origin,
    /// None when it is not for showing.
    value: Option<String>,
    allowed: String,
}

impl fmt::Display for SettingError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            variable,
            origin,
            value,
            allowed,
        } = self;
        match value {
            Some(value) => write!(formatter, "{variable}=\"{value}\" ({origin}): {allowed}"),
            None => write!(formatter, "{variable} ({origin}): {allowed}"),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => formatter.write_str("flag"),
            Self::Environment => formatter.write_str("environment"),
            Self::File(path, line) => write!(formatter, "{}:{line}", path.display()),
        }
    }
}

impl Sources {
    /// Values from a `.env` file, the environment and flags. There need not be a `.env` file. An empty value is none, but
    /// for a secret that has a default: a variable that was to hold it, and does not, must not lead to what everybody
    /// knows.
    ///
    /// # Errors
    /// When there is a file, and it cannot be read or is malformed.
    pub fn gather(
        env_file: &Path,
        environment: impl Fn(&str) -> Option<String>,
        flag: impl Fn(&Setting) -> Option<String>,
    ) -> Result<Self, Finding> {
        let mut sources = Self::in_file(env_file)?;
        for setting in SETTINGS {
            sources.add(setting, environment(setting.variable), Origin::Environment);
            sources.add(setting, flag(setting), Origin::Flag);
        }
        Ok(sources)
    }

    /// Those in a `.env` file only.
    fn in_file(path: &Path) -> Result<Self, Finding> {
        let mut sources = Self {
            file: path.to_owned(),
            ..Self::default()
        };
        sources.add_file(path)?;
        Ok(sources)
    }

    /// The variables that have another value in the `.env` file by now, where neither the environment nor a flag goes before it.
    ///
    /// # Errors
    /// When the file cannot be read any more, or is malformed.
    pub(crate) fn changed(&self) -> Result<Vec<&'static str>, Finding> {
        let now = Self::in_file(&self.file)?;
        let of_file = |sources: &Self, variable| {
            let given = sources.values.get(variable);
            let in_file = given.filter(|given| matches!(given.origin, Origin::File(..)));
            in_file.map(|given| given.value.clone())
        };
        let variables = SETTINGS.iter().map(|setting| setting.variable);
        let changed = variables.filter(|&variable| {
            let before = self.values.get(variable);
            before.is_none_or(|before| matches!(before.origin, Origin::File(..)))
                && of_file(self, variable) != of_file(&now, variable)
        });
        Ok(changed.collect())
    }

    fn add_file(&mut self, path: &Path) -> Result<(), Finding> {
        let failed = |message: String| Finding {
            file: path.display().to_string(),
            position: None,
            message,
        };
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed(format!("cannot be read: {error}"))),
        };
        for (index, pair) in dotenvy::from_read_iter(text.as_bytes()).enumerate() {
            // The library's message would show the line, and with it perhaps a secret.
            let (name, value) = pair.map_err(|_| {
                failed(format!(
                    "entry {} is malformed; write NAME=value, with quotes around spaces",
                    index + 1
                ))
            })?;
            if let Some(setting) = SETTINGS.iter().find(|setting| setting.variable == name) {
                let line = line_of(&text, setting.variable);
                self.add(setting, Some(value), Origin::File(path.to_owned(), line));
            }
        }
        Ok(())
    }

    fn add(&mut self, setting: &Setting, value: Option<String>, origin: Origin) {
        let must_be_given = setting.secret && !setting.default.is_empty();
        if let Some(value) = value.filter(|value| must_be_given || !value.is_empty()) {
            self.values
                .insert(setting.variable, Given { value, origin });
        }
    }
}

/// The last line of a `.env` file that sets `variable`.
fn line_of(text: &str, variable: &str) -> usize {
    let sets = |line: &str| {
        let line = line.trim_start();
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        line.strip_prefix(variable)
            .is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    text.lines()
        .enumerate()
        .filter(|(_, line)| sets(line))
        .last()
        .map_or(1, |(index, _)| index + 1)
}

/// Takes values out of their sources, and gathers what is wrong with them.
pub(super) struct Reader<'a> {
    sources: &'a Sources,
    errors: Vec<SettingError>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(sources: &'a Sources) -> Self {
        Self {
            sources,
            errors: Vec::new(),
        }
    }

    /// The value of a setting; its default's when the one given is not allowed.
    #[allow(clippy::expect_used)]
    pub(super) fn value<T>(
        &mut self,
        variable: &'static str,
        parse: fn(&str) -> Result<T, String>,
    ) -> T {
        let setting = SETTINGS
            .iter()
            .find(|setting| setting.variable == variable)
            .expect("every setting is in the table");
        if let Some(Given { value, origin }) = self.sources.values.get(variable) {
            let parsed = if value.is_empty() {
                Err("is empty; give it a value, or leave it out".to_owned())
            } else {
                parse(value)
            };
            match parsed {
                Ok(value) => return value,
                Err(allowed) => {
                    let value = (!setting.secret).then(|| value.clone());
                    self.errors.push(SettingError {
                        variable,
                        origin: origin.clone(),
                        value,
                        allowed,
                    });
                }
            }
        }
        parse(setting.default).expect("defaults are constants, and a test reads all of them")
    }

    pub(super) fn is_given(&self, variable: &str) -> bool {
        self.sources.values.contains_key(variable)
    }

    /// `BACKEND_URLS` where it is given, else `BACKEND_URL`.
    pub(super) fn backends(&mut self) -> Vec<Target> {
        if self.is_given("BACKEND_URLS") {
            self.value("BACKEND_URLS", values::targets)
        } else {
            self.value("BACKEND_URL", values::target)
        }
    }

    /// `ROLLBACK_*`, where changes may be taken back.
    pub(super) fn rollback(&mut self) -> Option<RollbackSettings> {
        let window = self.value("ROLLBACK_WINDOW", values::duration_or_off);
        let percent = self.value("ROLLBACK_THRESHOLD", values::percent);
        let min_requests = self.value("ROLLBACK_MIN_REQUESTS", values::request_count);
        Some(RollbackSettings {
            window: window?,
            #[allow(clippy::cast_precision_loss, reason = "it is 100 at most")]
            threshold: percent as f64 / 100.0,
            min_requests: min_requests as u64,
        })
    }

    /// `ZONE` and `REGION`, where either is given.
    pub(super) fn locality(&mut self) -> Option<Locality> {
        let zone = self.value("ZONE", values::optional_text);
        let region = self.value("REGION", values::optional_text);
        (zone.is_some() || region.is_some()).then(|| Locality {
            zone: zone.map(Into::into),
            region: region.map(Into::into),
        })
    }

    /// `ALLOWED_ORIGINS`; the policy that there is by default does not go before a backend's own.
    pub(super) fn cors(&mut self) -> Option<Arc<Cors>> {
        let yields = !self.is_given("ALLOWED_ORIGINS");
        let cors = self.value("ALLOWED_ORIGINS", values::cors)?;
        Some(Arc::new(Cors { yields, ..cors }))
    }

    /// Those of `TRUSTED_PROXIES`, or so many as `TRUSTED_PROXY_HOPS` says.
    pub(super) fn trusted_proxies(&mut self) -> TrustedProxies {
        let networks = self.value("TRUSTED_PROXIES", values::networks);
        match self.value("TRUSTED_PROXY_HOPS", values::hops) {
            0 => TrustedProxies::Networks(networks),
            hops => {
                if !networks.is_empty() {
                    self.contradiction(
                        "TRUSTED_PROXY_HOPS",
                        "stands together with TRUSTED_PROXIES; use one of the two",
                    );
                }
                TrustedProxies::Hops(hops)
            }
        }
    }

    /// Says that two settings contradict each other.
    pub(super) fn contradiction(&mut self, variable: &'static str, message: &str) {
        if let Some(Given { origin, .. }) = self.sources.values.get(variable) {
            self.errors.push(SettingError {
                variable,
                origin: origin.clone(),
                value: None,
                allowed: message.to_owned(),
            });
        }
    }

    pub(super) fn finish<T>(self, settings: T) -> Result<T, Vec<SettingError>> {
        if self.errors.is_empty() {
            Ok(settings)
        } else {
            Err(self.errors)
        }
    }
}

//! Where values come from, and which one counts.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::table::{SETTINGS, Setting};
use super::values;
use crate::config::Finding;
use crate::upstream::Target;

/// Values as given: flag before environment before `.env` file before default.
#[derive(Debug, Clone, Default)]
pub struct Sources {
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
    File(PathBuf),
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
            Self::File(path) => write!(formatter, "{}", path.display()),
        }
    }
}

impl Sources {
    /// Values from a `.env` file, the environment and flags. There need not be a `.env` file. An empty value is none.
    ///
    /// # Errors
    /// When there is a file, and it cannot be read or is malformed.
    pub fn gather(
        env_file: &Path,
        environment: impl Fn(&str) -> Option<String>,
        flag: impl Fn(&Setting) -> Option<String>,
    ) -> Result<Self, Finding> {
        let mut sources = Self::default();
        sources.add_file(env_file)?;
        for setting in SETTINGS {
            sources.add(setting, environment(setting.variable), Origin::Environment);
            sources.add(setting, flag(setting), Origin::Flag);
        }
        Ok(sources)
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
                self.add(setting, Some(value), Origin::File(path.to_owned()));
            }
        }
        Ok(())
    }

    fn add(&mut self, setting: &Setting, value: Option<String>, origin: Origin) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.values
                .insert(setting.variable, Given { value, origin });
        }
    }
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
            match parse(value) {
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

    pub(super) fn finish<T>(self, settings: T) -> Result<T, Vec<SettingError>> {
        if self.errors.is_empty() {
            Ok(settings)
        } else {
            Err(self.errors)
        }
    }
}

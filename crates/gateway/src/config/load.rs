//! From settings to a snapshot.

use std::io::ErrorKind;

use super::document::Document;
use super::finding::{ConfigErrors, Finding};
use super::live::Carried;
use super::routes::{Compiled, Credentials, Sources, compile, default_route};
use super::source_files::{Fingerprint, Reading, SourceFiles};
use super::{Settings, Snapshot, consumers};
use crate::auth::{SigningKey, TokenIssuer};
use crate::middleware::client_address::TrustedProxies;

/// A configuration that can be served.
#[derive(Debug)]
pub struct Loaded {
    /// What requests see.
    pub snapshot: Snapshot,
    /// What the author should know.
    pub warnings: Vec<Finding>,
    /// What has been read.
    pub(crate) files: Fingerprint,
}

/// Where routes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RoutesSource {
    /// The routes file.
    File,
    /// The routes file, and where it is not there, a route that leads everything to the default backends.
    FileOrDefault,
    /// This, in its place.
    Text(String),
}

/// Reads, checks and compiles the routes file that `settings` names. Where it is not there, and nobody has asked for
/// it, everything goes to the default backends.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load(settings: &Settings) -> Result<Loaded, ConfigErrors> {
    let source = if settings.routes_config_path_is_given {
        RoutesSource::File
    } else {
        RoutesSource::FileOrDefault
    };
    load_first(settings, &source)
}

/// The configuration of a start, with routes from `source`.
///
/// # Errors
/// Everything that is wrong with it.
pub(crate) fn load_first(
    settings: &Settings,
    source: &RoutesSource,
) -> Result<Loaded, ConfigErrors> {
    let files = SourceFiles::new(Reading::AtStart);
    load_with(settings, source, &Carried::default(), &files).0
}

/// [`load`], where there is a configuration already, of which what is known is carried over. Also says what files were read,
/// whether or not something is wrong with them.
pub(crate) fn load_again(
    settings: &Settings,
    source: &RoutesSource,
    carried: &Carried,
) -> (Result<Loaded, ConfigErrors>, Fingerprint) {
    let files = SourceFiles::new(Reading::Again);
    load_with(settings, source, carried, &files)
}

fn load_with(
    settings: &Settings,
    source: &RoutesSource,
    carried: &Carried,
    files: &SourceFiles,
) -> (Result<Loaded, ConfigErrors>, Fingerprint) {
    let loaded = load_from(settings, source, Sources { carried, files });
    let files = files.fingerprint();
    let loaded = loaded.map(|loaded| Loaded {
        files: files.clone(),
        ..loaded
    });
    (loaded, files)
}

fn load_from(
    settings: &Settings,
    source: &RoutesSource,
    sources: Sources<'_>,
) -> Result<Loaded, ConfigErrors> {
    let file = match source {
        RoutesSource::File | RoutesSource::FileOrDefault => {
            settings.routes_config_path.display().to_string()
        }
        // It has no file, and its places are in what was sent.
        RoutesSource::Text(_) => "routes".to_owned(),
    };
    let about_file = |message: String| Finding {
        file: file.clone(),
        position: None,
        message,
    };
    let read = match source {
        RoutesSource::File | RoutesSource::FileOrDefault => {
            sources.files.read(&settings.routes_config_path)
        }
        RoutesSource::Text(text) => Ok(text.clone().into_bytes()),
    };
    let bytes = match read {
        Ok(bytes) => bytes,
        Err(error)
            if error.kind() == ErrorKind::NotFound && *source == RoutesSource::FileOrDefault =>
        {
            let backends: Vec<String> = settings.backends.iter().map(ToString::to_string).collect();
            let message = format!("not there; everything goes to {}", backends.join(", "));
            let credentials = credentials(settings, sources)?;
            let snapshot = default_route(settings, credentials, sources).map_err(ConfigErrors)?;
            let mut warnings = vec![about_file(message)];
            warnings.extend(doubtful(settings));
            return Ok(Loaded {
                snapshot,
                warnings,
                files: Fingerprint::default(),
            });
        }
        Err(error) => {
            return Err(ConfigErrors(vec![about_file(format!(
                "cannot be read: {error}"
            ))]));
        }
    };
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        ConfigErrors(vec![about_file(format!(
            "is not UTF-8 text, from byte {at} on"
        ))])
    })?;
    let document = Document::parse(&file, &text).map_err(|finding| ConfigErrors(vec![finding]))?;
    let Compiled {
        mut snapshot,
        mut warnings,
    } = compile(
        &document,
        settings,
        credentials(settings, sources)?,
        sources,
    )
    .map_err(ConfigErrors)?;
    warnings.extend(doubtful(settings));
    snapshot.text = Some(text.into());
    Ok(Loaded {
        snapshot,
        warnings,
        files: Fingerprint::default(),
    })
}

/// Settings that are possible, and rarely meant.
fn doubtful(settings: &Settings) -> Vec<Finding> {
    let mut warnings = Vec::new();
    let mut warn = |variable: &str, message: &str| {
        warnings.push(Finding {
            file: variable.to_owned(),
            position: None,
            message: message.to_owned(),
        });
    };
    if let TrustedProxies::Networks(networks) = &settings.trusted_proxies
        && networks.iter().any(|network| network.prefix_len() == 0)
    {
        warn(
            "TRUSTED_PROXIES",
            "everybody is believed: anybody can make up the address of the client; list the proxies, or use TRUSTED_PROXY_HOPS",
        );
    }
    let secret = settings.api_key_secret.as_ref();
    if secret.is_some_and(|secret| secret.expose().len() < 16) {
        warn(
            "API_KEY_SECRET",
            "is shorter than 16 bytes; make one by: openssl rand -base64 32",
        );
    }
    warnings
}

fn credentials(settings: &Settings, sources: Sources<'_>) -> Result<Credentials, ConfigErrors> {
    Ok(Credentials {
        issuer: read_token_issuer(settings, sources.files)
            .map_err(|finding| ConfigErrors(vec![finding]))?,
        consumers: consumers::load(settings, sources).map_err(ConfigErrors)?,
    })
}

/// What makes the gateway's own tokens: the signing key where there is one, else the secret.
///
/// # Errors
/// When the key cannot be used.
pub(crate) fn token_issuer(settings: &Settings) -> Result<TokenIssuer, Finding> {
    read_token_issuer(settings, &SourceFiles::new(Reading::AtStart))
}

fn read_token_issuer(settings: &Settings, files: &SourceFiles) -> Result<TokenIssuer, Finding> {
    let jwt = &settings.jwt;
    let key = match &jwt.signing_key {
        None => SigningKey::secret(jwt.secret.expose().as_bytes()),
        Some(path) => {
            let failed = |message: String| Finding {
                file: path.display().to_string(),
                position: None,
                message: format!("JWT_SIGNING_KEY {message}"),
            };
            let text = files
                .read_text(path)
                .map_err(|error| failed(format!("cannot be read: {error}")))?;
            SigningKey::from_pem(&text)
                .map_err(|error| failed(format!("cannot be used: it is {error}")))?
        }
    };
    Ok(TokenIssuer {
        key,
        issuer: jwt.issuer.as_str().into(),
        lifetime: jwt.expiration,
    })
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;

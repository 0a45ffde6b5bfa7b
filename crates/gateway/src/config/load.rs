//! From settings to a snapshot.

use std::io::ErrorKind;
use std::sync::Arc;

use super::document::Document;
use super::finding::{ConfigErrors, Finding};
use super::routes::{Compiled, Credentials, compile, default_route};
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
}

/// Reads, checks and compiles the routes file that `settings` names. Where it is not there, and nobody has asked for
/// it, everything goes to the default backends.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load(settings: &Settings) -> Result<Loaded, ConfigErrors> {
    let file = settings.routes_config_path.display().to_string();
    let about_file = |message: String| Finding {
        file: file.clone(),
        position: None,
        message,
    };
    let bytes = match std::fs::read(&settings.routes_config_path) {
        Ok(bytes) => bytes,
        Err(error)
            if error.kind() == ErrorKind::NotFound && !settings.routes_config_path_is_given =>
        {
            let backends: Vec<String> = settings.backends.iter().map(ToString::to_string).collect();
            let message = format!("not there; everything goes to {}", backends.join(", "));
            let snapshot = default_route(settings, credentials(settings)?).map_err(ConfigErrors)?;
            let mut warnings = vec![about_file(message)];
            warnings.extend(doubtful(settings));
            return Ok(Loaded { snapshot, warnings });
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
        snapshot,
        mut warnings,
    } = compile(&document, settings, credentials(settings)?).map_err(ConfigErrors)?;
    warnings.extend(doubtful(settings));
    Ok(Loaded { snapshot, warnings })
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

fn credentials(settings: &Settings) -> Result<Credentials, ConfigErrors> {
    Ok(Credentials {
        issuer: token_issuer(settings).map_err(|finding| ConfigErrors(vec![finding]))?,
        consumers: consumers::load(settings)
            .map_err(ConfigErrors)?
            .map(Arc::new),
    })
}

/// What makes the gateway's own tokens: the signing key where there is one, else the secret.
///
/// # Errors
/// When the key cannot be used.
pub(crate) fn token_issuer(settings: &Settings) -> Result<TokenIssuer, Finding> {
    let jwt = &settings.jwt;
    let key = match &jwt.signing_key {
        None => SigningKey::secret(jwt.secret.expose().as_bytes()),
        Some(path) => {
            let failed = |message: String| Finding {
                file: path.display().to_string(),
                position: None,
                message: format!("JWT_SIGNING_KEY {message}"),
            };
            let text = std::fs::read_to_string(path)
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

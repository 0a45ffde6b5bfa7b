//! The sample backends of `api-gateway demo`, on the addresses that `configs/routes.json` names.

mod collections;
mod faults;
mod streams;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use tokio::net::TcpListener;

use crate::auth::TokenIssuer;
use crate::config::{Listeners, Settings};

/// How long the token in the banner is valid.
const TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// A sample backend cannot be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    /// Its port is taken, or may not be used.
    #[error(
        "the sample backend \"{name}\" cannot listen on {address}: {error}; stop the program that does"
    )]
    Listen {
        /// Which backend.
        name: &'static str,
        /// Where.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// There is no certificate.
    #[error("cannot make a certificate: {0}")]
    Certificate(Box<dyn std::error::Error + Send + Sync>),
}

/// Where the demo serves HTTPS, unless PORT is another.
const HTTPS_PORT: u16 = 8443;

/// The sample backends: name, port, what they serve.
fn backends() -> [(&'static str, u16, Router); 6] {
    [
        ("users", 8081, collections::users()),
        ("orders", 8082, collections::orders()),
        ("websocket echo", 8083, streams::echo()),
        ("events", 8084, streams::events()),
        ("slow", 8085, faults::slow()),
        ("flaky", 8086, faults::flaky()),
    ]
}

/// Starts all sample backends on `host` and the present runtime; they run as long as it does.
///
/// # Errors
/// When one of their ports is taken.
pub(crate) async fn start(host: IpAddr) -> Result<(), DemoError> {
    for (name, port, router) in backends() {
        let failed = |address| {
            move |error| DemoError::Listen {
                name,
                address,
                error,
            }
        };
        let address = SocketAddr::from((host, port));
        let listener = TcpListener::bind(address).await.map_err(failed(address))?;
        spawn(listener, router.clone());
        // `localhost` may mean either; there need not be an IPv6.
        if host == Ipv4Addr::LOCALHOST
            && let Ok(listener) = TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await
        {
            spawn(listener, router);
        }
    }
    Ok(())
}

fn spawn(listener: TcpListener, router: Router) {
    tokio::spawn(async move { axum::serve(listener, router).await });
}

/// Where nothing is said about listeners, one more with TLS, and a certificate that is made now. Its port.
///
/// # Errors
/// When the certificate cannot be made.
pub(crate) fn add_https(
    listeners: &mut Listeners,
    settings: &Settings,
) -> Result<Option<u16>, DemoError> {
    let listening = &settings.listening;
    if listening.file.is_some() || listening.setting != "PORT" {
        return Ok(None);
    }
    // Port 0 is any free one, here too.
    let port = if settings.port == 0 { 0 } else { HTTPS_PORT };
    listeners
        .add_self_signed(SocketAddr::new(settings.host, port), &["localhost"])
        .map_err(DemoError::Certificate)?;
    Ok(Some(port))
}

/// What to try, for people at a terminal.
pub(crate) fn banner(settings: &Settings, https: Option<u16>, issuer: &TokenIssuer) -> String {
    let base = format!("http://localhost:{}", settings.port);
    let token = token(settings, issuer);
    let https = https.map_or_else(String::new, |port| {
        format!("\n  curl --insecure https://localhost:{port}/api/users")
    });
    format!(
        "Try:\n  \
         curl {base}/api/users{https}\n  \
         curl {base}/api/users/1\n  \
         curl -H \"Authorization: Bearer {token}\" {base}/api/orders\n  \
         curl -N {base}/events\n  \
         curl {base}/slow?seconds=1\n  \
         curl -i -N -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' \\\n       \
         -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' --max-time 2 {base}/ws/echo\n\
         Ctrl-C ends.\n"
    )
}

/// A token for the line that needs one. Only that by the documented secret is shown: output is kept in logs, and one by
/// a secret of the user's own opens what is theirs.
fn token(settings: &Settings, issuer: &TokenIssuer) -> String {
    if !settings.jwt.is_default() {
        return "$(api-gateway token --sub demo)".to_owned();
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let claims = [("sub".to_owned(), "demo".into())];
    issuer
        .issue(claims.into_iter().collect(), TOKEN_LIFETIME, now)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::config::{Sources, token_issuer};

    #[test]
    fn the_banner_shows_no_token_by_a_secret_of_the_users_own() {
        let banner_with = |secret: Option<&str>| {
            let find = |name: &str| secret.filter(|_| name == "JWT_SECRET").map(str::to_owned);
            let sources = Sources::gather(Path::new("/nowhere/.env"), find, |_| None).unwrap();
            let settings = Settings::read(&sources).unwrap();
            let issuer = token_issuer(&settings).unwrap();
            banner(&settings, None, &issuer)
        };
        assert!(banner_with(None).contains("Bearer ey"));
        let own = banner_with(Some("a secret of the user's own, long enough"));
        assert!(!own.contains("Bearer ey") && own.contains("$(api-gateway token --sub demo)"));
    }

    #[test]
    fn the_sample_routes_name_exactly_the_sample_backends() {
        let file: serde_json::Value =
            serde_json::from_str(include_str!("../../../../configs/routes.json")).unwrap();
        let mut named = BTreeSet::new();
        for route in file["routes"].as_array().unwrap() {
            let targets = route["targets"].as_array().cloned().unwrap_or_default();
            let urls = targets
                .iter()
                .map(|target| target["url"].clone())
                .chain([route["targetURL"].clone()]);
            named.extend(
                urls.filter_map(|url| url.as_str()?.rsplit(':').next()?.parse::<u16>().ok()),
            );
        }
        let served: BTreeSet<u16> = backends().into_iter().map(|(_, port, _)| port).collect();
        assert_eq!(named, served);
    }
}

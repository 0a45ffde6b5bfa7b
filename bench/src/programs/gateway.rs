//! What all of this is about.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::{Setup, Site};
use crate::token;

pub(super) fn command(site: &Site, program: &Path) -> anyhow::Result<Command> {
    let full = matches!(site.setup, Setup::Full | Setup::Cached);
    let routes: Vec<_> = site
        .routes()
        .iter()
        .map(|path| {
            let mut route = json!({
                "path": format!("{path}*path"),
                "targetURL": format!("http://{}", site.backend),
            });
            if full {
                // All of the chain; nobody comes near the limit.
                route["auth"] = json!({ "scopes": ["users:read"] });
                route["rateLimit"] = json!({ "limit": 1_000_000_000, "window": "1m" });
                route["cors"] = json!({ "origins": ["https://app.example.com"] });
                route["ip"] = json!({ "allow": ["127.0.0.0/8", "::1"] });
            }
            if site.setup == Setup::Cached {
                route["cacheable"] = json!(true);
            }
            route
        })
        .collect();
    let file = site.write("routes.json", &json!({ "routes": routes }).to_string())?;
    let access_log = if full {
        site.folder.join("access.log").display().to_string()
    } else {
        "off".to_owned()
    };
    let (certificate, key) = site.certificate()?;
    let (listen, listen_tls) = (site.listen, site.listen_tls);
    let mut command = Command::new(std::fs::canonicalize(program)?);
    command
        .env("WORKERS", "1")
        .env("LISTEN", format!("http://{listen},https://{listen_tls}"))
        .env("TLS_CERT", certificate)
        .env("TLS_KEY", key)
        .env("ADMIN_ADDR", "off")
        .env("ROUTES_CONFIG_PATH", file)
        .env("ACCESS_LOG", access_log)
        .env("ACCESS_LOG_FORMAT", "json")
        .env("JWT_SECRET", token::SECRET)
        .env("JWT_ISSUER", token::ISSUER);
    Ok(command)
}

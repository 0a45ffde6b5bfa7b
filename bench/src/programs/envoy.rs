//! Envoy, from its wheel on PyPI.

use std::process::Command;

use serde_json::{Value, json};

use super::{Setup, Site};
use crate::token;

pub(super) fn command(site: &Site) -> anyhow::Result<Command> {
    let full = site.setup == Setup::Full;
    let routes: Vec<Value> = site
        .routes()
        .iter()
        .map(|path| json!({ "match": { "prefix": path }, "route": { "cluster": "backend", "timeout": "30s" } }))
        .collect();
    let mut manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "codec_type": "AUTO",
        "upgrade_configs": [{ "upgrade_type": "websocket" }],
        "route_config": { "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": routes }] },
        "http_filters": filters(full),
    });
    if full {
        manager["access_log"] = access_log(site);
    }
    let configuration = json!({
        "static_resources": {
            "listeners": [{
                "address": address(site.listen),
                "filter_chains": [{ "filters": [{
                    "name": "envoy.filters.network.http_connection_manager",
                    "typed_config": manager,
                }] }],
            }],
            "clusters": [{
                "name": "backend",
                "type": "STATIC",
                "circuit_breakers": { "thresholds": [{ "max_connections": 20000, "max_requests": 20000, "max_pending_requests": 20000 }] },
                "load_assignment": {
                    "cluster_name": "backend",
                    "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address(site.backend) } }] }],
                },
            }],
        },
    });
    let file = site.write("envoy.json", &configuration.to_string())?;
    let mut command = Command::new("envoy");
    command
        .args([
            "--concurrency",
            "1",
            "--disable-hot-restart",
            "-l",
            "error",
            "-c",
        ])
        .arg(file);
    Ok(command)
}

fn address(address: std::net::SocketAddr) -> Value {
    json!({ "socket_address": { "address": address.ip().to_string(), "port_value": address.port() } })
}

fn filters(full: bool) -> Vec<Value> {
    let mut filters = Vec::new();
    if full {
        filters.push(filter(
            "jwt_authn",
            json!({
                "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
                "providers": { "bench": {
                    "issuer": token::ISSUER,
                    "local_jwks": { "inline_string": token::key_set().to_string() },
                } },
                "rules": [{ "match": { "prefix": "/" }, "requires": { "provider_name": "bench" } }],
            }),
        ));
    }
    filters.push(filter(
        "router",
        json!({ "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" }),
    ));
    filters
}

fn filter(name: &str, configuration: Value) -> Value {
    json!({ "name": format!("envoy.filters.http.{name}"), "typed_config": configuration })
}

/// One JSON line per request, as the gateway writes.
fn access_log(site: &Site) -> Value {
    json!([{
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": site.folder.join("access.log"),
            "log_format": { "json_format": {
                "time": "%START_TIME%",
                "requestId": "%REQ(X-REQUEST-ID)%",
                "client": "%DOWNSTREAM_REMOTE_ADDRESS%",
                "method": "%REQ(:METHOD)%",
                "path": "%REQ(:PATH)%",
                "status": "%RESPONSE_CODE%",
                "bytesIn": "%BYTES_RECEIVED%",
                "bytesOut": "%BYTES_SENT%",
                "duration": "%DURATION%",
                "upstream": "%UPSTREAM_HOST%",
                "protocol": "%PROTOCOL%",
                "userAgent": "%REQ(USER-AGENT)%",
            } },
        },
    }])
}

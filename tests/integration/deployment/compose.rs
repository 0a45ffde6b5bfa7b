//! `docker-compose.yml`: the whole stack.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{complains, passes, root, text, tool, yamllint};
use crate::gateway;

#[test]
fn the_compose_file_is_valid() {
    passes(&mut yamllint(["docker-compose.yml"]));
    let configuration = configuration();
    let services: BTreeSet<&str> = configuration["services"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        services,
        ["backends", "gateway", "grafana", "prometheus", "redis"].into()
    );
    let bad = std::env::temp_dir().join(format!("api-gateway-compose-{}.yml", std::process::id()));
    std::fs::write(&bad, "services: {gateway: {imagee: x}}\n").unwrap();
    complains(
        tool("docker-compose")
            .arg("--file")
            .arg(&bad)
            .args(["config", "--quiet"]),
    );
    std::fs::remove_file(&bad).unwrap();
}

/// As Compose understands it.
fn configuration() -> Value {
    let mut compose = tool("docker-compose");
    serde_json::from_str(&passes(compose.args(["config", "--format", "json"]))).unwrap()
}

#[test]
fn what_is_mounted_is_there() {
    for (name, service) in configuration()["services"].as_object().unwrap() {
        for volume in service["volumes"].as_array().into_iter().flatten() {
            if volume["type"] == "bind" {
                let source = volume["source"].as_str().unwrap();
                assert!(std::path::Path::new(source).exists(), "{name}: {source}");
            }
        }
    }
}

#[test]
fn prometheus_asks_the_gateway_and_grafana_asks_prometheus() {
    let files = [
        "configs/prometheus.yml",
        "configs/grafana/datasources/prometheus.yml",
    ];
    passes(&mut yamllint(files));
    let configuration = configuration();
    let gateway = &configuration["services"]["gateway"]["environment"];
    let (_, port) = gateway["ADMIN_ADDR"]
        .as_str()
        .unwrap()
        .split_once(':')
        .unwrap();
    let target = format!("\"gateway:{port}\"");
    assert!(text(files[0]).contains(&target), "no target {target}");
    assert!(text(files[1]).contains("url: http://prometheus:9090\n"));
}

#[tokio::test]
async fn the_routes_of_the_stack_lead_to_its_services() {
    let (status, _, error) = gateway()
        .argument("check")
        .env(
            "ROUTES_CONFIG_PATH",
            root().join("deploy/compose/routes.json"),
        )
        .finish()
        .await;
    assert_eq!(status.code(), Some(0), "{error}");
    let configuration = configuration();
    let routes = text("deploy/compose/routes.json");
    let mut hosts = BTreeSet::new();
    for part in routes.split("\"http://").skip(1) {
        hosts.insert(part.split(':').next().unwrap());
    }
    assert_eq!(hosts, ["backends"].into());
    for host in hosts {
        assert!(configuration["services"][host].is_object(), "{host}");
    }
    let redis = configuration["services"]["gateway"]["environment"]["REDIS_URL"].as_str();
    assert_eq!(redis, Some("redis://redis:6379"));
}

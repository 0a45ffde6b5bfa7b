//! The Helm chart, by Helm's own library and the schemas of Kubernetes.

use std::path::{Path, PathBuf};

use super::{complains, passes, text, tool, yamllint};
use crate::gateway;

const CHART: &str = "deploy/helm/api-gateway";

/// The oldest Kubernetes that the chart is for, and a new one.
const VERSIONS: [&str; 2] = ["1.30", "1.37"];

/// Rendered manifests, in a folder that goes with this value.
struct Manifests(PathBuf);

impl Manifests {
    fn of(name: &str, values: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("api-gateway-chart-{}-{name}", std::process::id()));
        passes(chart("render").arg(values).arg(&folder));
        Self(folder)
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> = std::fs::read_dir(&self.0)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        files
    }

    fn names(&self) -> Vec<String> {
        let name = |path: &PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
        self.files().iter().map(name).collect()
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(format!("{name}.yaml"))).unwrap()
    }
}

impl Drop for Manifests {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// Helm, through the few lines of Python beside this file.
fn chart(command: &str) -> std::process::Command {
    let mut python = tool("python");
    python
        .arg("tests/integration/deployment/chart.py")
        .args([command, CHART]);
    python
}

/// Nothing of it that can be left out, and everything.
const LEAST: &str = r#"{"autoscaling": {"enabled": false}, "podDisruptionBudget": {"enabled": false},
    "networkPolicy": {"enabled": false}, "existingRoutesConfigMap": "mine", "drainDelaySeconds": 0,
    "topologySpreadConstraints": []}"#;
const MOST: &str = r#"{"serviceMonitor": {"enabled": true, "labels": {"release": "prometheus"}}, "existingSecret": "gateway",
    "imagePullSecrets": [{"name": "registry"}], "settings": {"WORKERS": 4, "ENABLE_CACHING": false},
    "podAnnotations": {"a": "b"}, "podLabels": {"team": "edge"}, "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"operator": "Exists"}], "service": {"annotations": {"a": "b"}}, "serviceAccount": {"annotations": {"a": "b"}}}"#;

#[test]
fn the_chart_pleases_its_linters() {
    passes(&mut chart("lint"));
    passes(&mut yamllint([CHART]));
    complains(chart("lint").arg(r#"{"settings": {"lower": "case"}}"#));
    complains(chart("lint").arg(r#"{"replcas": 3}"#));
}

#[test]
fn what_it_renders_is_what_kubernetes_takes() {
    for (name, values) in [("least", LEAST), ("default", "{}"), ("most", MOST)] {
        let manifests = Manifests::of(name, values);
        passes(&mut yamllint([&manifests.0]));
        // The schema of a ServiceMonitor is its operator's.
        let files: Vec<_> = manifests
            .files()
            .into_iter()
            .filter(|file| !file.ends_with("servicemonitor.yaml"))
            .collect();
        for version in VERSIONS {
            passes(&mut kubernetes(version, &files));
        }
    }
}

fn kubernetes(version: &str, files: &[impl AsRef<Path>]) -> std::process::Command {
    let mut command = tool("kubernetes-validate");
    command.args(["--strict", "--kubernetes-version", version]);
    command.args(files.iter().map(AsRef::as_ref));
    command
}

#[test]
fn kubernetes_would_refuse_a_misspelt_key() {
    let manifests = Manifests::of("misspelt", "{}");
    let file = manifests.0.join("deployment.yaml");
    let broken = manifests
        .text("deployment")
        .replace("readinessProbe:", "readynessProbe:");
    std::fs::write(&file, broken).unwrap();
    complains(&mut kubernetes(VERSIONS[0], &[file]));
}

#[test]
fn each_part_can_be_switched_on_and_off() {
    let names = |name: &str, values: &str| Manifests::of(name, values).names();
    assert_eq!(
        names("off", LEAST),
        ["deployment", "service", "serviceaccount"]
    );
    assert_eq!(
        names("on", MOST),
        [
            "configmap",
            "deployment",
            "horizontalpodautoscaler",
            "networkpolicy",
            "poddisruptionbudget",
            "service",
            "serviceaccount",
            "servicemonitor"
        ]
    );
    let most = Manifests::of("settings", MOST);
    for part in [
        "name: WORKERS\n              value: \"4\"",
        "value: \"false\"",
        "name: gateway\n          ports",
    ] {
        assert!(most.text("deployment").contains(part), "{part}");
    }
}

#[tokio::test]
async fn the_routes_of_the_chart_are_a_routes_file() {
    let manifests = Manifests::of("routes", "{}");
    let map = manifests.text("configmap");
    let (_, routes) = map.split_once("routes.json: |\n").unwrap();
    let (status, output, error) = gateway()
        .argument("check")
        .file("routes.json", routes)
        .env("ROUTES_CONFIG_PATH", "routes.json")
        .finish()
        .await;
    assert_eq!(status.code(), Some(0), "{error}");
    assert!(output.contains("1 route, 1 target, 0 warnings"), "{output}");
}

#[test]
fn the_chart_has_the_version_of_the_program() {
    let version = format!("appVersion: {}\n", env!("CARGO_PKG_VERSION"));
    assert!(text(format!("{CHART}/Chart.yaml")).contains(&version));
}

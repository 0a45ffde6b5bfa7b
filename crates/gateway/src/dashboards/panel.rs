//! What a dashboard is made of, and the JSON that Grafana reads.

use serde_json::{Value, json};

use super::scope::{Feature, Scope};

/// The columns that Grafana divides a dashboard into, and how many a panel has.
const COLUMNS: usize = 24;
const WIDTH: usize = 8;
const HEIGHT: usize = 8;

/// A dashboard.
pub(super) struct Dashboard {
    pub(super) uid: &'static str,
    pub(super) title: &'static str,
    pub(super) variable: Option<Variable>,
    pub(super) panels: Vec<Panel>,
}

/// What a dashboard is about, to be chosen.
#[derive(Clone, Copy)]
pub(super) enum Variable {
    Route,
    Upstream,
}

/// One panel.
pub(super) struct Panel {
    title: &'static str,
    unit: &'static str,
    /// Shown only where that is used.
    feature: Option<Feature>,
    queries: Vec<(String, &'static str)>,
}

impl Panel {
    /// A diagram over time, in this unit of Grafana's.
    pub(super) const fn new(title: &'static str, unit: &'static str) -> Self {
        Self {
            title,
            unit,
            feature: None,
            queries: Vec::new(),
        }
    }

    /// Only where that is used.
    pub(super) const fn with(mut self, feature: Feature) -> Self {
        self.feature = Some(feature);
        self
    }

    /// With what this asks for, each series under this name.
    pub(super) fn query(mut self, query: impl Into<String>, legend: &'static str) -> Self {
        self.queries.push((query.into(), legend));
        self
    }

    fn to_json(&self, number: usize) -> Value {
        let per_row = COLUMNS / WIDTH;
        let targets = self.queries.iter().zip(["A", "B", "C", "D"]);
        let targets = targets.map(|((query, legend), name)| {
            json!({
                "refId": name, "datasource": datasource(), "expr": query, "legendFormat": legend,
                "exemplar": query.contains("request_duration_seconds_bucket"),
            })
        });
        json!({
            "id": number + 1,
            "type": "timeseries",
            "title": self.title,
            "datasource": datasource(),
            "gridPos": {
                "x": number % per_row * WIDTH, "y": number / per_row * HEIGHT, "w": WIDTH, "h": HEIGHT,
            },
            "fieldConfig": { "defaults": { "unit": self.unit, "min": 0 }, "overrides": [] },
            "options": { "tooltip": { "mode": "multi", "sort": "desc" } },
            "targets": targets.collect::<Vec<_>>(),
        })
    }
}

impl Dashboard {
    /// As Grafana reads it, for what `scope` has.
    pub(super) fn to_json(&self, scope: &Scope) -> Value {
        let panels = self.panels.iter();
        let panels = panels.filter(|panel| scope.uses(panel.feature));
        let panels = panels.enumerate();
        let panels: Vec<Value> = panels.map(|(number, it)| it.to_json(number)).collect();
        let mut variables = vec![json!({
            "name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus",
        })];
        variables.extend(self.variable.map(|variable| variable.to_json(scope)));
        json!({
            "uid": self.uid,
            "title": self.title,
            "tags": ["api-gateway"],
            "schemaVersion": 39,
            "editable": true,
            "refresh": "30s",
            "time": { "from": "now-1h", "to": "now" },
            "links": [{
                "type": "dashboards", "tags": ["api-gateway"], "title": "API gateway", "asDropdown": true,
                "keepTime": true,
            }],
            "templating": { "list": variables },
            "panels": panels,
        })
    }
}

impl Variable {
    fn to_json(self, scope: &Scope) -> Value {
        let (name, label, names, asked) = match self {
            Self::Route => (
                "route",
                "Route",
                &scope.routes,
                "label_values(api_gateway_requests_in_flight, route)",
            ),
            Self::Upstream => (
                "upstream",
                "Upstream",
                &scope.upstreams,
                "label_values(api_gateway_upstream_connections_open, upstream)",
            ),
        };
        match names {
            None => json!({
                "name": name, "label": label, "type": "query", "datasource": datasource(), "query": asked,
                "refresh": 2, "sort": 1,
            }),
            Some(names) => {
                // Grafana takes the list apart at commas.
                let escaped = names.iter().map(|name| name.replace(',', "\\,"));
                json!({
                    "name": name, "label": label, "type": "custom",
                    "query": escaped.collect::<Vec<_>>().join(","),
                })
            }
        }
    }
}

fn datasource() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}

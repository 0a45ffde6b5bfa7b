//! Dashboards for Grafana, made from the routes file: only of what it uses, with the names that it has.
//!
//! ```text
//! scope.rs    for which routes and features
//! panel.rs    what a dashboard is made of, and its JSON
//! content.rs  which panels there are
//! ```

mod content;
mod panel;
mod scope;

pub(crate) use scope::Scope;

use serde_json::Value;

/// The dashboards for a configuration: names of files, and what is in them.
pub(crate) fn all(scope: &Scope) -> Vec<(&'static str, Value)> {
    let dashboards = [
        ("overview.json", content::overview()),
        ("route.json", content::route()),
        ("upstream.json", content::upstream()),
        ("cache-and-limits.json", content::cache_and_limits()),
    ];
    let all = dashboards.into_iter();
    all.map(|(file, dashboard)| (file, dashboard.to_json(scope)))
        .collect()
}

/// A dashboard's file as it is written.
pub(crate) fn pretty(dashboard: &Value) -> String {
    format!("{dashboard:#}\n")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Settings, Sources, load};

    #[test]
    fn the_dashboards_of_the_repository_are_those_that_are_generated() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/grafana/dashboards");
        for (file, dashboard) in all(&Scope::any()) {
            let found = std::fs::read_to_string(folder.join(file)).unwrap_or_default();
            assert!(
                found == pretty(&dashboard),
                "{file} is stale: run `api-gateway dashboards --any-routes --output configs/grafana/dashboards`"
            );
        }
    }

    #[test]
    fn what_a_routes_file_does_not_use_has_no_panel_and_what_it_has_is_a_choice() {
        let settings = Settings::read(&Sources::default()).unwrap();
        let scope = Scope::of(&load(&settings).unwrap().snapshot);
        let text: String = all(&scope).iter().map(|(_, it)| it.to_string()).collect();
        for absent in [
            "breaker_state",
            "rate_limit_decisions",
            "websocket_messages",
        ] {
            let is_there = text.contains(absent);
            assert_eq!(is_there, absent == "websocket_messages", "{absent}");
        }
        assert!(text.contains(r#""query":"default""#), "{text}");
    }
}

//! `api-gateway routes`.

use std::io::Write;
use std::time::Duration;

use super::{CliError, load};
use crate::config::{RouteSummary, Settings, Snapshot, summaries};

const COLUMNS: [&str; 7] = [
    "NAME", "HOSTS", "METHODS", "PATH", "MATCHERS", "TARGETS", "OPTIONS",
];

/// Prints the routes as a table, in the order in which they are matched.
pub(super) fn routes(settings: &Settings) -> Result<(), CliError> {
    let snapshot = load(settings)?.snapshot;
    Ok(std::io::stdout()
        .lock()
        .write_all(table(&snapshot).as_bytes())?)
}

/// The table: columns as wide as their widest cell.
pub(super) fn table(snapshot: &Snapshot) -> String {
    let mut rows = vec![COLUMNS.map(str::to_owned)];
    rows.extend(summaries(snapshot).iter().map(row));
    let widths: Vec<usize> = (0..COLUMNS.len())
        .map(|column| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn row(route: &RouteSummary) -> [String; COLUMNS.len()] {
    let mut options = vec![format!(
        "timeout {:?}",
        Duration::from_secs_f64(route.timeout)
    )];
    if !route.strip_prefix.is_empty() {
        options.push(format!("strip {}", route.strip_prefix));
    }
    if route.auth {
        options.push("auth".to_owned());
    }
    if route.preserve_host {
        options.push("preserve host".to_owned());
    }
    [
        route.name.to_string(),
        joined(&route.hosts, ",", "*"),
        joined(&route.methods, ",", "*"),
        route.path.clone(),
        joined(&route.matchers, " ", "-"),
        route.targets.join(","),
        options.join(", "),
    ]
}

fn joined(items: &[String], separator: &str, none: &str) -> String {
    if items.is_empty() {
        none.to_owned()
    } else {
        items.join(separator)
    }
}

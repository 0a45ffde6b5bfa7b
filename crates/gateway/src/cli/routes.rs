//! `api-gateway routes`.

use std::io::Write;

use super::{CliError, load};
use crate::config::{Destination, Settings, Snapshot};
use crate::router::{HeaderMatch, QueryMatch, RouteMatch, ValueMatch};

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
    rows.extend(
        snapshot
            .router
            .in_match_order()
            .into_iter()
            .map(|route| row(snapshot, route)),
    );
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

fn row(snapshot: &Snapshot, index: usize) -> [String; COLUMNS.len()] {
    let route = &snapshot.routes[index];
    let matched = snapshot.router.route(index);
    let targets_of = |upstream: usize| -> Vec<String> {
        let endpoints = snapshot.upstreams[upstream].endpoints().iter();
        endpoints
            .map(|endpoint| endpoint.target.to_string())
            .collect()
    };
    let targets: Vec<String> = match &route.destination {
        Destination::Upstream(upstream) => targets_of(*upstream),
        Destination::Split(split) => split
            .shares
            .iter()
            .map(|share| {
                let name = &snapshot.upstreams[share.upstream].name;
                format!("{name}:{}", share.weight)
            })
            .collect(),
        Destination::Service(service) => vec![format!("service:{}", service.name())],
    };
    let mut options = vec![format!("timeout {:?}", route.timeout)];
    if !route.strip_prefix.is_empty() {
        options.push(format!("strip {}", route.strip_prefix));
    }
    if route.access.is_some() {
        options.push("auth".to_owned());
    }
    if route.preserve_host {
        options.push("preserve host".to_owned());
    }
    [
        route.name.to_string(),
        any(matched.hosts.iter().map(ToString::to_string).collect()),
        any(matched.methods.iter().map(ToString::to_string).collect()),
        matched.path.to_string(),
        matchers(matched),
        targets.join(","),
        options.join(", "),
    ]
}

fn any(items: Vec<String>) -> String {
    if items.is_empty() {
        "*".to_owned()
    } else {
        items.join(",")
    }
}

fn matchers(matched: &RouteMatch) -> String {
    let shown = |name: &str, value: &ValueMatch| match value {
        ValueMatch::Present => name.to_owned(),
        ValueMatch::Exact(exact) => format!("{name}={exact}"),
    };
    let headers = matched
        .headers
        .iter()
        .map(|HeaderMatch { name, value }| shown(name.as_str(), value));
    let query = matched
        .query
        .iter()
        .map(|QueryMatch { name, value }| format!("?{}", shown(name, value)));
    let all: Vec<String> = headers.chain(query).collect();
    if all.is_empty() {
        "-".to_owned()
    } else {
        all.join(" ")
    }
}

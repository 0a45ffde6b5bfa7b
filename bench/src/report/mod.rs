//! What was measured, for people.

mod plot;
pub(crate) mod row;
mod table;

use std::fs;
use std::path::Path;

use anyhow::Context;

use crate::goals;
use crate::machine;
use crate::measure::{Outcome, Results};
use crate::programs::Program;
use crate::scenario::Scenario;

/// What a scenario came to, at a terminal.
pub(crate) fn text(scenario: Scenario, results: &Results) -> String {
    table::table(scenario, results)
}

/// Writes the report to `path`, and its plot beside it.
pub(crate) fn write(outcome: &Outcome, path: &Path) -> anyhow::Result<()> {
    let plot = path.with_extension("svg");
    fs::write(&plot, plot::plot(outcome)).with_context(|| format!("{}", plot.display()))?;
    let name = plot.file_name().unwrap_or_default().to_string_lossy();
    fs::write(path, markdown(outcome, &name)).with_context(|| format!("{}", path.display()))
}

fn markdown(outcome: &Outcome, plot: &str) -> String {
    let mut text = format!(
        "# Benchmarks\n\n\
         Written by `make bench`. Every program has one worker and one CPU to itself; load and backend share another. \
         What counts is the CPU time that a request costs, user and system, as the kernel counts it: unlike requests \
         per second it says what a program leaves for others, and it hardly depends on the load. The *floor* is a \
         blind TCP forwarder of a few lines: what the kernel alone asks for moving the bytes. Ratios are taken within \
         a round; all figures are medians of {} rounds of {} seconds. Absolute times hold for the machine they were \
         measured on; ratios travel better.\n\n\
         Machine: {}.\n\n![CPU time per request]({plot})\n\n",
        outcome.rounds,
        outcome.seconds,
        machine::describe(),
    );
    let mut versions = vec![vec!["program".to_owned(), "version".to_owned()]];
    for (program, version) in &outcome.versions {
        if *program != Program::Floor {
            versions.push(vec![program.name().to_owned(), version.clone()]);
        }
    }
    for (program, reason) in &outcome.missing {
        versions.push(vec![
            program.name().to_owned(),
            format!("missing: {reason}"),
        ]);
    }
    text.push_str(&table::aligned(&versions));
    text.push_str("\n## Goals\n\n");
    text.push_str(&table::aligned(&goals::table(outcome)));
    text.push_str("\n## Figures\n");
    for (scenario, results) in &outcome.scenarios {
        text.push('\n');
        text.push_str(&table::table(*scenario, results));
    }
    text
}

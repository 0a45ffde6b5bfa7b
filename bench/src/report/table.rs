//! Tables, in Markdown, which reads well at a terminal too.

use std::time::Duration;

use super::row::{Row, rows};
use crate::measure::{Contender, Results};
use crate::programs::{Program, Setup};
use crate::scenario::{IDLE_CONNECTIONS, Scenario};

/// The table of one scenario, with its heading.
pub(crate) fn table(scenario: Scenario, results: &Results) -> String {
    let lines: Vec<Vec<String>> = match results {
        Results::Turns(turns) => {
            let heading = [
                "program",
                "CPU µs/request",
                "user",
                "system",
                "÷ nginx",
                "÷ floor",
                "requests/s",
                "p50 ms",
                "p99 ms",
                "p99.9 ms",
                "peak MiB",
            ];
            std::iter::once(heading.map(str::to_owned).to_vec())
                .chain(rows(turns).iter().map(cells))
                .collect()
        }
        Results::Idle(rows) => {
            let heading = [
                "program".to_owned(),
                format!("KiB per connection, {IDLE_CONNECTIONS} held open"),
            ];
            std::iter::once(heading.to_vec())
                .chain(rows.iter().map(|(contender, bytes)| {
                    vec![name(*contender), format!("{:.2}", bytes / 1024.0)]
                }))
                .collect()
        }
    };
    format!("### {}\n\n{}", scenario.title(), aligned(&lines))
}

/// The contender's name, and what it is set up for unless that is nothing special.
pub(crate) fn name(contender: Contender) -> String {
    let program = contender.program.name();
    match contender.setup {
        Setup::Bare => program.to_owned(),
        Setup::Full => format!("{program}, full chain"),
        Setup::Cached if contender.program == Program::Nginx => format!("{program}, proxy_cache"),
        Setup::Cached => format!("{program}, full chain"),
        Setup::ManyRoutes => format!("{program}, 10,000 routes"),
    }
}

fn cells(row: &Row) -> Vec<String> {
    let ratio =
        |ratio: Option<f64>| ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"));
    let milliseconds = |time: Duration| match time {
        Duration::ZERO => "–".to_owned(),
        time => format!("{:.2}", time.as_secs_f64() * 1e3),
    };
    vec![
        name(row.contender),
        format!("{:.1}", row.cost()),
        format!("{:.1}", row.user),
        format!("{:.1}", row.system),
        ratio(row.to_nginx),
        ratio(row.to_floor),
        format!("{:.0}", row.requests_per_second),
        milliseconds(row.p50),
        milliseconds(row.p99),
        milliseconds(row.p999),
        format!("{:.1}", row.peak_memory as f64 / (1024.0 * 1024.0)),
    ]
}

/// Lines of cells as a Markdown table; the first is its head.
pub(crate) fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            lines
                .iter()
                .map(|line| line[column].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            let padding = " ".repeat(width - cell.chars().count());
            text.push_str(&match column {
                0 => format!("| {cell}{padding} |"),
                _ => format!(" {padding}{cell} |"),
            });
        }
        text.push('\n');
        if number == 0 {
            for (column, width) in widths.iter().enumerate() {
                text.push_str(&match column {
                    0 => format!("|{}|", "-".repeat(width + 2)),
                    _ => format!("{}:|", "-".repeat(width + 1)),
                });
            }
            text.push('\n');
        }
    }
    text
}

//! A plot of CPU time per request, as SVG.

use std::fmt::Write as _;

use super::row::rows;
use super::table::name;
use crate::measure::{Outcome, Results};
use crate::programs::Program;

const LEFT: f64 = 190.0;
const BAR: f64 = 16.0;
const GAP: f64 = 34.0;
const WIDTH: f64 = 720.0;
/// Slower programs would press the others together; their bars are cut.
const MOST: f64 = 4.0;

/// Bars for each scenario: multiples of nginx's CPU time per request.
pub(crate) fn plot(outcome: &Outcome) -> String {
    let mut bars = String::new();
    let mut top = 40.0;
    for (scenario, results) in &outcome.scenarios {
        let Results::Turns(turns) = results else {
            continue;
        };
        let _infallible = writeln!(
            bars,
            r#"<text x="10" y="{top}" font-weight="bold">{}</text>"#,
            scenario.title()
        );
        top += 8.0;
        for row in rows(turns) {
            let Some(ratio) = row.to_nginx else { continue };
            bar(
                &mut bars,
                top,
                &name(row.contender),
                row.contender.program,
                ratio,
            );
            top += BAR + 3.0;
        }
        top += GAP;
    }
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="10" y="18" fill="#555555">CPU time per request as a multiple of nginx's: shorter is better</text>
{bars}</svg>
"##
    )
}

fn bar(out: &mut String, top: f64, label: &str, program: Program, ratio: f64) {
    let scale = (WIDTH - LEFT - 60.0) / MOST;
    let length = ratio.min(MOST) * scale;
    let fill = match program {
        Program::Gateway => "#c2410c",
        Program::Floor => "#cbd5e1",
        _ => "#64748b",
    };
    let more = if ratio > MOST { " →" } else { "" };
    let baseline = top + BAR - 4.0;
    let _infallible = writeln!(
        out,
        r#"<text x="{}" y="{baseline}" text-anchor="end">{label}</text><rect x="{LEFT}" y="{top}" width="{length:.1}" height="{BAR}" fill="{fill}"/><text x="{:.1}" y="{baseline}">{ratio:.2}{more}</text>"#,
        LEFT - 8.0,
        LEFT + length + 6.0,
    );
}

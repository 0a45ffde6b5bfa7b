//! What was counted, for people.

use crate::Plan;
use crate::scenario::Outcome;

/// The outcome of a scenario, at a terminal.
pub(crate) fn text(outcome: &Outcome) -> String {
    let lines: Vec<String> = outcome
        .figures
        .iter()
        .map(|(name, value)| format!("  {name}: {value}"))
        .collect();
    format!("{}\n{}", outcome.title, lines.join("\n"))
}

/// All outcomes, as a page of the documentation.
pub(crate) fn markdown(plan: &Plan, outcomes: &[Outcome]) -> String {
    let mut lines = vec![
        "# Resilience".to_owned(),
        String::new(),
        format!(
            "Written by `scripts/resilience`. What clients notice when backends fail: the real gateway with {} worker(s), \
             backends in processes of their own, and requests that come at their rate whether others have been answered \
             or not. Healthy backends answer within 2 to 6 ms. A request fails when its answer is 400 or above, or does \
             not come. A quarter of all requests are POSTs; the others are GET, PUT and DELETE.",
            plan.workers
        ),
        String::new(),
        "| scenario | figure | measured |".to_owned(),
        "|---|---|---|".to_owned(),
    ];
    for outcome in outcomes {
        let mut title = outcome.title.as_str();
        for (name, value) in &outcome.figures {
            lines.push(format!("| {title} | {name} | {value} |"));
            title = "";
        }
    }
    lines.join("\n") + "\n"
}

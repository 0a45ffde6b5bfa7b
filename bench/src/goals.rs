//! What the gateway is held to, and whether it holds.

use crate::measure::{Contender, Outcome, Results, Turn};
use crate::programs::{Program, Setup};
use crate::report::row;
use crate::scenario::Scenario;

/// A limit to the gateway's cost.
struct Goal {
    scenario: Scenario,
    what: &'static str,
    most: f64,
    figure: Figure,
}

/// What is limited.
enum Figure {
    /// CPU time per request of the gateway in one set-up, as a multiple of another contender's.
    Cost(Setup, Program, Setup),
    /// The time that all but one of a thousand requests take, as a multiple of nginx's.
    P999,
    /// KiB of memory per idle connection.
    Idle,
}

use Figure::{Cost, Idle, P999};

#[rustfmt::skip]
const GOALS: &[Goal] = &[
    goal(Scenario::Small, "CPU ÷ nginx", 0.88, Cost(Setup::Bare, Program::Nginx, Setup::Bare)),
    goal(Scenario::Small, "CPU ÷ floor", 1.12, Cost(Setup::Bare, Program::Floor, Setup::Bare)),
    goal(Scenario::Headers, "CPU ÷ nginx", 0.88, Cost(Setup::Bare, Program::Nginx, Setup::Bare)),
    goal(Scenario::Headers, "CPU ÷ floor", 1.12, Cost(Setup::Bare, Program::Floor, Setup::Bare)),
    goal(Scenario::Full, "CPU ÷ bare nginx", 1.00, Cost(Setup::Full, Program::Nginx, Setup::Bare)),
    goal(Scenario::Full, "CPU ÷ Envoy, full chain", 0.22, Cost(Setup::Full, Program::Envoy, Setup::Full)),
    goal(Scenario::Cached, "CPU ÷ nginx, proxy_cache", 0.60, Cost(Setup::Cached, Program::Nginx, Setup::Cached)),
    goal(Scenario::Http2, "CPU ÷ nginx", 0.75, Cost(Setup::Bare, Program::Nginx, Setup::Bare)),
    goal(Scenario::Tls, "CPU ÷ nginx", 0.95, Cost(Setup::Bare, Program::Nginx, Setup::Bare)),
    goal(Scenario::TlsHttp2, "CPU ÷ nginx", 0.80, Cost(Setup::Bare, Program::Nginx, Setup::Bare)),
    goal(Scenario::TlsLarge, "CPU ÷ nginx", 1.00, Cost(Setup::Bare, Program::Nginx, Setup::Bare)),
    goal(Scenario::TlsHandshake, "CPU ÷ nginx", 1.00, Cost(Setup::Bare, Program::Nginx, Setup::Bare)),
    goal(Scenario::TlsResumption, "CPU ÷ nginx", 1.00, Cost(Setup::Bare, Program::Nginx, Setup::Bare)),
    goal(Scenario::DownloadLarge, "CPU ÷ nginx", 0.90, Cost(Setup::Bare, Program::Nginx, Setup::Bare)),
    goal(Scenario::UploadLarge, "CPU ÷ nginx", 0.90, Cost(Setup::Bare, Program::Nginx, Setup::Bare)),
    goal(Scenario::ManyRoutes, "CPU ÷ one route", 1.03, Cost(Setup::ManyRoutes, Program::Gateway, Setup::Bare)),
    goal(Scenario::Idle, "KiB per connection", 1.5, Idle),
    goal(Scenario::Latency, "p99.9 ÷ nginx", 1.00, P999),
];

const fn goal(scenario: Scenario, what: &'static str, most: f64, figure: Figure) -> Goal {
    Goal {
        scenario,
        what,
        most,
        figure,
    }
}

/// A line for each goal whose scenario was measured; the first is the head.
pub(crate) fn table(outcome: &Outcome) -> Vec<Vec<String>> {
    let head = ["scenario", "what", "goal", "measured", ""];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    for goal in GOALS {
        let results = outcome
            .scenarios
            .iter()
            .find(|(scenario, _)| *scenario == goal.scenario);
        let Some(measured) = results.and_then(|(_, results)| measure(goal, results)) else {
            continue;
        };
        // As exact as it is printed.
        let reached = (measured * 100.0).round() / 100.0 <= goal.most;
        lines.push(vec![
            goal.scenario.title().to_owned(),
            goal.what.to_owned(),
            format!("≤ {:.2}", goal.most),
            format!("{measured:.2}"),
            if reached { "reached" } else { "missed" }.to_owned(),
        ]);
    }
    lines
}

fn measure(goal: &Goal, results: &Results) -> Option<f64> {
    match (&goal.figure, results) {
        (Cost(setup, program, theirs), Results::Turns(turns)) => {
            row::ratio(turns, of_gateway(turns, *setup)?, *program, *theirs)
        }
        (P999, Results::Turns(turns)) => {
            let rows = row::rows(turns);
            let p999 = |program| {
                let row = rows.iter().find(|row| row.contender.program == program)?;
                Some(row.p999.as_secs_f64())
            };
            Some(p999(Program::Gateway)? / p999(Program::Nginx)?)
        }
        (Idle, Results::Idle(rows)) => rows
            .iter()
            .find(|(contender, _)| contender.program == Program::Gateway)
            .map(|(_, bytes)| bytes / 1024.0),
        _ => None,
    }
}

fn of_gateway(turns: &[(Contender, Vec<Turn>)], setup: Setup) -> Option<&[Turn]> {
    let program = Program::Gateway;
    turns
        .iter()
        .find(|(contender, _)| *contender == Contender { program, setup })
        .map(|(_, turns)| turns.as_slice())
}

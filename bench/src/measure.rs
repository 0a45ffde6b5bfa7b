//! The run: every scenario, every program, round after round.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use rustix::thread::CpuSet;

use crate::load::h2load::Targets;
use crate::load::{Figures, Load, Moment, idle};
use crate::process::{CpuTime, MEASURED_CPU, OTHER_CPU, Process};
use crate::programs::{Program, Running, Setup, free_address};
use crate::report;
use crate::scenario::{HELD_BEFORE, IDLE_CONNECTIONS, SHARE, Scenario, Work};

/// What to measure, and how long.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) gateway: PathBuf,
    pub(crate) programs: Vec<Program>,
    pub(crate) scenarios: Vec<Scenario>,
    pub(crate) rounds: usize,
    /// Per turn.
    pub(crate) seconds: f64,
    pub(crate) folder: PathBuf,
    pub(crate) report: Option<PathBuf>,
}

/// A program in one set-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Contender {
    pub(crate) program: Program,
    pub(crate) setup: Setup,
}

/// One turn of a contender.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn {
    pub(crate) load: Figures,
    pub(crate) cpu: CpuTime,
    /// Bytes.
    pub(crate) peak_memory: u64,
}

/// What came of one scenario.
#[derive(Debug)]
pub(crate) enum Results {
    /// Turns of each contender, a turn per round.
    Turns(Vec<(Contender, Vec<Turn>)>),
    /// Bytes per idle connection.
    Idle(Vec<(Contender, f64)>),
}

/// All that is to be reported.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Programs and their versions.
    pub(crate) versions: Vec<(Program, String)>,
    /// Programs that cannot be had, and why.
    pub(crate) missing: Vec<(Program, String)>,
    pub(crate) scenarios: Vec<(Scenario, Results)>,
    pub(crate) rounds: usize,
    pub(crate) seconds: f64,
}

/// Measures what `plan` says, prints it, and writes the report.
pub(crate) fn run(plan: &Plan) -> anyhow::Result<()> {
    std::fs::create_dir_all(&plan.folder)?;
    keep_to(OTHER_CPU)?;
    let mut outcome = Outcome {
        versions: Vec::new(),
        missing: Vec::new(),
        scenarios: Vec::new(),
        rounds: plan.rounds,
        seconds: plan.seconds,
    };
    for &program in &plan.programs {
        match program.version(&plan.gateway) {
            Ok(version) => outcome.versions.push((program, version)),
            Err(error) => {
                eprintln!("missing: {}: {error:#}", program.name());
                outcome.missing.push((program, format!("{error:#}")));
            }
        }
    }
    let programs: Vec<Program> = outcome
        .versions
        .iter()
        .map(|(program, _)| *program)
        .collect();
    let (backend, _process) = start_backend(plan)?;
    for &scenario in &plan.scenarios {
        let results = measure(plan, scenario, &programs, backend)
            .with_context(|| scenario.title().to_owned())?;
        println!("{}", report::text(scenario, &results));
        outcome.scenarios.push((scenario, results));
    }
    match &plan.report {
        Some(path) => report::write(&outcome, path),
        None => Ok(()),
    }
}

fn start_backend(plan: &Plan) -> anyhow::Result<(SocketAddr, Process)> {
    let address = free_address()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("backend").arg(address.to_string());
    let log = plan.folder.join("backend.log");
    let mut process = Process::start(&command, OTHER_CPU, &log)?;
    process.wait_for(address, &log)?;
    Ok((address, process))
}

fn keep_to(cpu: usize) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    rustix::thread::sched_setaffinity(None, &set)
        .with_context(|| format!("CPUs {MEASURED_CPU} and {OTHER_CPU} are needed"))
}

fn measure(
    plan: &Plan,
    scenario: Scenario,
    programs: &[Program],
    backend: SocketAddr,
) -> anyhow::Result<Results> {
    let work = scenario.work()?;
    if let Work::Idle(request) = &work {
        return measure_idle(plan, programs, backend, request);
    }
    let mut running = Vec::new();
    for &program in programs {
        for setup in scenario.setups(program) {
            let started = program.start(setup, backend, &plan.gateway, &plan.folder)?;
            running.push((Contender { program, setup }, started));
        }
    }
    let work = match work {
        Work::Share(load) => Work::Load(share(plan, &running, load)?),
        work => work,
    };
    let mut turns: Vec<(Contender, Vec<Turn>)> = running
        .iter()
        .map(|(contender, _)| (*contender, Vec::new()))
        .collect();
    for round in 0..plan.rounds {
        for ((_, running), (_, turns)) in running.iter().zip(&mut turns) {
            eprint!(
                "\r{}: round {}, {:<12}",
                scenario.title(),
                round + 1,
                running.program.name()
            );
            turns.push(take_turn(plan, running, &work)?);
        }
    }
    eprint!("\r{:78}\r", "");
    Ok(Results::Turns(turns))
}

/// The load at a share of what nginx can do; of what the first contender can do when there is no nginx.
fn share(plan: &Plan, running: &[(Contender, Running)], load: Load) -> anyhow::Result<Load> {
    let measure = running
        .iter()
        .find(|(contender, _)| contender.program == Program::Nginx)
        .or(running.first())
        .context("there is no program to measure")?;
    let turn = take_turn(plan, &measure.1, &Work::Load(load.clone()))?;
    let most = turn.load.requests as f64 / turn.load.elapsed.as_secs_f64();
    Ok(Load {
        rate: Some(most * SHARE),
        ..load
    })
}

fn take_turn(plan: &Plan, running: &Running, work: &Work) -> anyhow::Result<Turn> {
    let process = &running.process;
    let duration = Duration::from_secs_f64(plan.seconds);
    process.reset_peak()?;
    let (mut begin, mut end) = (CpuTime::default(), CpuTime::default());
    let load = match work {
        Work::Load(load) => load.run(running.address, duration, &mut |moment| {
            let now = process.cpu_time()?;
            match moment {
                Moment::Begin => begin = now,
                Moment::End => end = now,
            }
            Ok(())
        }),
        Work::H2load(load) => {
            let targets = Targets {
                http2: running.http2,
                tls: running.tls,
            };
            begin = process.cpu_time()?;
            let figures = load.run(targets, duration, &plan.folder);
            end = process.cpu_time()?;
            figures
        }
        Work::Handshakes(handshakes) => {
            begin = process.cpu_time()?;
            let figures = handshakes.run(running.tls, duration);
            end = process.cpu_time()?;
            figures
        }
        Work::Share(_) | Work::Idle(_) => anyhow::bail!("not a turn"),
    }
    .with_context(|| running.program.name())?;
    Ok(Turn {
        load,
        cpu: end - begin,
        peak_memory: process.peak_memory()?,
    })
}

fn measure_idle(
    plan: &Plan,
    programs: &[Program],
    backend: SocketAddr,
    request: &[u8],
) -> anyhow::Result<Results> {
    let mut rows = Vec::new();
    for &program in programs {
        // It holds a backend connection for each client, and no state worth the name.
        if program == Program::Floor {
            continue;
        }
        let setup = Setup::Bare;
        let running = program.start(setup, backend, &plan.gateway, &plan.folder)?;
        // What a program makes once, or keeps at hand for whichever connection needs it, is not a connection's.
        let counts = [HELD_BEFORE, HELD_BEFORE + IDLE_CONNECTIONS];
        let mut memory = Vec::new();
        idle::hold(running.address, request, &counts, || {
            memory.push(running.process.memory()?);
            Ok(())
        })
        .with_context(|| program.name())?;
        let [before, after] = memory[..] else {
            anyhow::bail!("memory was not read twice");
        };
        let each = after.saturating_sub(before) as f64 / IDLE_CONNECTIONS as f64;
        rows.push((Contender { program, setup }, each));
    }
    Ok(Results::Idle(rows))
}

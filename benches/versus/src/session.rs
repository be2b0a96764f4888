//! A session: every case, every server, in rounds.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

use crate::building::{Absent, Entrant, prepare};
use crate::case::{Case, Kind};
use crate::cores::{Cores, pin};
use crate::drill::Drill;
use crate::figures::Metric;
use crate::fitness::Disturbance;
use crate::gate;
use crate::journal::Journal;
use crate::machine::Machine;
use crate::manifest::{self, Stanza};
use crate::measure::{Bench, can};
use crate::record::{AGAIN, Record, RunRecord, ServerInfo};
use crate::statistics::interleave;
use crate::table;

/// What is to be done.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The folder of the manifest.
    pub(crate) here: PathBuf,
    pub(crate) servers: Vec<Stanza>,
    pub(crate) cases: Vec<Case>,
    pub(crate) rounds: usize,
    pub(crate) warm_up: Duration,
    pub(crate) window: Duration,
    /// Requests of the smaller run where they are counted.
    pub(crate) counted: u64,
    pub(crate) build: bool,
    /// What was typed.
    pub(crate) command: String,
    /// Measures even if the machine is not fit.
    pub(crate) anyway: bool,
    /// Where the runs are written down.
    pub(crate) out: PathBuf,
    /// Goes on with the session that is written down there.
    pub(crate) resume: bool,
    /// Instructions are counted in every round.
    pub(crate) counts_again: bool,
    /// What restarts servers.
    pub(crate) drill: Option<manifest::Drill>,
    /// So often, each of them.
    pub(crate) restarts: u32,
}

/// The machine is busy, stolen or throttled.
#[derive(Debug)]
pub(crate) struct Unfit(String);

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = &self.0;
        write!(
            f,
            "nothing that is timed here could be believed: {why} (--anyway measures all the same)"
        )
    }
}

impl std::error::Error for Unfit {}

impl Plan {
    /// Sessions with the same identity can be one.
    fn identity(&self) -> String {
        let servers: Vec<&str> = self.servers.iter().map(|stanza| stanza.name.as_str()).collect();
        let cases: Vec<&str> = self.cases.iter().map(|case| case.name).collect();
        let (servers, cases) = (servers.join(","), cases.join(","));
        let (rounds, window, restarts) = (self.rounds, self.window, self.restarts);
        format!("{rounds} rounds of {window:?}, {restarts} restarts: {cases}: {servers}")
    }
}

/// A session under way.
pub(crate) struct Session {
    bench: Bench,
    entrants: Vec<Entrant>,
    rounds: usize,
    record: Record,
    journal: Journal,
    counts_again: bool,
    bar: ProgressBar,
}

impl Session {
    /// Prepares the servers.
    ///
    /// # Errors
    /// When none of them can be had.
    pub(crate) fn new(plan: Plan, interrupted: Arc<AtomicBool>) -> Result<Session> {
        let mut machine = Machine::look();
        let bar = ProgressBar::new(plan.servers.len() as u64);
        bar.set_style(ProgressStyle::with_template("{pos:>4}/{len} {msg}")?);
        let (mut entrants, mut absent) = (Vec::new(), Vec::new());
        for stanza in &plan.servers {
            bar.set_message(format!("getting {} ready", stanza.name));
            match prepare(stanza, &plan.here, plan.build) {
                Ok(entrant) => entrants.push(entrant),
                Err(missing) => absent.push(missing),
            }
            bar.inc(1);
            if interrupted.load(Ordering::Relaxed) {
                bail!("interrupted");
            }
        }
        for missing in &absent {
            say(&bar, &format!("absent: {}", table::absent_line(missing)));
        }
        let drill = match plan.cases.iter().any(|case| case.kind == Kind::Correctness) {
            true => Drill::prepare(plan.drill.as_ref(), &plan.here, plan.build, plan.restarts),
            false => Drill::none(),
        };
        // Only now: builds may use all cores.
        let cores = Cores::choose()?;
        pin(cores.generator)?;
        machine.at_rest = Disturbance::at_rest();
        let is_timed = plan.cases.iter().any(Case::is_timed);
        let objections = machine.objections();
        if is_timed && !objections.is_empty() && !plan.anyway {
            return Err(Unfit(objections.join("; ")).into());
        }
        let Some(first) = entrants.first().cloned() else { bail!("no server can be had") };
        entrants.push(again(first));
        let mut record = record(&plan, machine, &entrants, absent);
        let journal = if plan.resume {
            let (journal, runs) = Journal::go_on(&plan.out, &plan.identity())?;
            record.runs = runs;
            journal
        } else {
            Journal::begin(&plan.out, &plan.identity())?
        };
        let gate = gate::read_all(&plan.here.join("cases"))?;
        let Plan { here, warm_up, window, counted, rounds, anyway, counts_again, .. } = plan;
        let bench =
            Bench { here, cores, warm_up, window, counted, gate, drill, anyway, interrupted };
        Ok(Session { bench, entrants, rounds, record, journal, counts_again, bar })
    }

    /// Measures everything. After an interrupt it returns what there is.
    pub(crate) fn run(mut self) -> Result<Record> {
        for case in self.record.cases.clone() {
            let taking_part = self.taking_part(&case);
            let rounds = if self.is_once(case.kind) { 1 } else { self.rounds };
            let order = interleave(taking_part.len(), rounds);
            self.bar.reset();
            self.bar.set_length(order.len() as u64);
            for (round, index) in order {
                let entrant = &self.entrants[taking_part[index]];
                let name = entrant.stanza.name.clone();
                self.bar.set_message(format!("{}, round {}: {name}", case.name, round + 1));
                if self.record.has_run(&case, &name, round) {
                    self.bar.inc(1);
                    continue;
                }
                let run = self.one(&case, &entrant.stanza, round);
                self.bar.inc(1);
                if self.bench.interrupted.load(Ordering::Relaxed) {
                    say(&self.bar, "interrupted: the same command with --resume goes on");
                    return Ok(self.record);
                }
                self.journal.add(&run)?;
                self.record.runs.push(run);
            }
            say(&self.bar, &table::case_table(&self.record, &case));
        }
        self.bar.finish_and_clear();
        Ok(self.record)
    }

    /// Whether a case is run once. Instructions differ by a few per cent from run to run, with how many
    /// requests a turn finds: where they are held against others, they are repeated.
    fn is_once(&self, kind: Kind) -> bool {
        is_exact(kind) && !(self.counts_again && kind == Kind::Instructions)
    }

    /// The entrants of a case. The first one takes part twice where there is noise.
    fn taking_part(&self, case: &Case) -> Vec<usize> {
        let mut indices = Vec::new();
        for (index, entrant) in self.entrants.iter().enumerate() {
            let name = &entrant.stanza.name;
            if self.is_once(case.kind) && name.ends_with(AGAIN) {
                continue;
            }
            match can(case, &entrant.stanza, self.bench.cores) {
                Ok(()) => indices.push(index),
                Err(reason) => say(&self.bar, &format!("{}: not {name}: {reason}", case.name)),
            }
        }
        indices
    }

    fn one(&self, case: &Case, stanza: &Stanza, round: usize) -> RunRecord {
        let saturation = self.record.saturation(&stanza.name);
        let mut run = RunRecord {
            case: case.name.to_owned(),
            server: stanza.name.clone(),
            round,
            figures: Default::default(),
            refused: Vec::new(),
            warnings: Vec::new(),
            violations: Vec::new(),
        };
        match self.bench.measure(case, stanza, saturation) {
            Ok(outcome) => {
                run.figures = outcome.figures;
                run.refused = outcome.opinion.refusals;
                run.warnings = outcome.opinion.warnings;
                run.violations = outcome.violations;
            }
            Err(error) => run.refused.push(format!("{error:#}")),
        }
        if !run.refused.is_empty() {
            let reasons = run.refused.join("; ");
            say(&self.bar, &format!("{}: refused: {}: {reasons}", case.name, stanza.name));
        }
        run
    }
}

impl Record {
    /// Whether a run is there already.
    fn has_run(&self, case: &Case, server: &str, round: usize) -> bool {
        let mut runs = self.runs.iter();
        runs.any(|run| run.case == case.name && run.server == server && run.round == round)
    }

    /// What a server reached in the case `saturation`, requests a second.
    fn saturation(&self, server: &str) -> Option<f64> {
        let case = self.cases.iter().find(|case| case.name == "saturation")?;
        Some(self.summary(case, server, Metric::PerSecond)?.median)
    }
}

/// Counts and verdicts that are nearly the same each time.
fn is_exact(kind: Kind) -> bool {
    matches!(kind, Kind::Correctness | Kind::Size | Kind::SystemCalls | Kind::Instructions)
}

/// The same server under another name: what the two differ by is noise.
fn again(mut entrant: Entrant) -> Entrant {
    entrant.stanza.name.push_str(AGAIN);
    entrant
}

fn record(plan: &Plan, machine: Machine, entrants: &[Entrant], absent: Vec<Absent>) -> Record {
    let info = |entrant: &Entrant| ServerInfo {
        name: entrant.stanza.name.clone(),
        what: entrant.stanza.what.clone(),
        notes: entrant.stanza.notes.clone(),
        version: entrant.version.clone(),
        bars: entrant.stanza.bars.clone(),
    };
    Record {
        command: plan.command.clone(),
        began: jiff::Zoned::now().strftime("%Y-%m-%d %H:%M").to_string(),
        machine,
        warm_up_seconds: plan.warm_up.as_secs_f64(),
        window_seconds: plan.window.as_secs_f64(),
        restarts: plan.restarts,
        servers: entrants.iter().map(info).collect(),
        absent,
        runs: Vec::new(),
        cases: plan.cases.clone(),
    }
}

/// Tables go to standard output, whether or not the progress is shown.
fn say(bar: &ProgressBar, text: &str) {
    bar.suspend(|| println!("{text}"));
}

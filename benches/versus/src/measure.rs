//! One run of one server in one case.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::audit::{Claim, Opinion, audit};
use crate::case::{CONNECTIONS, Case, DEPTH, Kind, NAMES, Traffic};
use crate::cores::{Cores, pin};
use crate::counting::Counted;
use crate::drill::{Drill, Restarts};
use crate::figures::Metric;
use crate::fitness::Moment;
use crate::gate::{self, Level, Others, Violation};
use crate::generator::{Job, Load, Measured, Until, generate};
use crate::manifest::{Places, Stanza};
use crate::processes::Cpu;
use crate::script::{Script, random_names};
use crate::server::Running;
use crate::wrk;

/// Cases that a server is held against at the same time: most of them wait most of the time.
const CASES_AT_ONCE: usize = 12;

/// What all runs have in common.
#[derive(Clone, Debug)]
pub(crate) struct Bench {
    pub(crate) here: PathBuf,
    pub(crate) cores: Cores,
    pub(crate) warm_up: Duration,
    pub(crate) window: Duration,
    /// Requests of the smaller run where they are counted.
    pub(crate) counted: u64,
    /// Measures even if the machine is not fit.
    pub(crate) anyway: bool,
    /// What servers are held against.
    pub(crate) gate: Vec<gate::Case>,
    /// What restarts them.
    pub(crate) drill: Drill,
    pub(crate) interrupted: Arc<AtomicBool>,
}

/// The figures of a run.
pub(crate) type Figures = BTreeMap<Metric, f64>;

/// What came of a run that took place.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) figures: Figures,
    pub(crate) opinion: Opinion,
    pub(crate) violations: Vec<Violation>,
}

impl Bench {
    /// Measures once. `saturation`: what the server reached in that case, requests a second.
    ///
    /// # Errors
    /// When the run came to nothing; see also [`Outcome::opinion`].
    pub(crate) fn measure(
        &self,
        case: &Case,
        stanza: &Stanza,
        saturation: Option<f64>,
    ) -> Result<Outcome> {
        let before = Moment::now();
        let mut outcome = self.outcome(case.kind, stanza, saturation)?;
        if case.is_timed() {
            let objections = before.until_now().objections();
            let opinion = &mut outcome.opinion;
            let to = if self.anyway { &mut opinion.warnings } else { &mut opinion.refusals };
            to.extend(objections);
        }
        Ok(outcome)
    }

    fn outcome(&self, kind: Kind, stanza: &Stanza, saturation: Option<f64>) -> Result<Outcome> {
        let just = |figures| Ok(Outcome { figures, ..Outcome::default() });
        match kind {
            Kind::Correctness => self.correctness(stanza),
            Kind::Traffic(traffic) => self.traffic(traffic, stanza, saturation),
            Kind::Wrk { depth } => self.wrk(depth, stanza),
            Kind::Start => just(self.start(stanza)?),
            Kind::Size => just(self.size(stanza)?),
            Kind::SystemCalls => just(self.system_calls(stanza)?),
            Kind::Instructions => {
                let counting = self.counting(stanza);
                just(Figures::from([
                    (Metric::Instructions, counting.instructions(1)?),
                    (Metric::InstructionsPipelined, counting.instructions(DEPTH)?),
                ]))
            }
        }
    }

    fn counting<'a>(&'a self, stanza: &'a Stanza) -> Counted<'a> {
        let Bench { here, cores, interrupted, counted, .. } = self;
        Counted { stanza, here, cores: *cores, n: *counted, interrupted }
    }

    fn running(&self, stanza: &Stanza) -> Result<Running> {
        Running::start(stanza, &self.here, self.cores, |_| Vec::new())
    }

    fn correctness(&self, stanza: &Stanza) -> Result<Outcome> {
        let running = self.running(stanza)?;
        let at_once = if stanza.alone { 1 } else { CASES_AT_ONCE };
        let violations = gate::hold_all(&self.gate, running.address, at_once)
            .map_err(|error| running.with_output(&error))?;
        let mut opinion = Opinion::default();
        let mut figures = Figures::new();
        let broken = |level| violations.iter().filter(|v| v.level == level).count() as f64;
        figures.insert(Metric::MustBroken, broken(Level::Must));
        figures.insert(Metric::ShouldBroken, broken(Level::Should));
        // Each with a server of its own: what one client leaves behind must not slow the next.
        let mut beside = |metric, others: Others, who| {
            figures.insert(metric, others.slowest.as_secs_f64() * 1e3);
            let Others { unanswered, beside, .. } = others;
            if unanswered > 0 {
                opinion
                    .warnings
                    .push(format!("another client was not answered beside {beside} {who}"));
            }
            if metric == Metric::BesideSilent && beside < gate::SILENT * 9 / 10 {
                opinion.warnings.push(format!("only {beside} silent clients could connect"));
            }
        };
        drop(running);
        beside(
            Metric::BesideSlow,
            gate::beside_slow(self.running(stanza)?.address)?,
            "slow client",
        );
        let running = self.running(stanza)?;
        beside(Metric::BesideSilent, gate::beside_silent(running.address)?, "silent ones");
        drop(running);
        let running = self.running(stanza)?;
        figures.insert(Metric::Unread, gate::never_read(running.address, &running.processes)?);
        drop(running);
        match self.drill.restart(stanza, &self.here, self.cores) {
            Ok(Restarts { lost, refused, answered }) => figures.extend([
                (Metric::RestartLost, lost as f64),
                (Metric::RestartRefused, refused as f64),
                (Metric::RestartAnswered, answered as f64),
            ]),
            Err(reason) => opinion.warnings.push(format!("restarts: {reason:#}")),
        }
        Ok(Outcome { figures, opinion, violations })
    }

    fn traffic(
        &self,
        traffic: Traffic,
        stanza: &Stanza,
        saturation: Option<f64>,
    ) -> Result<Outcome> {
        let load = traffic.shape.load(saturation).context("its saturation is not known")?;
        let running = self.running(stanza)?;
        let at_rest = running.processes.memory()?;
        let names = if traffic.names { random_names(NAMES, 3) } else { vec!["World".into()] };
        let close = matches!(load, Load::PerRequest { .. });
        let job = Job {
            address: running.address,
            script: Script::new(&running.address.to_string(), &names, close),
            load,
            idle: traffic.idle,
            warm_up: self.warm_up,
            until: Until::Time(self.window),
            interrupted: self.interrupted.clone(),
        };
        let core = if traffic.same_core { self.cores.server } else { self.cores.generator };
        pin(core)?;
        let measured = generate(job, &running.processes);
        pin(self.cores.generator)?;
        let measured = measured.map_err(|error| running.with_output(&error))?;

        let claim = Claim::of(&measured, load, traffic.same_core);
        let mut figures = figures_of(&measured);
        if traffic.idle > 0 {
            let grown = measured.memory.anonymous as f64 - at_rest.anonymous as f64;
            figures.insert(Metric::PerIdle, grown / (traffic.idle + CONNECTIONS) as f64);
        }
        let opinion = audit(&claim, measured.pace.as_ref());
        Ok(Outcome { figures, opinion, ..Outcome::default() })
    }

    fn wrk(&self, depth: usize, stanza: &Stanza) -> Result<Outcome> {
        let running = self.running(stanza)?;
        let before = running.processes.cpu()?;
        let (said, generator) = wrk::run(running.address, depth, self.window, running.work.path())?;
        let server = running.processes.cpu()?.since(before);
        let window = Duration::from_micros(said.micros);
        let claim = Claim {
            answers: said.answers,
            window,
            latency_mean: said.mean / 1e6,
            latency_max: said.p99 / 1e6,
            server: Duration::from_nanos(server.nanos),
            generator,
            // wrk adds latencies that it thinks it missed: Little's law does not hold for them.
            concurrency: usize::MAX,
            is_constant: false,
            same_core: false,
        };
        let mut opinion = audit(&claim, None);
        if said.errors > 0 {
            opinion.refusals.push(format!("wrk saw {} errors", said.errors));
        }
        let mut figures = cpu_figures(server, said.answers, window);
        figures.extend([
            (Metric::LatencyP50, said.p50),
            (Metric::LatencyP90, said.p90),
            (Metric::LatencyP99, said.p99),
        ]);
        Ok(Outcome { figures, opinion, ..Outcome::default() })
    }

    fn start(&self, stanza: &Stanza) -> Result<Figures> {
        let running = self.running(stanza)?;
        let memory = running.processes.memory()?;
        Ok(Figures::from([
            (Metric::Start, running.first_answer.as_secs_f64() * 1e3),
            (Metric::Resting, memory.resident as f64),
        ]))
    }

    fn size(&self, stanza: &Stanza) -> Result<Figures> {
        let binary = stanza.binary.as_ref().context("its size means nothing")?;
        let path = Places::at_rest(&self.here).fill(binary);
        let bytes = std::fs::metadata(Path::new(&path)).with_context(|| path.clone())?.len();
        Ok(Figures::from([(Metric::Binary, bytes as f64)]))
    }

    fn system_calls(&self, stanza: &Stanza) -> Result<Figures> {
        let one = Load::Closed { connections: 1, depth: 1 };
        let many = Load::Closed { connections: CONNECTIONS, depth: 1 };
        let close = Load::PerRequest { connections: CONNECTIONS };
        let mut figures = Figures::new();
        let mut loads = vec![(Metric::CallsMany, many), (Metric::CallsOne, one)];
        if !stanza.cannot.contains_key("close") {
            loads.push((Metric::CallsClose, close));
        }
        for (metric, load) in loads {
            figures.insert(metric, self.counting(stanza).system_calls(load)?);
        }
        Ok(figures)
    }
}

fn cpu_figures(server: Cpu, answers: u64, window: Duration) -> Figures {
    let micros = |nanos: f64| nanos / answers.max(1) as f64 / 1e3;
    let (all, user) = (server.nanos as f64, server.user_nanos());
    let seconds = window.as_secs_f64();
    Figures::from([
        (Metric::Cpu, micros(all)),
        (Metric::CpuUser, micros(user)),
        (Metric::CpuSystem, micros(all - user)),
        (Metric::PerSecond, answers as f64 / seconds),
        (Metric::ServerShare, all / 1e7 / seconds),
    ])
}

fn figures_of(measured: &Measured) -> Figures {
    let mut figures = cpu_figures(measured.server, measured.answers, measured.window);
    let micros = |quantile| measured.latency.value_at_quantile(quantile) as f64 / 1e3;
    figures.extend([
        (Metric::LatencyP50, micros(0.5)),
        (Metric::LatencyP90, micros(0.9)),
        (Metric::LatencyP99, micros(0.99)),
        (Metric::LatencyP999, micros(0.999)),
        (Metric::LatencyMax, micros(1.0)),
        (Metric::AnswersPerTurn, measured.answers as f64 / measured.turns.max(1) as f64),
    ]);
    figures
}

/// Whether a server can take part in a case, and if not, why.
pub(crate) fn can<'a>(case: &Case, stanza: &'a Stanza, cores: Cores) -> Result<(), &'a str> {
    if let Some(reason) = stanza.cannot.get(case.name) {
        return Err(reason);
    }
    let tool = |program| crate::building::find_program(program).is_some();
    match case.kind {
        Kind::Traffic(traffic) if traffic.idle > 0 && !descriptors_suffice(traffic.idle) => {
            Err("the limit of open descriptors is too low (ulimit -n)")
        }
        Kind::Traffic(traffic) if !traffic.same_core && !cores.are_two() => {
            Err("it needs two cores")
        }
        Kind::Wrk { .. } if !cores.are_two() => Err("it needs two cores"),
        Kind::Wrk { .. } if !wrk::is_installed() => Err("apt-get install wrk"),
        Kind::Size if stanza.binary.is_none() => Err("its size means nothing"),
        Kind::SystemCalls if !tool("strace") => Err("apt-get install strace"),
        Kind::Instructions if !stanza.callgrind => Err("callgrind cannot run it"),
        Kind::Instructions if !tool("valgrind") => Err("apt-get install valgrind"),
        _ => Ok(()),
    }
}

/// Whether this process, and so a server, may have so many connections, and some more.
fn descriptors_suffice(connections: usize) -> bool {
    let limit = procfs::process::Process::myself().and_then(|own| own.limits());
    limit.is_ok_and(|limits| match limits.max_open_files.soft_limit {
        procfs::process::LimitValue::Unlimited => true,
        procfs::process::LimitValue::Value(limit) => limit > (connections + 1_000) as u64,
    })
}

//! What is measured: the cases.

use crate::figures::Metric;
use crate::generator::Load;

/// Connections that ask.
pub(crate) const CONNECTIONS: usize = 64;
/// Requests that a pipelining client sends at once.
pub(crate) const DEPTH: usize = 16;
/// Different names in the mixed case.
pub(crate) const NAMES: usize = 512;

/// The case of the gate.
pub(crate) const CORRECTNESS: &str = "correctness";

/// With fewer idle connections, memory for each of them is mostly that of buffers of the process.
const IDLE_TO_DIVIDE_BY: usize = 10_000;

/// One case.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    /// For the command line and the raw data.
    pub(crate) name: &'static str,
    /// For people.
    pub(crate) title: &'static str,
    /// One sentence.
    pub(crate) what: &'static str,
    pub(crate) kind: Kind,
    /// What its table shows; the first decides the order.
    pub(crate) metrics: &'static [Metric],
}

/// How a case is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// Held against the cases of the gate.
    Correctness,
    /// By the lean generator.
    Traffic(Traffic),
    /// By wrk, on the other core, with so many requests at once.
    Wrk { depth: usize },
    /// The server is started, greets once, and is looked at.
    Start,
    /// The executable is looked at.
    Size,
    /// strace counts.
    SystemCalls,
    /// callgrind counts.
    Instructions,
}

/// What the lean generator does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Traffic {
    pub(crate) shape: Shape,
    /// Server and generator share a core and take turns.
    pub(crate) same_core: bool,
    /// Random names; otherwise always the same one.
    pub(crate) names: bool,
    /// Connections that do nothing.
    pub(crate) idle: usize,
}

/// How it asks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Shape {
    Closed {
        depth: usize,
    },
    PerRequest,
    /// At this share of what the server reached in the case `saturation`.
    Open {
        share: f64,
    },
}

impl Shape {
    /// The load, for a server that reached `saturation` requests a second.
    pub(crate) fn load(self, saturation: Option<f64>) -> Option<Load> {
        Some(match self {
            Shape::Closed { depth } => Load::Closed { connections: CONNECTIONS, depth },
            Shape::PerRequest => Load::PerRequest { connections: CONNECTIONS },
            Shape::Open { share } => {
                Load::Open { connections: CONNECTIONS, per_second: share * saturation? }
            }
        })
    }
}

const ONE: Traffic =
    Traffic { shape: Shape::Closed { depth: 1 }, same_core: true, names: false, idle: 0 };

const COSTS: &[Metric] = &[
    Metric::Cpu,
    Metric::CpuUser,
    Metric::CpuSystem,
    Metric::PerSecond,
    Metric::LatencyP50,
    Metric::LatencyP99,
];
const LATENCIES: &[Metric] = &[
    Metric::LatencyP99,
    Metric::LatencyP50,
    Metric::LatencyP90,
    Metric::LatencyP999,
    Metric::LatencyMax,
    Metric::PerSecond,
    Metric::Cpu,
];

const IDLE_COSTS: &[Metric] = &[
    Metric::Cpu,
    Metric::CpuUser,
    Metric::CpuSystem,
    Metric::PerSecond,
    Metric::LatencyP99,
    Metric::PerIdle,
];

const fn open(name: &'static str, title: &'static str, share: f64) -> Case {
    Case {
        name,
        title,
        what: "Requests begin at random moments at a fixed rate; latency counts from the intended \
            moment.",
        kind: Kind::Traffic(Traffic { shape: Shape::Open { share }, same_core: false, ..ONE }),
        metrics: LATENCIES,
    }
}

const fn idle(name: &'static str, title: &'static str, idle: usize) -> Case {
    Case {
        name,
        title,
        what: "As keep-alive, beside connections that have asked once and now rest.",
        kind: Kind::Traffic(Traffic { idle, ..ONE }),
        metrics: if idle < IDLE_TO_DIVIDE_BY { COSTS } else { IDLE_COSTS },
    }
}

impl Case {
    /// Whether it measures time, so that whatever else the machine does matters.
    pub(crate) fn is_timed(&self) -> bool {
        matches!(self.kind, Kind::Traffic(_) | Kind::Wrk { .. } | Kind::Start)
    }
}

/// What a look is about: the cases of `--quick`.
pub(crate) const QUICK: &[&str] = &[CORRECTNESS, "keep-alive", "pipelined", "close"];

/// All cases, in the order of the report. `saturation` stands before those that need it.
pub(crate) const ALL: &[Case] = &[
    // First: nobody is timed before it has been held against the cases.
    Case {
        name: CORRECTNESS,
        title: "Correctness",
        what: "Each server is held against raw cases from RFC 9110 and RFC 9112 (cases/), against \
            clients that are slow, silent, or never read, and restarted under load.",
        kind: Kind::Correctness,
        metrics: &[
            Metric::MustBroken,
            Metric::ShouldBroken,
            Metric::BesideSlow,
            Metric::BesideSilent,
            Metric::Unread,
            Metric::RestartLost,
            Metric::RestartRefused,
            Metric::RestartAnswered,
        ],
    },
    Case {
        name: "keep-alive",
        title: "Keep-alive, same core",
        what: "64 connections, one request at a time on each; server and generator share a core.",
        kind: Kind::Traffic(ONE),
        metrics: COSTS,
    },
    Case {
        name: "pipelined",
        title: "Pipelined, same core",
        what: "64 connections, 16 requests at once on each; server and generator share a core.",
        kind: Kind::Traffic(Traffic { shape: Shape::Closed { depth: DEPTH }, ..ONE }),
        metrics: COSTS,
    },
    Case {
        name: "close",
        title: "A connection per request, same core",
        what: "64 at a time; each connection is closed by the server after its answer.",
        kind: Kind::Traffic(Traffic { shape: Shape::PerRequest, ..ONE }),
        metrics: COSTS,
    },
    Case {
        name: "mixed",
        title: "Random names, same core",
        what: "As keep-alive, but each request greets one of 512 names of 1 to 24 letters.",
        kind: Kind::Traffic(Traffic { names: true, ..ONE }),
        metrics: COSTS,
    },
    idle("idle-1", "1 idle connection, same core", 1),
    idle("idle-1k", "1,000 idle connections, same core", 1_000),
    idle("idle", "10,000 idle connections, same core", 10_000),
    // From several loopback addresses: one has fewer ports.
    idle("idle-100k", "100,000 idle connections, same core", 100_000),
    Case {
        name: "wrk",
        title: "Keep-alive, wrk",
        what: "wrk -t1 -c64 on the other core.",
        kind: Kind::Wrk { depth: 1 },
        metrics: COSTS,
    },
    Case {
        name: "wrk-pipelined",
        title: "Pipelined, wrk",
        what: "wrk -t1 -c64 on the other core, 16 requests at once.",
        kind: Kind::Wrk { depth: DEPTH },
        metrics: COSTS,
    },
    Case {
        name: "saturation",
        title: "Keep-alive, two cores",
        what: "As keep-alive, but the generator has a core of its own.",
        kind: Kind::Traffic(Traffic { same_core: false, ..ONE }),
        metrics: &[
            Metric::PerSecond,
            Metric::Cpu,
            Metric::CpuUser,
            Metric::CpuSystem,
            Metric::LatencyP50,
            Metric::LatencyP99,
            Metric::ServerShare,
        ],
    },
    open("open-25", "Open loop, 25 % of saturation", 0.25),
    open("open-50", "Open loop, 50 % of saturation", 0.50),
    open("open-75", "Open loop, 75 % of saturation", 0.75),
    open("open-90", "Open loop, 90 % of saturation", 0.90),
    Case {
        name: "start",
        title: "Start and rest",
        what: "From starting the program to its first answer, and the memory that it then holds.",
        kind: Kind::Start,
        metrics: &[Metric::Start, Metric::Resting],
    },
    Case {
        name: "size",
        title: "Size",
        what: "The executable as it is installed, without the libraries that it shares.",
        kind: Kind::Size,
        metrics: &[Metric::Binary],
    },
    Case {
        name: "syscalls",
        title: "System calls for each request",
        what: "Counted by strace: twice as many requests minus once as many.",
        kind: Kind::SystemCalls,
        metrics: &[Metric::CallsMany, Metric::CallsOne, Metric::CallsClose],
    },
    Case {
        name: "instructions",
        title: "User-space instructions for each request",
        what: "Counted by callgrind, keep-alive, and 16 requests at a time: twice as many requests minus once as many.",
        kind: Kind::Instructions,
        metrics: &[Metric::Instructions, Metric::InstructionsPipelined],
    },
];

/// Cases that are only measured when they are asked for by name.
const ON_REQUEST: &[&str] = &["idle-1", "idle-1k", "idle-100k"];

/// Whether there is a case of this name.
pub(crate) fn is_known(name: &str) -> bool {
    ALL.iter().any(|case| case.name == name)
}

/// Those called one of `names`, and what they depend on; without names, all but the costly ones.
pub(crate) fn select(names: &[String]) -> Result<Vec<Case>, String> {
    if let Some(unknown) = names.iter().find(|name| !is_known(name)) {
        let known: Vec<&str> = ALL.iter().map(|case| case.name).collect();
        return Err(format!("no case is called {unknown:?}; there are {}", known.join(", ")));
    }
    let wants_open = names.iter().any(|name| name.starts_with("open-"));
    let chosen = |case: &&Case| match names {
        [] => !ON_REQUEST.contains(&case.name),
        _ => names.iter().any(|n| n == case.name) || (wants_open && case.name == "saturation"),
    };
    Ok(ALL.iter().filter(chosen).copied().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(names: &[&str]) -> Vec<&'static str> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        select(&names).unwrap().iter().map(|case| case.name).collect()
    }

    #[test]
    fn an_open_loop_needs_the_saturation_first() {
        assert_eq!(selected(&["open-90", "keep-alive"]), ["keep-alive", "saturation", "open-90"]);
        assert_eq!(Shape::Open { share: 0.5 }.load(None), None);
        let load = Shape::Open { share: 0.5 }.load(Some(100.0));
        assert_eq!(load, Some(Load::Open { connections: CONNECTIONS, per_second: 50.0 }));
    }

    #[test]
    fn the_cases_of_a_look_exist() {
        assert_eq!(selected(QUICK), QUICK);
        let timed = ALL.iter().filter(|case| case.is_timed()).map(|case| case.name);
        let untimed = ["correctness", "size", "syscalls", "instructions"];
        assert!(timed.clone().all(|name| !untimed.contains(&name)));
        assert_eq!(timed.count() + untimed.len(), ALL.len());
    }

    #[test]
    fn names_choose_cases() {
        assert_eq!(selected(&["close"]), ["close"]);
        assert!(selected(&[]).contains(&"open-25") && !selected(&[]).contains(&"idle-100k"));
        assert!(select(&["x".into()]).unwrap_err().contains("keep-alive, pipelined"));
    }
}

//! The lean generator: hand-written tasks on helloop's own loop.
//!
//! It asks, checks every byte of every answer, and counts. It runs on the thread of the caller, which
//! has pinned it to a core.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use hdrhistogram::Histogram;
use helloop::event_loop::EventLoop;
use helloop::world::Time;
use rustix::time::{ClockId, clock_gettime};

use crate::processes::{Cpu, Memory, Processes};
use crate::script::Script;

mod client;
mod pacer;
mod run;

use client::{Client, Role};
use pacer::Pacer;
use run::Run;

/// How long a generator waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long answers to an open loop may take after its end.
const TAIL: Duration = Duration::from_secs(5);
/// How often it looks whether the user has had enough, if nothing else happens.
const LOOK_UP: Duration = Duration::from_millis(100);
/// Idle connections that are being made at the same time.
const CONNECTING_MAX: usize = 128;

/// What to do.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) address: SocketAddr,
    pub(crate) script: Script,
    pub(crate) load: Load,
    /// Connections that ask once, before everything else, and then rest.
    pub(crate) idle: usize,
    pub(crate) warm_up: Duration,
    pub(crate) until: Until,
    /// Set when the user has had enough.
    pub(crate) interrupted: Arc<AtomicBool>,
}

/// How to ask.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Load {
    /// Each connection asks `depth` requests at once and then waits for all answers.
    Closed { connections: usize, depth: usize },
    /// Each connection asks once; then another one takes its place.
    PerRequest { connections: usize },
    /// Requests begin when their time has come, whatever became of those before. Intervals are
    /// random (exponential), and the same in each run.
    Open { connections: usize, per_second: f64 },
}

/// When to stop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Until {
    /// After a window of this length, which follows the warm-up.
    Time(Duration),
    /// After so many answers, all of which count.
    Answers(u64),
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Measured {
    /// Answers in the window, each of them right.
    pub(crate) answers: u64,
    /// Length of the window.
    pub(crate) window: Duration,
    /// Nanoseconds from asking (open loop: from the intended moment) to the answer's last byte.
    pub(crate) latency: Histogram<u64>,
    /// What the server used in the window.
    pub(crate) server: Cpu,
    /// What the server held in memory at its end.
    pub(crate) memory: Memory,
    /// CPU time of the generator in the window.
    pub(crate) generator: Duration,
    /// Turns of the generator's loop in the window.
    pub(crate) turns: u64,
    /// The open loop's.
    pub(crate) pace: Option<Pace>,
}

/// How well an open loop kept its own pace.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Requests that were due in the window.
    pub(crate) due: u64,
    /// Of these, answered in the end.
    pub(crate) answered: u64,
    /// Nanoseconds by which the generator itself noticed late that a request was due.
    pub(crate) lateness: Histogram<u64>,
}

/// Nanoseconds up to a minute, to three digits.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("bounds and precision are valid")
}

/// Does the job against a server whose CPU time is `server`'s.
///
/// # Errors
/// Anything that makes the run worthless: a wrong answer, a connection that fails, a server that
/// ends.
pub(crate) fn generate(job: Job, server: &Processes) -> Result<Measured> {
    Driver::new(job)?.run(server)
}

/// What the counters showed at a moment.
struct Reading {
    at: Time,
    answers: u64,
    turns: u64,
    server: Cpu,
    memory: Memory,
    generator: Duration,
}

struct Driver {
    event_loop: EventLoop,
    run: Rc<Run>,
    pacer: Option<Pacer>,
    load: Load,
    idle: usize,
    warm_up: Duration,
    until: Until,
    interrupted: Arc<AtomicBool>,
}

impl Driver {
    fn new(job: Job) -> Result<Driver> {
        let event_loop = EventLoop::new()?;
        let pacer = match job.load {
            Load::Open { per_second, .. } => Some(Pacer::new(per_second)),
            _ => None,
        };
        let budget = match job.until {
            Until::Answers(answers) => answers,
            Until::Time(_) => u64::MAX,
        };
        Ok(Driver {
            event_loop,
            run: Rc::new(Run::new(job.address, job.script, budget)),
            pacer,
            load: job.load,
            idle: job.idle,
            warm_up: job.warm_up,
            until: job.until,
            interrupted: job.interrupted,
        })
    }

    fn run(mut self, server: &Processes) -> Result<Measured> {
        self.bring_idle()?;
        let (role, connections) = match self.load {
            Load::Closed { connections, depth } => (Role::Closed { depth }, connections),
            Load::PerRequest { connections } => (Role::PerRequest, connections),
            Load::Open { connections, .. } => (Role::Open, connections),
        };
        for index in 0..connections {
            Client::spawn(self.event_loop.handle(), &self.run, role)?;
            if matches!(self.until, Until::Time(_)) && role != Role::Open {
                self.wait_for_greeted(index + 1)?;
            }
        }
        match self.until {
            Until::Time(window) => self.run_for(window, server),
            Until::Answers(answers) => self.run_to(answers, server),
        }
    }

    /// Opens the idle connections, a few at a time, and waits until each has had its answer.
    fn bring_idle(&mut self) -> Result<()> {
        let deadline = self.now() + PATIENCE;
        let mut opened = 0;
        while self.run.resting.get() < self.idle {
            while opened < self.idle && opened - self.run.resting.get() < CONNECTING_MAX {
                Client::spawn(self.event_loop.handle(), &self.run, Role::Idle)?;
                opened += 1;
            }
            self.turn(deadline)?;
            if self.now() >= deadline {
                bail!(
                    "only {} of {} idle connections came about",
                    self.run.resting.get(),
                    self.idle
                );
            }
        }
        self.run.answers.set(0);
        self.run.asked.set(0);
        Ok(())
    }

    /// Connections come one after another: some servers let most of a crowd wait for ever.
    fn wait_for_greeted(&mut self, clients: usize) -> Result<()> {
        let deadline = self.now() + PATIENCE;
        while self.run.greeted.get() < clients {
            self.turn(deadline)?;
            if self.now() >= deadline {
                bail!("only {} connections were answered", self.run.greeted.get());
            }
        }
        Ok(())
    }

    fn run_for(mut self, window: Duration, server: &Processes) -> Result<Measured> {
        let start = self.now() + self.warm_up;
        self.pass(start)?;
        let began = self.read(server)?;
        self.run.begin_window(began.at);
        if let Some(pacer) = &mut self.pacer {
            pacer.begin_window(began.at);
        }
        self.pass(began.at + window)?;
        let ended = self.read(server)?;
        self.run.end_window(ended.at);
        let pace = match self.pacer.take() {
            None => None,
            Some(pacer) => {
                let (due, lateness) = pacer.end();
                self.wait_for_tail(due)?;
                Some(Pace { due, answered: self.run.latency.borrow().len(), lateness })
            }
        };
        Ok(self.measured(&began, &ended, pace))
    }

    fn run_to(mut self, answers: u64, server: &Processes) -> Result<Measured> {
        let began = self.read(server)?;
        self.run.begin_window(Time::ZERO);
        let deadline = began.at + PATIENCE;
        while self.run.answers.get() < answers {
            self.turn(deadline)?;
            if self.now() >= deadline {
                bail!("only {} of {answers} answers came", self.run.answers.get());
            }
        }
        let ended = self.read(server)?;
        Ok(self.measured(&began, &ended, None))
    }

    /// What was due in the window is waited for, but nothing more is asked.
    fn wait_for_tail(&mut self, due: u64) -> Result<()> {
        let deadline = self.now() + TAIL;
        while self.run.latency.borrow().len() < due && self.now() < deadline {
            self.turn(deadline)?;
        }
        Ok(())
    }

    fn measured(self, began: &Reading, ended: &Reading, pace: Option<Pace>) -> Measured {
        Measured {
            answers: ended.answers - began.answers,
            window: ended.at.since(began.at),
            latency: self.run.latency.replace(histogram()),
            server: ended.server.since(began.server),
            memory: ended.memory,
            generator: ended.generator.saturating_sub(began.generator),
            turns: ended.turns - began.turns,
            pace,
        }
    }

    /// Goes on until `deadline`.
    fn pass(&mut self, deadline: Time) -> Result<()> {
        while self.now() < deadline {
            if let Some(pacer) = &mut self.pacer {
                pacer.step(self.event_loop.handle(), &self.run);
            }
            self.turn(deadline)?;
        }
        Ok(())
    }

    fn turn(&mut self, deadline: Time) -> Result<()> {
        // The kernel's timeouts are too coarse for an open loop: it does not sleep at all.
        let limit = match self.pacer {
            Some(_) => Duration::ZERO,
            None => deadline.since(self.now()).min(LOOK_UP),
        };
        self.event_loop.turn(Some(limit))?;
        if let Some(reason) = self.run.failure.take() {
            bail!(reason);
        }
        if self.interrupted.load(Ordering::Relaxed) {
            bail!("interrupted");
        }
        Ok(())
    }

    fn now(&self) -> Time {
        self.event_loop.handle().clock()
    }

    fn read(&self, server: &Processes) -> Result<Reading> {
        Ok(Reading {
            server: server.cpu()?,
            memory: server.memory()?,
            generator: thread_time(),
            at: self.now(),
            answers: self.run.answers.get(),
            turns: self.event_loop.handle().turns(),
        })
    }
}

/// CPU time of the calling thread.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let nanos = time.tv_sec * 1_000_000_000 + time.tv_nsec;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

#[cfg(test)]
mod tests;

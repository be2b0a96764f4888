//! Exact counts by a tool: system calls by strace, instructions by callgrind.
//!
//! Each count is that of a run with `2 n` requests minus that of a run with `n`, so that whatever
//! happens once (start, connecting, end) cancels out.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};

use crate::case::CONNECTIONS;
use crate::cores::Cores;
use crate::generator::{Job, Load, Until, generate};
use crate::manifest::Stanza;
use crate::script::Script;
use crate::server::Running;

/// The server that is counted, and on which core.
pub(crate) struct Counted<'a> {
    pub(crate) stanza: &'a Stanza,
    pub(crate) here: &'a Path,
    pub(crate) cores: Cores,
    /// Requests of the smaller run.
    pub(crate) n: u64,
    pub(crate) interrupted: &'a Arc<AtomicBool>,
}

impl Counted<'_> {
    /// System calls for each request, with `load`.
    pub(crate) fn system_calls(&self, load: Load) -> Result<f64> {
        self.per_request(|answers| {
            let work = self.run(load, answers, |work| {
                let to = work.join("calls").display().to_string();
                ["strace", "-f", "-c", "-qq", "-o", &to].map(str::to_owned).to_vec()
            })?;
            let table = fs::read_to_string(work.path().join("calls"))?;
            calls_in(&table).with_context(|| format!("strace said {table:?}"))
        })
    }

    /// Instructions in user space for each request, keep-alive, `depth` of them at a time.
    pub(crate) fn instructions(&self, depth: usize) -> Result<f64> {
        let load = Load::Closed { connections: CONNECTIONS, depth };
        self.per_request(|answers| {
            let work = self.run(load, answers, |work| {
                let to = format!("--callgrind-out-file={}", work.join("callgrind.%p").display());
                ["valgrind", "--tool=callgrind", &to].map(str::to_owned).to_vec()
            })?;
            instructions_of(work.path())
        })
    }

    fn per_request(&self, count: impl Fn(u64) -> Result<u64>) -> Result<f64> {
        Ok(per_request(count(self.n)?, count(2 * self.n)?, self.n))
    }

    /// Runs the server under a tool until it has given `answers` answers. Returns the tool's folder.
    fn run(
        &self,
        load: Load,
        answers: u64,
        wrapper: impl FnOnce(&Path) -> Vec<String>,
    ) -> Result<tempfile::TempDir> {
        let running = Running::start(self.stanza, self.here, self.cores, wrapper)?;
        let close = matches!(load, Load::PerRequest { .. });
        let job = Job {
            address: running.address,
            script: Script::new(&running.address.to_string(), &["World".into()], close),
            load,
            idle: 0,
            warm_up: std::time::Duration::ZERO,
            until: Until::Answers(answers),
            interrupted: Arc::clone(self.interrupted),
        };
        generate(job, &running.processes)?;
        running.end_wrapped()
    }
}

fn per_request(once: u64, twice: u64, n: u64) -> f64 {
    (twice as f64 - once as f64) / n as f64
}

/// The sum at the foot of strace's table.
fn calls_in(table: &str) -> Option<u64> {
    let total = table.lines().rev().find(|line| line.trim_end().ends_with(" total"))?;
    // "100.00 0.003 1 1234 5 total": the errors may be missing.
    total.split_ascii_whitespace().nth(3)?.parse().ok()
}

/// The sum of all processes that callgrind saw.
fn instructions_of(work: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(work)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("callgrind.")) {
            let text = fs::read_to_string(&path)?;
            sum += instructions_in(&text).context("callgrind's file has no sum")?;
        }
    }
    Ok(sum)
}

fn instructions_in(text: &str) -> Option<u64> {
    let sum = |name: &str| {
        let value = text.lines().rev().find_map(|line| line.strip_prefix(name))?;
        value.trim().parse().ok()
    };
    sum("totals:").or_else(|| sum("summary:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_foot_of_strace_s_table_is_read() {
        let with_errors = "calls\n 1.0 0.1 1 9 2 read\n100.00    0.01    1    4321   17 total\n";
        assert_eq!(calls_in(with_errors), Some(4321));
        assert_eq!(calls_in("100.00 0.01 1 21 total\n"), Some(21));
        assert_eq!(calls_in("nothing\n"), None);
    }

    #[test]
    fn callgrind_s_sum_is_read() {
        assert_eq!(instructions_in("fn=a\n1 2\n\ntotals: 77\n"), Some(77));
        assert_eq!(instructions_in("summary: 5\n"), Some(5));
        assert_eq!(instructions_in("fn=a\n"), None);
    }

    #[test]
    fn what_happens_once_cancels_out() {
        assert_eq!(per_request(1_300, 2_300, 1_000), 1.0);
    }
}

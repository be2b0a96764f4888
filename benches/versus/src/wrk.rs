//! The well-known generator.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::case::CONNECTIONS;

const SCRIPT: &str = include_str!("wrk.lua");

/// What it says at its end. Times are microseconds.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Said {
    pub(crate) answers: u64,
    pub(crate) micros: u64,
    /// Errors of any kind.
    pub(crate) errors: u64,
    pub(crate) mean: f64,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
}

/// Runs wrk on the core of the calling thread, for whole seconds. Returns what it said and its own
/// CPU time.
pub(crate) fn run(
    address: SocketAddr,
    depth: usize,
    window: Duration,
    work: &Path,
) -> Result<(Said, Duration)> {
    let script = work.join("wrk.lua");
    fs::write(&script, SCRIPT)?;
    let seconds = window.as_secs().max(1);
    let child = Command::new("wrk")
        .args(["-t1", &format!("-c{CONNECTIONS}"), &format!("-d{seconds}s"), "-s"])
        .arg(&script)
        .args([&format!("http://{address}/World"), "--", &depth.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("wrk cannot be started; apt-get install wrk")?;
    let before = children_time();
    let output = child.wait_with_output()?;
    let used = children_time().saturating_sub(before);
    let text = String::from_utf8_lossy(&output.stdout);
    let Some(line) = text.lines().find(|line| line.starts_with('{')) else {
        bail!("wrk failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    };
    let said = serde_json::from_str(line).with_context(|| format!("wrk said {line:?}"))?;
    Ok((said, used))
}

/// CPU time of all children that were waited for so far.
fn children_time() -> Duration {
    let ticks = procfs::process::Process::myself()
        .and_then(|own| own.stat())
        .map_or(0, |stat| stat.cutime + stat.cstime);
    let millis =
        ticks.saturating_mul(1_000) / i64::try_from(procfs::ticks_per_second()).unwrap_or(100);
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

/// Whether wrk is there.
pub(crate) fn is_installed() -> bool {
    crate::building::find_program("wrk").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_says_is_understood() {
        let said: Said = serde_json::from_str(
            r#"{"answers":5,"micros":7,"bytes":9,"errors":0,"mean":1.5,"p50":1,"p90":2,"p99":3}"#,
        )
        .unwrap();
        assert_eq!((said.answers, said.errors, said.mean), (5, 0, 1.5));
    }
}

//! Restarting servers under load, by `helloop drill`, and counting what that loses.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;

use crate::building::shell;
use crate::cores::Cores;
use crate::manifest::{self, Places, Stanza};
use crate::server::Ready;

/// Before each restart, and after the last one: what its clients ask meanwhile is the load.
const PAUSE: &str = "200ms";
/// A request without a whole answer is lost after this time.
const ANSWER_TIMEOUT: &str = "5s";
/// A server has to end, and to listen again, within this time.
const RESTART_TIMEOUT: &str = "10s";

/// What restarts servers.
#[derive(Clone, Debug)]
pub(crate) struct Drill {
    /// The words of its command, or why there is none.
    program: Result<Vec<String>, String>,
    restarts: u32,
}

/// What the restarts of one server came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Restarts {
    /// Lost or doubled, but for those that were refused.
    pub(crate) lost: u64,
    /// Nobody listened: any server that is ended and started anew has such a moment.
    pub(crate) refused: u64,
    pub(crate) answered: u64,
}

/// What the drill reports. It says more than that.
#[derive(Debug, Deserialize)]
struct Report {
    total: Total,
    kinds: std::collections::BTreeMap<String, u64>,
    trouble: Option<Trouble>,
}

#[derive(Debug, Deserialize)]
struct Total {
    answered: u64,
    lost: u64,
    doubled: u64,
}

#[derive(Debug, Deserialize)]
struct Trouble {
    text: String,
}

impl Drill {
    /// One that is not needed.
    pub(crate) fn none() -> Drill {
        Drill { program: Err("nobody asked for it".to_owned()), restarts: 0 }
    }

    /// Builds it, unless what is there is to be taken.
    pub(crate) fn prepare(
        how: Option<&manifest::Drill>,
        here: &Path,
        build: bool,
        restarts: u32,
    ) -> Drill {
        let program = how.context("the manifest has no [drill]").and_then(|how| {
            let places = Places::at_rest(here);
            if build {
                let output = shell(&places.fill(&how.build), here)?;
                if !output.status.success() {
                    let text = String::from_utf8_lossy(&output.stderr);
                    bail!("{} does not build: {}", how.start, text.trim());
                }
            }
            shlex::split(&places.fill(&how.start)).context("odd quotes in the drill's `start`")
        });
        Drill { program: program.map_err(|error| format!("{error:#}")), restarts }
    }

    /// Restarts a server under load.
    ///
    /// # Errors
    /// Says why it was not restarted so often.
    pub(crate) fn restart(&self, stanza: &Stanza, here: &Path, cores: Cores) -> Result<Restarts> {
        let program = self.program.as_ref().map_err(|reason| anyhow!("{reason}"))?;
        if let Some(reason) = stanza.cannot.get("keep-alive") {
            bail!("{reason}");
        }
        let ready = Ready::new(stanza, here, cores)?;
        let output = Command::new(&program[0])
            .args(&program[1..])
            .args(["--json", "--pause", PAUSE, "--answer-timeout", ANSWER_TIMEOUT])
            .args(["--start-timeout", RESTART_TIMEOUT, "--stop-timeout", RESTART_TIMEOUT])
            .args(["--signal", &stanza.drain, "--rounds", &self.restarts.to_string()])
            .args(["--port", &ready.port.to_string(), "--"])
            .args(&ready.words)
            .envs(ready.env)
            .current_dir(here)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("{} cannot be started", program[0]))?;
        read(&output.stdout).with_context(|| {
            let said = String::from_utf8_lossy(&output.stderr);
            said.lines().last().unwrap_or("the drill reported nothing").to_owned()
        })?
    }
}

/// What a report comes to. The inner error: why it was not carried out.
fn read(json: &[u8]) -> Result<Result<Restarts>> {
    let report: Report = serde_json::from_slice(json)?;
    Ok(match report.trouble {
        Some(trouble) => Err(anyhow!("{}", trouble.text.split(';').next().unwrap_or_default())),
        None => {
            let refused = report.kinds.get("refused").copied().unwrap_or(0);
            let Total { answered, lost, doubled } = report.total;
            Ok(Restarts { lost: lost + doubled - refused, refused, answered })
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_connection_is_no_lost_request() {
        let json = r#"{"total": {"requests": 20, "answered": 10, "repeated": 1, "lost": 8, "doubled": 1},
            "kinds": {"refused": 5, "crossed": 3, "answered-twice": 1}, "trouble": null}"#;
        let restarts = read(json.as_bytes()).unwrap().unwrap();
        assert_eq!(restarts, Restarts { lost: 4, refused: 5, answered: 10 });
    }

    #[test]
    fn a_drill_that_was_not_carried_out_says_why() {
        let json = r#"{"total": {"answered": 1, "lost": 0, "doubled": 0}, "kinds": {},
            "trouble": {"kind": "did-not-end", "text": "it has not ended; it said: x"}}"#;
        assert_eq!(read(json.as_bytes()).unwrap().unwrap_err().to_string(), "it has not ended");
        assert!(read(b"").is_err());
    }
}

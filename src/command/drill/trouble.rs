//! Why a drill could not be carried out.

use std::fmt;
use std::time::Duration;

use super::said::Said;

/// What the server, its restart or the balancer did instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The program cannot be run: a mistake in what was typed.
    CannotRun {
        program: String,
        error: String,
    },
    /// Nobody came to listen. `elsewhere`: ports that were opened instead.
    NeverCameUp {
        port: u16,
        limit: Duration,
        elsewhere: Vec<u16>,
        said: String,
    },
    /// The same, after a restart.
    NeverCameBack {
        port: u16,
        limit: Duration,
        elsewhere: Vec<u16>,
        said: String,
    },
    /// It ended before it listened, or between two restarts.
    Ended {
        how: String,
        said: String,
    },
    /// It was told to end, and did not.
    DidNotEnd {
        signal: &'static str,
        limit: Duration,
        said: String,
    },
    /// The command for the restart failed.
    CommandFailed {
        how: String,
        said: String,
    },
    CommandDidNotEnd {
        limit: Duration,
    },
    /// The same processes listen as before.
    NotRestarted {
        limit: Duration,
        said: String,
    },
    NotAnswered {
        text: String,
        said: String,
    },
    /// The balancer does not take the server for one that it may ask.
    NotTaken {
        balancer: &'static str,
        server: char,
        limit: Duration,
    },
    /// The system refused something that the drill itself needs.
    System(String),
}

impl Trouble {
    /// A word for programs.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Trouble::CannotRun { .. } => "cannot-run",
            Trouble::NeverCameUp { .. } => "never-came-up",
            Trouble::NeverCameBack { .. } => "never-came-back",
            Trouble::Ended { .. } => "ended",
            Trouble::DidNotEnd { .. } => "did-not-end",
            Trouble::CommandFailed { .. } => "command-failed",
            Trouble::CommandDidNotEnd { .. } => "command-did-not-end",
            Trouble::NotRestarted { .. } => "not-restarted",
            Trouble::NotAnswered { .. } => "not-answered",
            Trouble::NotTaken { .. } => "not-taken",
            Trouble::System(_) => "system",
        }
    }

    /// After a restart, a server that does not come up has not come back.
    pub(super) fn after_a_restart(self) -> Trouble {
        match self {
            Trouble::NeverCameUp { port, limit, elsewhere, said } => {
                Trouble::NeverCameBack { port, limit, elsewhere, said }
            }
            other => other,
        }
    }
}

/// What it said last, if anything.
pub(super) fn last_words(said: &Said) -> String {
    let lines = said.last_lines();
    if lines.is_empty() {
        return "; it said nothing".to_owned();
    }
    format!("; it said last:\n  {}", lines.join("\n  "))
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on_port = |f: &mut fmt::Formatter<'_>, what: &str, port, limit, elsewhere: &[u16]| {
            write!(f, "the server {what}: nobody listens on port {port} after {limit:?}")?;
            match elsewhere {
                [] => Ok(()),
                ports => write!(f, ", but on {ports:?}"),
            }
        };
        match self {
            Trouble::CannotRun { program, error } => write!(
                f,
                "cannot run `{program}`: {error}; SERVER is a program and its arguments, without a shell \
                 (sh -c '…' is one)"
            ),
            Trouble::NeverCameUp { port, limit, elsewhere, said } => {
                on_port(f, "never came up", *port, *limit, elsewhere)?;
                f.write_str(said)
            }
            Trouble::NeverCameBack { port, limit, elsewhere, said } => {
                on_port(f, "never came back", *port, *limit, elsewhere)?;
                f.write_str(said)
            }
            Trouble::Ended { how, said } => write!(f, "the server ended by itself, {how}{said}"),
            Trouble::DidNotEnd { signal, limit, said } => {
                write!(f, "the server has not ended {limit:?} after {signal}{said}")
            }
            Trouble::CommandFailed { how, said } => {
                write!(f, "the command of --restart failed, {how}{said}")
            }
            Trouble::CommandDidNotEnd { limit } => {
                write!(f, "the command of --restart has not ended after {limit:?}")
            }
            Trouble::NotRestarted { limit, said } => write!(
                f,
                "the server was not restarted: {limit:?} after the command of --restart the same processes listen{said}"
            ),
            Trouble::NotAnswered { text, said } => write!(f, "{text}{said}"),
            Trouble::NotTaken { balancer, server, limit } => write!(
                f,
                "{balancer} has not taken server {server} for a healthy one after {limit:?}: is --health-path answered?"
            ),
            Trouble::System(text) => f.write_str(text),
        }
    }
}

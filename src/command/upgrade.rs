//! `helloop upgrade`: tells a server to start its successor, and waits until that has taken its place.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::units::PositiveSpan;
use crate::command::run::complain;

const AFTER_HELP: &str = "\
The server with this process number starts the program anew, from the same file and with the same arguments
and environment, and hands its listening sockets over. Once the new one serves, the old one drains, and
ends: no connection is refused. If the new one does not come to serve, the old one goes on; its log says
why. SIGUSR2 does the same.

The new process has another number, and the same parent as the old one has once that has ended. systemd is
told (Type=notify). The first process of a container cannot be replaced so.

Example:
  install -m 755 target/release/helloop /usr/bin/helloop && helloop upgrade $(pidof helloop)

Exit codes:
  0  the old one has drained and ended
  1  it has not: there is no such server, its successor did not come to serve, or time is up
  2  usage";

/// How often it is looked whether the successor is still there.
const GLANCE: Duration = Duration::from_millis(20);

/// Replace a running server by a new process, and refuse nobody meanwhile
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// The number of the server's process
    #[arg(value_name = "PID", value_parser = process)]
    pid: Pid,

    /// The old one must have ended after this time: it drains first
    #[arg(long, value_name = "DURATION", default_value = "60s")]
    timeout: PositiveSpan,
}

fn process(text: &str) -> Result<Pid, String> {
    let number = text.parse().ok().filter(|number: &i32| *number > 0);
    number.and_then(Pid::from_raw).ok_or_else(|| "the number of a process was expected".into())
}

/// Runs the subcommand.
pub(crate) fn main(arguments: &Arguments) -> ExitCode {
    match upgrade(arguments.pid, arguments.timeout) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            complain(format_args!("{text}"));
            ExitCode::FAILURE
        }
    }
}

fn upgrade(pid: Pid, timeout: PositiveSpan) -> Result<(), String> {
    let number = pid.as_raw_nonzero();
    // Of this very process, even if its number is given to another one meanwhile.
    let process = pidfd_open(pid, PidfdFlags::empty())
        .map_err(|error| format!("there is no process {number}: {}", io::Error::from(error)))?;
    // It would be killed by the signal.
    if !catches(number.get(), Signal::USR2.as_raw()) {
        return Err(format!(
            "process {number} does not wait for SIGUSR2: it is no `helloop serve`"
        ));
    }
    pidfd_send_signal(&process, Signal::USR2)
        .map_err(|error| format!("cannot signal process {number}: {}", io::Error::from(error)))?;
    let deadline = Instant::now() + timeout.0;
    let mut had_successor = false;
    while !has_ended(&process).map_err(|error| error.to_string())? {
        let has_successor = has_children(number.get());
        if had_successor && !has_successor {
            return Err(format!(
                "the successor of process {number} did not come to serve; the old one goes on, and its log says why"
            ));
        }
        had_successor = has_successor;
        if Instant::now() >= deadline {
            return Err(format!(
                "process {number} has not ended within {timeout}; its log says why"
            ));
        }
    }
    Ok(())
}

/// Waits a moment for the end of a process.
fn has_ended(process: &OwnedFd) -> io::Result<bool> {
    let glance = Timespec::try_from(GLANCE).map_err(io::Error::other)?;
    let mut waited = [PollFd::new(process, PollFlags::IN)];
    Ok(rustix::io::retry_on_intr(|| poll(&mut waited, Some(&glance)))? > 0)
}

/// Whether a process has a handler for `signal`: `SigCgt` of proc_pid_status(5), one bit for each signal.
fn catches(pid: i32, signal: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = mask.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// Whether it has any, as far as the system says: its successor is a child of one of its threads.
fn has_children(pid: i32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let children = threads.map(|thread| fs::read_to_string(thread.path().join("children")));
    children.flatten().any(|children| !children.trim().is_empty())
}

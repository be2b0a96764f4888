//! Which signals end a server, and which never do.

use std::fs;
use std::io;
use std::sync::Arc;

use helloop::signals::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};

/// What a signal is called.
pub(super) fn name(signal: i32) -> &'static str {
    match signal {
        SIGHUP => "SIGHUP",
        SIGINT => "SIGINT",
        SIGQUIT => "SIGQUIT",
        SIGTERM => "SIGTERM",
        _ => "a signal",
    }
}

/// The signals that begin a drain: those with which supervisors and people end a program, and those
/// that nginx's users know.
///
/// A closed terminal sends SIGHUP. Where that is ignored already, the program is meant to
/// survive its terminal, as with nohup(1), and it stays so.
pub(crate) fn signals_that_drain() -> Vec<i32> {
    let mut signals = vec![SIGTERM, SIGINT, SIGQUIT];
    if !is_ignored(SIGHUP) {
        signals.push(SIGHUP);
    }
    signals
}

/// From now on these do not end the process, as they would by default: scripts that were written for
/// other servers send them to reopen logs or to reload.
///
/// # Errors
/// When the system refuses it.
pub(super) fn outlive_user_signals() -> io::Result<()> {
    for signal in [SIGUSR1, SIGUSR2] {
        // A handler that does next to nothing; the flag is not read.
        signal_hook::flag::register(signal, Arc::default())?;
    }
    Ok(())
}

/// Whether the process ignores `signal`, as far as the system says: `SigIgn` of
/// proc_pid_status(5), one bit for each signal.
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

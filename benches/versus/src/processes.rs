//! What a server's processes cost: CPU time and memory, from `/proc`.

use std::fs;

use anyhow::{Context, Result, bail};
use procfs::process::Process;
use serde::Serialize;

/// CPU time so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Cpu {
    /// Nanoseconds on a core, as the scheduler counts them.
    pub(crate) nanos: u64,
    /// Ticks (10 ms) in user space. Only the ratio of the two is used: it divides `nanos`.
    pub(crate) user_ticks: u64,
    /// Ticks in the kernel.
    pub(crate) system_ticks: u64,
}

impl Cpu {
    /// What was used since `earlier`.
    pub(crate) fn since(self, earlier: Cpu) -> Cpu {
        Cpu {
            nanos: self.nanos.saturating_sub(earlier.nanos),
            user_ticks: self.user_ticks.saturating_sub(earlier.user_ticks),
            system_ticks: self.system_ticks.saturating_sub(earlier.system_ticks),
        }
    }

    /// Nanoseconds in user space: the ticks' share of the whole.
    pub(crate) fn user_nanos(self) -> f64 {
        let ticks = self.user_ticks + self.system_ticks;
        if ticks == 0 { 0.0 } else { self.nanos as f64 * self.user_ticks as f64 / ticks as f64 }
    }
}

/// Memory of all processes together, bytes.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Memory {
    /// Resident pages; those that processes share count for each.
    pub(crate) resident: u64,
    /// Resident pages that no file backs: heap and stacks.
    pub(crate) anonymous: u64,
}

/// The processes of one server: a process group.
#[derive(Clone, Debug)]
pub(crate) struct Processes {
    pids: Vec<i32>,
}

impl Processes {
    /// All processes that are in `group` now.
    pub(crate) fn of_group(group: i32) -> Result<Processes> {
        let all = procfs::process::all_processes().context("/proc cannot be listed")?;
        // Processes may end while they are looked at.
        let pids: Vec<i32> = all
            .filter_map(|process| process.ok()?.stat().ok())
            .filter(|stat| stat.pgrp == group && stat.state != 'Z')
            .map(|stat| stat.pid)
            .collect();
        if pids.is_empty() {
            bail!("the server has ended");
        }
        Ok(Processes { pids })
    }

    /// This one. Its group would have those of other tests in it, which come and go.
    #[cfg(test)]
    pub(crate) fn own() -> Processes {
        Processes { pids: vec![std::process::id().cast_signed()] }
    }

    /// Their ids.
    pub(crate) fn pids(&self) -> &[i32] {
        &self.pids
    }

    /// CPU time of all threads of all processes, so far.
    ///
    /// # Errors
    /// When a process has ended.
    pub(crate) fn cpu(&self) -> Result<Cpu> {
        let mut cpu = Cpu::default();
        for &pid in &self.pids {
            let ended = || format!("the server's process {pid} has ended");
            for thread in fs::read_dir(format!("/proc/{pid}/task")).with_context(ended)? {
                let path = thread?.path().join("schedstat");
                // A thread may end meanwhile.
                let Ok(text) = fs::read_to_string(path) else { continue };
                cpu.nanos += first_number(&text).context("schedstat has no number")?;
            }
            let stat = Process::new(pid).and_then(|process| process.stat()).with_context(ended)?;
            cpu.user_ticks += stat.utime;
            cpu.system_ticks += stat.stime;
        }
        Ok(cpu)
    }

    /// What they hold in memory now.
    pub(crate) fn memory(&self) -> Result<Memory> {
        let mut memory = Memory::default();
        for &pid in &self.pids {
            let status = Process::new(pid)?.status()?;
            memory.resident += status.vmrss.unwrap_or(0) * 1024;
            memory.anonymous += status.rssanon.unwrap_or(0) * 1024;
        }
        Ok(memory)
    }
}

fn first_number(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheduler_s_time_is_divided_as_the_ticks_are() {
        let earlier = Cpu { nanos: 1_000, user_ticks: 5, system_ticks: 5 };
        let used = Cpu { nanos: 9_000, user_ticks: 6, system_ticks: 8 }.since(earlier);
        assert_eq!(used, Cpu { nanos: 8_000, user_ticks: 1, system_ticks: 3 });
        assert_eq!(used.user_nanos(), 2_000.0);
        assert_eq!(Cpu::default().user_nanos(), 0.0);
    }

    #[test]
    fn this_process_is_seen() {
        let group = rustix::process::getpgrp().as_raw_nonzero().get();
        let own = Processes::of_group(group).unwrap();
        assert!(own.pids().contains(&std::process::id().cast_signed()));
        assert!(own.memory().unwrap().resident > 0);
        assert!(own.cpu().unwrap().nanos > 0);
    }
}

//! On what it was measured.

use std::fs;
use std::process::Command;

use procfs::{Current, Meminfo};
use serde::Serialize;

use crate::fitness::{Disturbance, Settings};

/// The machine, as far as it matters.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    /// Of virtual machines.
    pub(crate) hypervisor: bool,
    pub(crate) memory_bytes: u64,
    pub(crate) rustc: String,
    /// Mean number of runnable threads in the minute before the first run.
    pub(crate) load_before: f32,
    pub(crate) settings: Settings,
    /// While nothing was measured yet.
    pub(crate) at_rest: Disturbance,
}

impl Machine {
    /// Why nothing that is measured here now can be believed; empty if it can.
    pub(crate) fn objections(&self) -> Vec<String> {
        let mut objections = self.settings.objections(self.cores);
        objections.extend(self.at_rest.objections_at_rest());
        objections
    }

    /// What else it did and what kept its clock, in a few words.
    pub(crate) fn condition(&self) -> String {
        let Settings { governor, boost, cores_allowed } = &self.settings;
        let Disturbance { steal_percent, busy_percent, .. } = self.at_rest;
        let mut text = format!(
            "before the first run others used {busy_percent:.0} % of the cores, and \
             {steal_percent:.0} % were stolen"
        );
        if !governor.is_empty() {
            text.push_str(&format!("; governor {governor}"));
        }
        if let Some(boost) = boost {
            text.push_str(if *boost { "; boost" } else { "; no boost" });
        }
        if let Some(cores) = cores_allowed {
            text.push_str(&format!("; cpu.max allows {cores:.1} cores"));
        }
        text
    }

    /// Looks around. What cannot be found out is left empty.
    pub(crate) fn look() -> Machine {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let rustc = Command::new("rustc").arg("--version").output();
        Machine {
            processor: field(&cpuinfo, "model name"),
            cores: cpuinfo.lines().filter(|line| line.starts_with("processor")).count(),
            kernel: kernel.trim().to_owned(),
            hypervisor: field(&cpuinfo, "flags").split(' ').any(|flag| flag == "hypervisor"),
            memory_bytes: Meminfo::current().map_or(0, |memory| memory.mem_total),
            rustc: rustc.map_or_else(
                |_| String::new(),
                |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
            ),
            load_before: load.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0.0),
            settings: Settings::look(),
            at_rest: Disturbance::default(),
        }
    }
}

/// The value of the first line of `/proc/cpuinfo` with this name.
fn field(cpuinfo: &str, name: &str) -> String {
    let value = cpuinfo.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        (found.trim() == name).then(|| value.trim())
    });
    value.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_cpuinfo() {
        let text = "processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: fpu hypervisor\n";
        assert_eq!(field(text, "model name"), "Some CPU");
        assert_eq!(field(text, "bugs"), "");
        assert!(Machine::look().cores > 0);
    }
}

//! Whether the machine is fit to be measured on: what else it does, and what is kept from it.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use serde::Serialize;

/// How long the machine is watched before the first run.
const WATCHED: Duration = Duration::from_secs(1);
/// Above this share, the hypervisor kept too much of a core for itself, per cent.
const STEAL_PERCENT_MAX: f64 = 2.0;
/// Above this share of all cores, others are at work, per cent.
const OTHERS_PERCENT_MAX: f64 = 10.0;

/// Time that all cores have spent, in ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Ticks {
    all: u64,
    idle: u64,
    stolen: u64,
}

/// What happened to the cores, and to the cgroup, up to some moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moment {
    ticks: Ticks,
    /// How often the cgroup was stopped because it had used up its share.
    throttled: u64,
}

/// What happened between two moments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Disturbance {
    /// Time that the hypervisor gave to others, per cent of all cores.
    pub(crate) steal_percent: f64,
    /// Time that was not idle, per cent of all cores.
    pub(crate) busy_percent: f64,
    /// How often the cgroup was stopped because it had used up its share.
    pub(crate) throttled: u64,
}

/// What does not change while a session lasts.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Settings {
    /// Of the first core: `performance` keeps the clock up. Empty where there is none, as in most
    /// virtual machines.
    pub(crate) governor: String,
    /// Whether cores may exceed their nominal clock; `None` where the kernel does not say.
    pub(crate) boost: Option<bool>,
    /// Cores that the cgroup may use, if it is limited (`cpu.max`).
    pub(crate) cores_allowed: Option<f64>,
}

impl Moment {
    /// Now.
    pub(crate) fn now() -> Moment {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Moment {
            ticks: ticks_of(&read("/proc/stat")).unwrap_or_default(),
            throttled: throttled_of(&read(&format!("{}/cpu.stat", cgroup()))),
        }
    }

    /// What happened since.
    pub(crate) fn until_now(self) -> Disturbance {
        self.until(Moment::now())
    }

    fn until(self, later: Moment) -> Disturbance {
        let since = |part: fn(Ticks) -> u64| part(later.ticks).saturating_sub(part(self.ticks));
        let all = since(|ticks| ticks.all).max(1) as f64;
        let percent = |ticks: u64| ticks as f64 / all * 100.0;
        let stolen = since(|ticks| ticks.stolen);
        Disturbance {
            steal_percent: percent(stolen),
            busy_percent: 100.0 - percent(since(|ticks| ticks.idle) + stolen),
            throttled: later.throttled.saturating_sub(self.throttled),
        }
    }
}

impl Disturbance {
    /// Watches the machine for a second, while nothing is measured.
    pub(crate) fn at_rest() -> Disturbance {
        let moment = Moment::now();
        sleep(WATCHED);
        moment.until_now()
    }

    /// Why figures from this time cannot be believed; empty if they can.
    pub(crate) fn objections(&self) -> Vec<String> {
        let mut objections = Vec::new();
        if self.steal_percent > STEAL_PERCENT_MAX {
            let steal = self.steal_percent;
            objections.push(format!("the hypervisor kept {steal:.0} % of the cores for others"));
        }
        if self.throttled > 0 {
            let times = self.throttled;
            objections.push(format!("the cgroup was stopped {times} times: see cpu.max"));
        }
        objections
    }

    /// The same, and that others are at work: for a time at which nothing is measured.
    pub(crate) fn objections_at_rest(&self) -> Vec<String> {
        let mut objections = self.objections();
        if self.busy_percent > OTHERS_PERCENT_MAX {
            let busy = self.busy_percent;
            objections.push(format!("others use {busy:.0} % of the cores"));
        }
        objections
    }
}

impl Settings {
    /// Looks; what cannot be found out is left empty.
    pub(crate) fn look() -> Settings {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let cpu = "/sys/devices/system/cpu";
        let boost = match &*read(&format!("{cpu}/cpufreq/boost")) {
            "" => match &*read(&format!("{cpu}/intel_pstate/no_turbo")) {
                "" => None,
                no_turbo => Some(no_turbo == "0"),
            },
            boost => Some(boost == "1"),
        };
        Settings {
            governor: read(&format!("{cpu}/cpu0/cpufreq/scaling_governor")),
            boost,
            cores_allowed: cores_allowed(&read(&format!("{}/cpu.max", cgroup()))),
        }
    }

    /// Why figures from here cannot be believed, on a machine of so many cores.
    pub(crate) fn objections(&self, cores: usize) -> Vec<String> {
        let mut objections = Vec::new();
        if let Some(allowed) = self.cores_allowed
            && allowed < cores as f64
        {
            objections.push(format!("cpu.max allows {allowed:.1} of {cores} cores"));
        }
        if matches!(&*self.governor, "powersave" | "conservative" | "ondemand")
            && self.boost != Some(false)
        {
            let governor = &self.governor;
            objections.push(format!("the governor is {governor}: the clock follows the load"));
        }
        objections
    }
}

/// Where the cgroup (version 2) of this process is.
fn cgroup() -> String {
    let text = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let path = text.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    format!("/sys/fs/cgroup{path}")
}

/// The first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal.
fn ticks_of(stat: &str) -> Option<Ticks> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let numbers: Vec<u64> =
        line.split_ascii_whitespace().take(8).map(str::parse).collect::<Result<_, _>>().ok()?;
    let [_, _, _, idle, iowait, _, _, stolen] = numbers[..] else { return None };
    Some(Ticks { all: numbers.iter().sum(), idle: idle + iowait, stolen })
}

fn throttled_of(stat: &str) -> u64 {
    let value = stat.lines().find_map(|line| line.strip_prefix("nr_throttled "));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

/// `50000 100000`: time in each period, microseconds; `max` if it is not limited.
fn cores_allowed(cpu_max: &str) -> Option<f64> {
    let (time, period) = cpu_max.trim().split_once(' ')?;
    Some(time.parse::<f64>().ok()? / period.parse::<f64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_divided() {
        let earlier = ticks_of("cpu  10 0 10 70 10 0 0 0 0 0\ncpu0 1 2\n").unwrap();
        let later = ticks_of("cpu  40 0 20 100 20 0 0 20 0 0\n").unwrap();
        let [earlier, later] = [earlier, later].map(|ticks| Moment { ticks, throttled: 0 });
        let disturbance = earlier.until(later);
        assert_eq!((disturbance.steal_percent, disturbance.busy_percent), (20.0, 40.0));
        assert_eq!(ticks_of("cpu 1 2 3\n"), None);
        assert_eq!(ticks_of(""), None);
        assert!(Moment::now().ticks.all > 0);
    }

    #[test]
    fn a_quota_is_read() {
        assert_eq!(cores_allowed("150000 100000\n"), Some(1.5));
        assert_eq!(cores_allowed("max 100000\n"), None);
        assert_eq!(cores_allowed(""), None);
        assert_eq!(throttled_of("nr_periods 9\nnr_throttled 4\n"), 4);
        assert_eq!(throttled_of(""), 0);
    }

    #[test]
    fn a_machine_that_is_not_fit_is_told_so() {
        let calm = Disturbance { steal_percent: 1.0, busy_percent: 5.0, throttled: 0 };
        assert!(calm.objections_at_rest().is_empty());
        let stolen = Disturbance { steal_percent: 7.0, ..calm };
        assert!(stolen.objections()[0].contains("kept 7 %"));
        let stopped = Disturbance { throttled: 3, ..calm };
        assert!(stopped.objections()[0].contains("stopped 3 times"));
        // While something is measured, the machine is busy with that.
        let busy = Disturbance { busy_percent: 90.0, ..calm };
        assert!(busy.objections().is_empty());
        assert!(busy.objections_at_rest()[0].contains("others use 90 %"));
        let settings = |governor: &str, boost, cores_allowed| {
            let governor = governor.to_owned();
            Settings { governor, boost, cores_allowed }.objections(2)
        };
        assert!(settings("performance", Some(true), None).is_empty());
        assert!(settings("", None, Some(2.0)).is_empty());
        assert!(settings("", None, Some(1.5))[0].contains("cpu.max allows 1.5 of 2 cores"));
        assert!(settings("ondemand", None, None)[0].contains("the governor is ondemand"));
    }
}

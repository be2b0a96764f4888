//! What a process costs.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use nix::unistd::Pid;

/// A client that takes longer than this is killed.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often a client is looked at from outside. Its peak only grows, so the last look is close.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// What one run of one client cost.
pub(crate) struct Figures {
    /// User and system time of the whole process, its start included.
    pub(crate) cpu: Duration,
    /// From the first fetch to the last body; of a client that does not say so, of the process.
    pub(crate) wall: Duration,
    /// The largest resident set (VmHWM), in KiB.
    pub(crate) peak_kib: u64,
    /// What it printed.
    pub(crate) output: String,
}

/// The cores that this process may use.
pub(crate) fn cores() -> nix::Result<Vec<usize>> {
    let set = sched_getaffinity(Pid::from_raw(0))?;
    Ok((0..CpuSet::count()).filter(|core| set.is_set(*core).unwrap_or(false)).collect())
}

/// Keeps the calling thread, and what it starts from now on, on one core.
pub(crate) fn pin(core: usize) -> nix::Result<()> {
    let mut set = CpuSet::new();
    set.set(core)?;
    sched_setaffinity(Pid::from_raw(0), &set)
}

/// Runs a client on `core`. This process waits on `own_core` meanwhile.
pub(crate) fn measure(
    command: &[String],
    core: usize,
    own_core: usize,
    reports: bool,
) -> Result<Figures, Box<dyn Error>> {
    let mut stdout = temporary_file()?;
    let before = cpu_of_children()?;
    pin(core)?;
    let began = Instant::now();
    let child = Command::new(&command[0])
        .args(&command[1..])
        .stdin(Stdio::null())
        .stdout(stdout.try_clone()?)
        // curl draws a meter there in any case.
        .stderr(if reports { Stdio::inherit() } else { Stdio::null() })
        .spawn();
    pin(own_core)?;
    let (status, seen_peak_kib) = watch(child?)?;
    let wall = began.elapsed();
    let cpu = cpu_of_children()? - before;
    if !status.success() {
        return Err(format!("`{}` failed: {status}", command.join(" ")).into());
    }
    let mut output = String::new();
    stdout.rewind()?;
    stdout.read_to_string(&mut output)?;
    if !reports {
        return Ok(Figures { cpu, wall, peak_kib: seen_peak_kib, output });
    }
    let (wall, peak_kib) = output.trim().split_once(' ').ok_or("no figures were printed")?;
    let (wall, peak_kib) = (Duration::from_micros(wall.parse()?), peak_kib.parse()?);
    Ok(Figures { cpu, wall, peak_kib, output })
}

/// Waits for the end of a process. Returns the largest peak that was seen.
fn watch(mut child: Child) -> io::Result<(ExitStatus, u64)> {
    let began = Instant::now();
    let mut peak = 0;
    loop {
        // A process that has just ended has no peak any more.
        peak = peak.max(peak_kib(&child.id().to_string()).unwrap_or(0));
        if let Some(status) = child.try_wait()? {
            return Ok((status, peak));
        }
        if began.elapsed() > PATIENCE {
            child.kill()?;
        }
        thread::sleep(LOOK_INTERVAL);
    }
}

/// The peak of a process (`self`, or its id) so far, in KiB.
pub(crate) fn peak_kib(process: &str) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
    number.ok_or_else(|| io::Error::other("no VmHWM"))
}

/// CPU time of all processes that were started and have been waited for.
fn cpu_of_children() -> nix::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let microseconds =
        usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(microseconds.unsigned_abs()))
}

/// A file without a name, for more output than a pipe holds.
fn temporary_file() -> io::Result<File> {
    let path = std::env::temp_dir().join(format!("helloop-fetch-{}", std::process::id()));
    let file = File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
    fs::remove_file(path)?;
    Ok(file)
}

//! Pinning threads to cores. A child inherits the cores of the thread that starts it.

use anyhow::{Context, Result, bail};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Which core does what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cores {
    /// The server's.
    pub(crate) server: usize,
    /// The generator's where it does not share the server's.
    pub(crate) generator: usize,
}

impl Cores {
    /// The last two cores that this process may use: the first one often has the machine's chores.
    /// With only one, both are the same.
    pub(crate) fn choose() -> Result<Cores> {
        let set = sched_getaffinity(None).context("the cores cannot be listed")?;
        let usable: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|&core| set.is_set(core)).collect();
        match usable.as_slice() {
            [] => bail!("there is no core"),
            [only] => Ok(Cores { server: *only, generator: *only }),
            [.., server, generator] => Ok(Cores { server: *server, generator: *generator }),
        }
    }

    /// Whether server and generator can run at the same time.
    pub(crate) fn are_two(self) -> bool {
        self.server != self.generator
    }
}

/// Keeps the calling thread, and what it will start, on `core`.
pub(crate) fn pin(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).with_context(|| format!("core {core} cannot be had"))
}

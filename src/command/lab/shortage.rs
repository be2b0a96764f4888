//! Takes all descriptors of this process away for a while: what the scenario `descriptors` shows is real.

use std::fs::{self, File};
use std::io;

use rlimit::Resource;

/// While this lives, the process has no descriptor left. Dropping it gives them back.
#[derive(Debug)]
pub(super) struct Shortage {
    /// The limit as it was: soft and hard.
    limit: (u64, u64),
    /// They fill the gaps below the lowered limit.
    fillers: Vec<File>,
}

impl Shortage {
    /// Lowers the limit to what is open, rather than to open as many files as the limit allows.
    ///
    /// # Errors
    /// When the limit, or what is open, cannot be read or set.
    pub(super) fn begin() -> io::Result<Shortage> {
        let limit @ (_, hard) = Resource::NOFILE.get()?;
        let open = fs::read_dir("/dev/fd")?;
        let numbers =
            open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u64>().ok());
        let highest = numbers.max().unwrap_or(2);
        Resource::NOFILE.set((highest + 1).min(limit.0), hard)?;
        let mut shortage = Shortage { limit, fillers: Vec::new() };
        shortage.fill();
        Ok(shortage)
    }

    /// Takes what was given back since: a page that closes a connection leaves a descriptor.
    pub(super) fn fill(&mut self) {
        while let Ok(filler) = File::open("/dev/null") {
            self.fillers.push(filler);
        }
    }

    /// Gives one back: to a client that is to be there before it is short.
    pub(super) fn spare_one(&mut self) {
        self.fillers.pop();
    }
}

impl Drop for Shortage {
    fn drop(&mut self) {
        let (soft, hard) = self.limit;
        // It was the limit before, so it is allowed.
        let _ = Resource::NOFILE.set(soft, hard);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_short_of_descriptors_only_for_a_while() {
        const EMFILE: i32 = 24;
        // The limit is the process's, and other tests need descriptors: this one looks from a process of its own.
        if std::env::var_os("IS_SHORT").is_none() {
            let this = std::env::current_exe().unwrap();
            let name =
                "command::lab::shortage::tests::a_process_is_short_of_descriptors_only_for_a_while";
            let mut again = std::process::Command::new(this);
            let again = again.args([name, "--exact", "--nocapture"]).env("IS_SHORT", "1");
            let output = again.output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && said.contains("1 passed"), "{said}");
            return;
        }
        let mut shortage = Shortage::begin().unwrap();
        let short = File::open("/dev/null").unwrap_err();
        assert_eq!(short.raw_os_error(), Some(EMFILE));
        shortage.spare_one();
        let spared = File::open("/dev/null").unwrap();
        assert!(File::open("/dev/null").is_err());
        drop(spared);
        shortage.fill();
        assert!(File::open("/dev/null").is_err());
        drop(shortage);
        assert!(File::open("/dev/null").is_ok());
    }
}

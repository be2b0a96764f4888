//! Runs that are written down as they are made, so that a session that was interrupted can go on.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::record::RunRecord;

/// Its name, in the folder of the reports.
pub(crate) const NAME: &str = "versus.runs.jsonl";

/// A file of lines: what the session is, and then a run each.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
}

impl Journal {
    /// Begins a new one, for a session that is described by `what`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn begin(folder: &Path, what: &str) -> Result<Journal> {
        fs::create_dir_all(folder)
            .with_context(|| format!("{} cannot be made", folder.display()))?;
        let path = folder.join(NAME);
        let mut file =
            File::create(&path).with_context(|| format!("{} cannot be written", path.display()))?;
        writeln!(file, "{}", serde_json::to_string(what)?)?;
        Ok(Journal { file })
    }

    /// Goes on with the one that is there, and returns the runs in it. Without one, begins.
    ///
    /// # Errors
    /// When it belongs to another session, or cannot be read.
    pub(crate) fn go_on(folder: &Path, what: &str) -> Result<(Journal, Vec<RunRecord>)> {
        let path = folder.join(NAME);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok((Journal::begin(folder, what)?, Vec::new()));
            }
            Err(error) => {
                return Err(error).with_context(|| format!("{} cannot be read", path.display()));
            }
        };
        // A line that the interrupt cut short is no run.
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        let mut lines = whole.lines();
        let found: String = serde_json::from_str(lines.next().unwrap_or("\"\""))
            .with_context(|| format!("{} is no journal", path.display()))?;
        if found != what {
            bail!(
                "{} is of another session ({found}), not of this one ({what}): choose another \
                 --out, or leave --resume out",
                path.display()
            );
        }
        let runs = lines.map(serde_json::from_str).collect::<Result<_, _>>()?;
        fs::write(&path, whole)?;
        let file = OpenOptions::new().append(true).open(&path)?;
        Ok((Journal { file }, runs))
    }

    /// Writes a run down.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn add(&mut self, run: &RunRecord) -> Result<()> {
        let line = serde_json::to_string(run)? + "\n";
        self.file.write_all(line.as_bytes()).context("the journal cannot be written")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::{gated, record};

    #[test]
    fn a_session_goes_on_where_it_was_interrupted() {
        let folder = tempfile::tempdir().unwrap();
        let mut runs = record(&[("a", 2.5, false), ("b", 1.0, true)]).runs;
        runs.extend(gated().runs.into_iter().filter(|run| !run.violations.is_empty()));
        let (mut journal, none) = Journal::go_on(folder.path(), "this").unwrap();
        assert!(none.is_empty());
        for run in &runs {
            journal.add(run).unwrap();
        }
        // The next one was being written.
        journal.file.write_all(b"{\"case\":\"keep").unwrap();
        let (mut journal, found) = Journal::go_on(folder.path(), "this").unwrap();
        assert_eq!(found, runs);
        journal.add(&runs[0]).unwrap();
        assert_eq!(Journal::go_on(folder.path(), "this").unwrap().1.len(), runs.len() + 1);
        let error = Journal::go_on(folder.path(), "that").unwrap_err().to_string();
        assert!(error.contains("is of another session (this)"), "{error}");
        Journal::begin(folder.path(), "that").unwrap();
        assert!(Journal::go_on(folder.path(), "that").unwrap().1.is_empty());
    }
}

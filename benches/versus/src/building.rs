//! Getting servers ready: is everything there, does it build, which version is it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Result;

use crate::manifest::{Places, Stanza};

/// Lines of a failed build that are shown.
const LINES_SHOWN: usize = 5;

/// A server that can be started.
#[derive(Clone, Debug)]
pub(crate) struct Entrant {
    pub(crate) stanza: Stanza,
    /// What it says of itself, or nothing.
    pub(crate) version: String,
}

/// Why a server takes no part.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Absent {
    pub(crate) name: String,
    pub(crate) reason: String,
    /// The command that would help.
    pub(crate) install: String,
}

/// Builds a server if it needs that. `build` false: takes what is there.
pub(crate) fn prepare(stanza: &Stanza, here: &Path, build: bool) -> Result<Entrant, Absent> {
    let absent = |reason: String| Absent {
        name: stanza.name.clone(),
        reason,
        install: stanza.install.clone(),
    };
    if let Some(missing) = stanza.needs.iter().find(|program| find_program(program).is_none()) {
        return Err(absent(format!("{missing} is not installed")));
    }
    let places = Places::at_rest(here);
    if build && !stanza.build.is_empty() {
        fs::create_dir_all(&places.target).map_err(|error| absent(error.to_string()))?;
        let output = shell(&places.fill(&stanza.build), here);
        let output = output.map_err(|error| absent(format!("it cannot be built: {error}")))?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            let lines: Vec<&str> = text.lines().collect();
            let tail = &lines[lines.len().saturating_sub(LINES_SHOWN)..];
            return Err(absent(format!("it does not build: {}", tail.join(" / "))));
        }
    }
    Ok(Entrant { version: version(stanza, &places), stanza: stanza.clone() })
}

/// The first line that the version's command prints on either output; nothing if it fails.
fn version(stanza: &Stanza, places: &Places) -> String {
    if stanza.version.is_empty() {
        return String::new();
    }
    let Ok(output) = shell(&places.fill(&stanza.version), &places.here) else {
        return String::new();
    };
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    text.lines().next().unwrap_or_default().trim().to_owned()
}

pub(crate) fn shell(command: &str, here: &Path) -> std::io::Result<std::process::Output> {
    Command::new("sh").args(["-c", command]).current_dir(here).stdin(Stdio::null()).output()
}

/// Where `program` is: in the search path, or among the programs for administrators.
pub(crate) fn find_program(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let sbin = [PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")];
    std::env::split_paths(&path)
        .chain(sbin)
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stanza(more: &str) -> Stanza {
        let text = format!("name = \"a\"\nwhat = \"\"\nstart = \"a\"\ninstall = \"get a\"\n{more}");
        toml::from_str(&text).unwrap()
    }

    #[test]
    fn what_is_missing_is_told_with_the_cure() {
        let stanza = stanza("needs = [\"sh\", \"no-such-program\"]");
        let absent = prepare(&stanza, Path::new("/"), true).unwrap_err();
        assert_eq!(
            (&*absent.reason, &*absent.install),
            ("no-such-program is not installed", "get a")
        );
    }

    #[test]
    fn a_build_that_fails_is_told_and_one_that_works_has_a_version() {
        let here = tempfile::tempdir().unwrap();
        let failing = stanza("build = \"echo too bad >&2; exit 1\"");
        let absent = prepare(&failing, here.path(), true).unwrap_err();
        assert_eq!(absent.reason, "it does not build: too bad");
        assert!(prepare(&failing, here.path(), false).is_ok());
        let working = stanza("build = \"true\"\nversion = \"echo 1.2; echo 3\"");
        assert_eq!(prepare(&working, here.path(), true).unwrap().version, "1.2");
    }
}

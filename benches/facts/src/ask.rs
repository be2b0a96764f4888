//! Runs the runtimes' programs and collects their answers.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, fmt, fs, thread};

use anyhow::{Context, bail, ensure};
use wait_timeout::ChildExt;

use crate::questions::QUESTIONS;

/// In the order of the columns.
pub(crate) const NAMES: [&str; 7] =
    ["asyncio", "uvloop", "trio", "node", "tokio", "smol", "helloop"];

/// An answer is recorded only if it is the same in so many runs, one after the other.
const RUNS: usize = 3;

/// A busy machine may hold up a timer in one run, and is given others.
const RUNS_MAX: usize = 6;

/// For all questions; a busy machine needs a fifth of it.
const LIMIT: Duration = Duration::from_secs(60);

const VARIES: &str = "varies";

/// A runtime is not installed.
#[derive(Debug)]
pub(crate) struct Missing(String);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Missing {}

/// What a runtime answers to one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    Answer(String),
    /// The question has no meaning there, for this reason.
    NoMeaning(String),
}

/// All that a runtime answers.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) version: String,
    pub(crate) cells: BTreeMap<String, Cell>,
}

impl Column {
    pub(crate) fn answers(&self) -> usize {
        self.cells.values().filter(|cell| matches!(cell, Cell::Answer(_))).count()
    }

    /// Questions without an answer, and the other way round.
    pub(crate) fn faults(&self) -> Vec<String> {
        let is_asked = |id: &str| QUESTIONS.iter().any(|question| question.id == id);
        let silent = QUESTIONS.iter().filter(|question| !self.cells.contains_key(question.id));
        let unasked = self.cells.keys().filter(|id| !is_asked(id));
        let silent = silent.map(|question| format!("no answer to {}", question.id));
        silent.chain(unasked.map(|id| format!("{id} is not a question"))).collect()
    }
}

/// Asks all of them at the same time: most of it is waiting.
pub(crate) fn all(
    names: &[&'static str],
    installs_nothing: bool,
) -> Vec<(&'static str, anyhow::Result<Column>)> {
    // One after the other, as they share what is installed.
    let programs: Vec<_> =
        names.iter().map(|&name| (name, program(name, installs_nothing))).collect();
    thread::scope(|scope| {
        let start = |(name, program): (&'static str, anyhow::Result<Program>)| {
            (name, scope.spawn(move || program.and_then(|program| program.ask())))
        };
        let started: Vec<_> = programs.into_iter().map(start).collect();
        let finish =
            |thread: thread::ScopedJoinHandle<'_, _>| thread.join().expect("it does not panic");
        started.into_iter().map(|(name, thread)| (name, finish(thread))).collect()
    })
}

/// What answers for a runtime.
struct Program {
    version: String,
    command: Vec<PathBuf>,
}

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn program(name: &str, installs_nothing: bool) -> anyhow::Result<Program> {
    let file = |file: &str| folder().join("runtimes").join(file);
    match name {
        "asyncio" => {
            let python = PathBuf::from("python3");
            let version = output(&python, &["-c", "import sys; print(sys.version.split()[0])"]);
            let version = version.map_err(|error| Missing(format!("python3: {error:#}")))?;
            let version = format!("asyncio of CPython {version}");
            Ok(Program { version, command: vec![python, file("on_asyncio.py")] })
        }
        "uvloop" | "trio" => {
            let (python, version) = python_with(name, installs_nothing)?;
            let version = format!("{name} {version}");
            let command = match name {
                "uvloop" => vec![python, file("on_asyncio.py"), "uvloop".into()],
                _ => vec![python, file("on_trio.py")],
            };
            Ok(Program { version, command })
        }
        "node" => {
            let node = PathBuf::from("node");
            let version = output(&node, &["--version"]);
            let version = version.map_err(|error| Missing(format!("node: {error:#}")))?;
            let version = format!("Node {}", version.trim_start_matches('v'));
            Ok(Program { version, command: vec![node, file("on_node.mjs")] })
        }
        _ => {
            let version = format!("{name} {}", locked_version(name)?);
            let command = vec![env::current_exe()?, "--answer".into(), name.into()];
            Ok(Program { version, command })
        }
    }
}

/// A Python that has a module, with the module's version: one that is there, or one that is made.
fn python_with(module: &str, installs_nothing: bool) -> anyhow::Result<(PathBuf, String)> {
    let own = folder().join("target/venv");
    let own_python = own.join("bin/python");
    let script = format!("import {module}; print({module}.__version__)");
    let version = |python: &Path| output(python, &["-c", &script]);
    for python in [&own_python, Path::new("python3")] {
        if let Ok(version) = version(python) {
            return Ok((python.to_owned(), version));
        }
    }
    if installs_nothing {
        return Err(Missing(format!("python3 has no module {module}")).into());
    }
    let install = || {
        output(Path::new("python3"), &["-m", "venv", &own.display().to_string()])?;
        let packages = folder().join("runtimes/requirements.txt").display().to_string();
        output(&own_python, &["-m", "pip", "install", "--quiet", "--requirement", &packages])?;
        version(&own_python)
    };
    let version =
        install().with_context(|| format!("{module} is missing and cannot be installed"))?;
    Ok((own_python, version))
}

/// The version of a crate that this program was built with.
fn locked_version(name: &str) -> anyhow::Result<String> {
    let lock = fs::read_to_string(folder().join("Cargo.lock"))?;
    let entry = format!("name = \"{name}\"\nversion = \"");
    let (_, rest) = lock.split_once(&entry).with_context(|| format!("{name} is not locked"))?;
    Ok(rest.split('"').next().unwrap_or_default().to_owned())
}

/// What a program prints, in one line.
fn output(program: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program).args(arguments).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

impl Program {
    fn ask(&self) -> anyhow::Result<Column> {
        let mut runs: Vec<BTreeMap<String, Cell>> = Vec::new();
        loop {
            runs.push(parsed(&self.run()?)?);
            let Some(first) = runs.len().checked_sub(RUNS) else { continue };
            if runs[first..].iter().all(|run| *run == runs[first]) || runs.len() == RUNS_MAX {
                break;
            }
        }
        let last = &runs[runs.len() - RUNS..];
        let mut cells = last[0].clone();
        for (id, cell) in &mut cells {
            if last.iter().any(|run| run.get(id) != Some(cell)) {
                *cell = Cell::Answer(VARIES.to_owned());
            }
        }
        Ok(Column { version: self.version.clone(), cells })
    }

    /// What it prints, once.
    fn run(&self) -> anyhow::Result<String> {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let mut out = child.stdout.take().context("its output")?;
        let reader = thread::spawn(move || {
            let mut words = String::new();
            out.read_to_string(&mut words).map(|_| words)
        });
        let status = child.wait_timeout(LIMIT)?;
        if status.is_none() {
            child.kill()?;
            child.wait()?;
        }
        let words = reader.join().expect("it does not panic")?;
        let last = words.lines().last().unwrap_or("nothing");
        match status {
            Some(status) if status.success() => Ok(words),
            Some(status) => bail!("it ended with {status}; the last answer was {last:?}"),
            None => bail!("it did not end within {LIMIT:?}; the last answer was {last:?}"),
        }
    }
}

/// Lines of `ID<TAB>answer` or `ID<TAB>-<TAB>why`.
fn parsed(words: &str) -> anyhow::Result<BTreeMap<String, Cell>> {
    let cell = |line: &str| {
        let mut parts = line.split('\t');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(id), Some("-"), Some(why)) => {
                Some((id.to_owned(), Cell::NoMeaning(why.to_owned())))
            }
            (Some(id), Some(answer), None) if answer != "-" => {
                Some((id.to_owned(), Cell::Answer(answer.to_owned())))
            }
            _ => None,
        }
    };
    let cell = |line| cell(line).with_context(|| format!("not an answer: {line:?}"));
    words.lines().map(cell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_lines_of_two_or_three_parts() {
        let cells = parsed("01\tin order\n02\t-\tthere is no queue\n").unwrap();
        assert_eq!(cells["01"], Cell::Answer("in order".into()));
        assert_eq!(cells["02"], Cell::NoMeaning("there is no queue".into()));
        for line in ["01", "01\t-", "01\ta\tb"] {
            assert!(
                parsed(line).unwrap_err().to_string().contains(line.split('\t').next().unwrap())
            );
        }
    }

    #[test]
    fn an_answer_that_changes_from_run_to_run_varies() {
        let clock = "echo \"01\t$(date +%N)\"; echo '02\tsame'";
        let command = ["sh", "-c", clock].map(PathBuf::from).to_vec();
        let column = Program { version: String::new(), command }.ask().unwrap();
        assert_eq!(column.cells["01"], Cell::Answer(VARIES.into()));
        assert_eq!(column.cells["02"], Cell::Answer("same".into()));
        assert!(column.faults().contains(&"no answer to 03".to_owned()));
    }

    #[test]
    fn a_program_that_fails_is_no_answer() {
        let command = ["sh", "-c", "echo '01\tin order'; exit 3"].map(PathBuf::from).to_vec();
        let error = Program { version: String::new(), command }.ask().unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.contains("in order"), "{error}");
    }
}

//! Plants the bugs of `list.md`, one at a time, in a copy of the sources, and looks for who
//! notices.
//!
//! ```text
//! cargo run --example mutations              all of them; writes its part of docs/mutations.md
//! cargo run --example mutations -- linger    those with a word in their title; writes nothing
//! ```
//!
//! Hostile worlds come first, then the other tests. Who is not noticed by anybody is a checker that
//! is missing: the program fails. It also fails where a text is not found any more.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Seeds of the server's plans, and of the client's, that are tried for each bug.
const SEEDS: &str = "2000";

/// What takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// What takes longer to compile does so on a machine that does other things.
const BUILD_PATIENCE: Duration = Duration::from_secs(900);

/// Where the part of the report begins that this program does not write.
const BY_HAND: &str = "\n## What `cargo mutants` changes";

/// A bug to be planted.
struct Bug {
    title: String,
    path: String,
    /// Where its text is more than once in the file: the function that is meant.
    function: Option<String>,
    search: String,
    replace: String,
}

/// Which check noticed a bug.
enum Verdict {
    /// A hostile world: the checker, the runs that it took, and the mode.
    World {
        checker: String,
        runs: String,
        fetches: bool,
    },
    /// A hostile world hung.
    Hung {
        fetches: bool,
    },
    /// Other tests: the first one by name, and how many.
    Tests {
        first: String,
        count: usize,
    },
    Nobody,
}

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let words: Vec<String> = std::env::args().skip(1).collect();
    match run(root, &words) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(missed) => {
            eprintln!("{missed} bugs were noticed by nobody");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Gives the number of bugs that nobody noticed.
fn run(root: &Path, words: &[String]) -> io::Result<usize> {
    let bugs = plantable(root)?;
    let work = root.join("target/mutations");
    let tree = work.join("tree");
    if tree.exists() {
        fs::remove_dir_all(&tree)?;
    }
    copy(root, &tree)?;
    let copied = Tree { root: tree, target: work.join("target") };
    println!("without a bug");
    copied.judge_by_worlds()?.demand_nobody()?;
    let is_meant = |bug: &&Bug| words.iter().any(|word| bug.title.contains(word));
    let chosen = bugs.iter().filter(|bug| words.is_empty() || is_meant(bug));
    let mut rows: Vec<(&Bug, Verdict)> = Vec::new();
    for bug in chosen {
        let verdict = copied.with(bug, Tree::judge_by_worlds)?;
        println!("{}: {}", bug.title, verdict.cells());
        rows.push((bug, verdict));
    }
    // They take longer: only for what no world has noticed.
    if rows.iter().any(|(_, verdict)| matches!(verdict, Verdict::Nobody)) {
        println!("the other tests, without a bug");
        copied.judge_by_tests()?.demand_nobody()?;
    }
    for (bug, verdict) in &mut rows {
        if let Verdict::Nobody = verdict {
            *verdict = copied.with(bug, Tree::judge_by_tests)?;
            println!("{}: {}", bug.title, verdict.cells());
        }
    }
    if words.is_empty() {
        let path = root.join("docs/mutations.md");
        let old = fs::read_to_string(&path)?;
        let by_hand = old.find(BY_HAND).map_or("", |at| &old[at..]);
        fs::write(&path, report(&rows) + by_hand)?;
    }
    Ok(rows.iter().filter(|(_, verdict)| matches!(verdict, Verdict::Nobody)).count())
}

/// The bugs of the list; all of them can be planted.
fn plantable(root: &Path) -> io::Result<Vec<Bug>> {
    let bugs = read_list(&fs::read_to_string(root.join("tests/mutations/list.md"))?)?;
    for bug in &bugs {
        bug.plant(&fs::read_to_string(root.join(&bug.path))?)?;
    }
    Ok(bugs)
}

/// Reads the sections of the list.
fn read_list(text: &str) -> io::Result<Vec<Bug>> {
    text.split("\n## ").skip(1).map(read_bug).collect()
}

fn read_bug(section: &str) -> io::Result<Bug> {
    let title = section.lines().next().unwrap_or_default().to_owned();
    let bad = || io::Error::other(format!("`{title}`: not a path and two blocks"));
    let place = section.split("\nIn ").nth(1).and_then(|rest| rest.split(":\n").next());
    let names: Vec<&str> = place.unwrap_or_default().split('`').skip(1).step_by(2).collect();
    let (function, path) = match names[..] {
        [path] => (None, path),
        [function, path] => (Some(function), path),
        _ => return Err(bad()),
    };
    let mut blocks = section.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next());
    let (search, replace) = (blocks.next(), blocks.next());
    match (search, replace, blocks.next()) {
        (Some(search), Some(replace), None) => Ok(Bug {
            path: path.to_owned(),
            function: function.map(str::to_owned),
            search: search.to_owned(),
            replace: replace.to_owned(),
            title,
        }),
        _ => Err(bad()),
    }
}

impl Bug {
    /// The text of its file, with the bug in it.
    fn plant(&self, text: &str) -> io::Result<String> {
        let wrong = |why: String| io::Error::other(format!("`{}`: {why}", self.title));
        let within = match &self.function {
            None => 0..text.len(),
            Some(name) => function(name, text)
                .ok_or_else(|| wrong(format!("no function `{name}` in {}", self.path)))?,
        };
        match &places(&text[within.clone()], &self.search)[..] {
            [place] => {
                let (begins, ends) = (within.start + place.start, within.start + place.end);
                Ok([&text[..begins], self.replace.trim(), &text[ends..]].concat())
            }
            others => {
                let count = others.len();
                Err(wrong(format!("its text is {count} times in {}, not once", self.path)))
            }
        }
    }
}

/// Where the function with this name stands: to the brace below its first letter.
fn function(name: &str, text: &str) -> Option<Range<usize>> {
    let begins = text.find(&format!("fn {name}(")).or_else(|| text.find(&format!("fn {name}<")))?;
    let line = text[..begins].rfind('\n').map_or(0, |end| end + 1);
    let indent = text[line..].len() - text[line..].trim_start().len();
    let end = format!("\n{}}}\n", " ".repeat(indent));
    Some(begins..begins + text[begins..].find(&end)? + end.len())
}

/// Where `search` is in `text`, however the lines of either are broken and indented.
fn places(text: &str, search: &str) -> Vec<Range<usize>> {
    let solid = |text: &str| -> (Vec<usize>, String) {
        text.char_indices().filter(|(_, character)| !character.is_whitespace()).unzip()
    };
    let (search, (indices, solid_text)) = (solid(search).1, solid(text));
    // By bytes in the one, by characters in the other: the count of characters before leads across.
    let found = solid_text.match_indices(&search).map(|(at, _)| {
        let first = solid_text[..at].chars().count();
        let last = first + search.chars().count() - 1;
        let ends = indices[last] + text[indices[last]..].chars().next().map_or(0, char::len_utf8);
        indices[first]..ends
    });
    found.collect()
}

/// A copy of the sources.
struct Tree {
    root: PathBuf,
    target: PathBuf,
}

impl Tree {
    /// What `judge` says while `bug` is in the copy.
    fn with(&self, bug: &Bug, judge: impl Fn(&Tree) -> io::Result<Verdict>) -> io::Result<Verdict> {
        let path = self.root.join(&bug.path);
        let good = fs::read_to_string(&path)?;
        fs::write(&path, bug.plant(&good)?)?;
        let verdict = judge(self);
        fs::write(&path, good)?;
        verdict.map_err(|error| io::Error::other(format!("`{}`: {error}", bug.title)))
    }

    fn judge_by_worlds(&self) -> io::Result<Verdict> {
        let mut build = self.cargo(&["build", "--quiet", "--example", "hostile"]);
        let (output, is_good) = self.finish(build.spawn()?, BUILD_PATIENCE)?;
        if is_good != Some(true) {
            return Err(io::Error::other(format!("it does not compile:\n{output}")));
        }
        for fetches in [false, true] {
            let mut worlds = Command::new(self.target.join("debug/examples/hostile"));
            worlds.args(["--no-shrink", "--seeds", SEEDS]).args(fetches.then_some("--fetch"));
            let (output, is_good) = self.finish(self.told(&mut worlds)?.spawn()?, PATIENCE)?;
            match is_good {
                None => return Ok(Verdict::Hung { fetches }),
                Some(true) => {}
                Some(false) => return Ok(Verdict::of_world(&output, fetches)),
            }
        }
        Ok(Verdict::Nobody)
    }

    fn judge_by_tests(&self) -> io::Result<Verdict> {
        // Built first and then run by us, because ending cargo does not end what it has started.
        let mut build = self.cargo(&["test", "--no-run", "--lib", "--test", "library"]);
        let (output, is_good) = self.finish(build.spawn()?, BUILD_PATIENCE)?;
        let programs = output.lines().filter_map(|line| {
            let path = line.trim_start().strip_prefix("Executable ")?.split_once(" (")?.1;
            Some(path.trim_end_matches(')').to_owned())
        });
        let programs: Vec<String> = programs.collect();
        if is_good != Some(true) || programs.len() != 2 {
            return Err(io::Error::other(format!("its tests do not compile:\n{output}")));
        }
        let (mut failed, mut has_hung) = (Vec::new(), false);
        for program in programs {
            let mut tests = Command::new(program);
            tests.args(["--skip", "hostile"]).current_dir(&self.root);
            let (output, is_good) = self.finish(self.told(&mut tests)?.spawn()?, PATIENCE)?;
            has_hung |= is_good.is_none();
            let lines = output.lines().filter_map(|line| line.strip_prefix("test "));
            failed.extend(
                lines.filter_map(|line| line.strip_suffix(" ... FAILED").map(str::to_owned)),
            );
        }
        failed.sort_unstable();
        Ok(match (failed.first(), has_hung) {
            (Some(first), _) => Verdict::Tests { first: first.clone(), count: failed.len() },
            (None, true) => Verdict::Tests { first: "one that hangs".into(), count: 1 },
            (None, false) => Verdict::Nobody,
        })
    }

    fn cargo(&self, words: &[&str]) -> Command {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(words).current_dir(&self.root).env("CARGO_TARGET_DIR", &self.target);
        self.told(&mut cargo).expect("the directory is there");
        cargo
    }

    fn log(&self) -> PathBuf {
        self.target.with_file_name("output.txt")
    }

    /// Has `command` write what it says to a file, which fills no pipe that nobody reads.
    fn told<'a>(&self, command: &'a mut Command) -> io::Result<&'a mut Command> {
        let log = File::create(self.log())?;
        Ok(command.stdout(log.try_clone()?).stderr(log).stdin(Stdio::null()))
    }

    /// Waits for a program: what it said, and whether it succeeded; `None` if it was ended because
    /// it took too long.
    fn finish(&self, mut child: Child, patience: Duration) -> io::Result<(String, Option<bool>)> {
        let began = Instant::now();
        let status = loop {
            match child.try_wait()? {
                Some(status) => break Some(status.success()),
                None if began.elapsed() > patience => {
                    child.kill()?;
                    child.wait()?;
                    break None;
                }
                None => thread::sleep(Duration::from_millis(20)),
            }
        };
        let output = fs::read(self.log())?;
        Ok((String::from_utf8_lossy(&output).into_owned(), status))
    }
}

impl Verdict {
    /// `seed 17 failed after 17 runs: the checker: what it complains of`.
    fn of_world(output: &str, fetches: bool) -> Verdict {
        let line = output.lines().find(|line| line.starts_with("seed "));
        let after = line.and_then(|line| line.split_once(" failed after "));
        let rest = after.and_then(|(_, rest)| rest.split_once(" runs: "));
        match rest {
            Some((runs, complaint)) => Verdict::World {
                checker: complaint.split(": ").next().unwrap_or_default().to_owned(),
                runs: runs.to_owned(),
                fetches,
            },
            None => {
                let last = output.lines().last().unwrap_or_default().to_owned();
                Verdict::World {
                    checker: format!("the program ended: {last}"),
                    runs: "?".into(),
                    fetches,
                }
            }
        }
    }

    /// Without a bug there is nothing to notice.
    fn demand_nobody(&self) -> io::Result<()> {
        match self {
            Verdict::Nobody => Ok(()),
            _ => Err(io::Error::other(format!("it fails by itself: {}", self.cells()))),
        }
    }

    /// The cells of its row.
    fn cells(&self) -> String {
        let kind = |fetches: &bool| if *fetches { "a client's world" } else { "a server's world" };
        match self {
            Verdict::World { checker, runs, fetches } => {
                format!("{} | {checker} | {runs}", kind(fetches))
            }
            Verdict::Hung { fetches } => format!("{} | it hangs | –", kind(fetches)),
            Verdict::Tests { first, count: 1 } => format!("tests | `{first}` | –"),
            Verdict::Tests { first, count } => {
                format!("tests | `{first}` and {} more | –", count - 1)
            }
            Verdict::Nobody => "**nobody** | | –".into(),
        }
    }
}

fn report(rows: &[(&Bug, Verdict)]) -> String {
    let mut text = String::from(
        "# Planted bugs, and who notices them\n\n\
         Written by `cargo run --example mutations`, which plants the bugs of\n\
         [tests/mutations/list.md](../tests/mutations/list.md) one at a time. A server's world is\n\
         a run of `cargo run --example hostile`, a client's world one with `--fetch`; 2,000 seeds\n\
         of each are tried, then the other tests. The last column counts the worlds that did not\n\
         notice before one did.\n\n\
         | bug | noticed by | which says | good runs before |\n|---|---|---|---|\n",
    );
    for (bug, verdict) in rows {
        writeln!(text, "| {} | {} |", bug.title, verdict.cells()).expect("a String takes it");
    }
    let by = |found: fn(&Verdict) -> bool| rows.iter().filter(|(_, v)| found(v)).count();
    let worlds = by(|verdict| matches!(verdict, Verdict::World { .. } | Verdict::Hung { .. }));
    let tests = by(|verdict| matches!(verdict, Verdict::Tests { .. }));
    let nobody = by(|verdict| matches!(verdict, Verdict::Nobody));
    writeln!(
        text,
        "\n{} bugs: {worlds} noticed by hostile worlds, {tests} by other tests, {nobody} by none.",
        rows.len()
    )
    .expect("a String takes it");
    text
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        return fs::copy(from, to).map(drop);
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        // A copy has its own.
        if name == "target" || name == ".git" {
            continue;
        }
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

/// A change of the sources has changed the list, too.
#[test]
fn every_bug_can_be_planted() {
    let bugs =
        plantable(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap_or_else(|error| panic!("{error}"));
    assert!(bugs.len() >= 20, "{} bugs", bugs.len());
}

#[test]
fn a_text_is_found_however_it_is_laid_out() {
    let text =
        "fn one() {\n    let é = call(a,\n        b);\n}\n\nfn two() {\n    call(a, b);\n}\n";
    let found = places(text, "call(a, b);");
    assert_eq!(
        found.iter().map(|place| &text[place.clone()]).collect::<Vec<_>>(),
        ["call(a,\n        b);", "call(a, b);"]
    );
    assert_eq!(&text[function("one", text).unwrap()], &text[..text.find("\nfn two").unwrap()]);
    assert!(function("three", text).is_none());
}

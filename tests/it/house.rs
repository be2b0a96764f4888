//! The size of the loop, and how far a reader has to go for one turn of it. A change that makes the core larger
//! has to say so here, and why.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Lines of code in `src/event_loop/`, without tests, comments and blank lines. The aim is 920.
const CODE_LINES_MAX: usize = 1_278;

/// Functions of the loop that one turn may come through, and the files in which they stand. The aim is 20 in
/// at most 5.
const TURN_FUNCTIONS_MAX: usize = 22;
const TURN_FILES_MAX: usize = 4;

/// For the files in which the loop explains itself: comments in 100 lines of text, blank ones not counted.
const COMMENT_PERCENT_MIN: [(&str, usize); 5] =
    [("mod.rs", 39), ("state.rs", 30), ("turn.rs", 30), ("task.rs", 32), ("timers.rs", 36)];

/// What calls tasks, observers and destructors, and what has the name of a function of `std`: not followed.
const NOT_FOLLOWED: [&str; 9] =
    ["resume", "new", "clone", "drop", "tell", "set", "iter", "now", "cause"];

struct File {
    name: String,
    code: String,
    comments: usize,
}

impl File {
    fn lines(&self) -> usize {
        self.code.lines().count()
    }
}

fn files() -> Vec<File> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/event_loop");
    let entries = fs::read_dir(directory).expect("the loop's directory");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let is_code = |path: &Path| path.extension().is_some_and(|extension| extension == "rs");
    let sources = paths.filter(|path| is_code(path) && !path.ends_with("tests.rs"));
    let file = |path: std::path::PathBuf| {
        let text = fs::read_to_string(&path).expect("a source file can be read");
        let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        let (comments, code): (Vec<&str>, Vec<&str>) =
            lines.partition(|line| line.trim_start().starts_with("//"));
        let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
        File { name, code: code.join("\n"), comments: comments.len() }
    };
    sources.map(file).collect()
}

/// The functions that are defined in `code`: name and body. A declaration without a body is none.
fn functions(code: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let rest = &code[at + 3..];
        let name = rest.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next();
        let (Some(name), Some(begins)) = (name, rest.find('{')) else { continue };
        if name.is_empty() || rest.find(';').is_some_and(|end| end < begins) {
            continue;
        }
        let mut depth = 0;
        let ends = rest[begins..].find(|c| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            depth == 0
        });
        found.push((name, &rest[begins..begins + ends.unwrap_or(0)]));
    }
    found
}

/// The names that are called in `body`: words before a parenthesis.
fn called(body: &str) -> BTreeSet<&str> {
    let before = body.match_indices('(').map(|(at, _)| &body[..at]);
    let word = |text: &str| {
        text.len()
            - text
                .trim_end_matches(|c: char| {
                    c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit()
                })
                .len()
    };
    before.map(|text| &text[text.len() - word(text)..]).filter(|name| !name.is_empty()).collect()
}

#[test]
fn the_loop_is_read_in_one_sitting() {
    let lines: usize = files().iter().map(File::lines).sum();
    assert!(lines > 500, "the files were found");
    assert!(lines <= CODE_LINES_MAX, "src/event_loop has {lines} lines of code");
}

#[test]
fn one_turn_is_few_functions_in_few_files() {
    let files = files();
    let mut defined: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for file in &files {
        for (name, body) in functions(&file.code) {
            defined.entry(name).or_default().push((&file.name, body));
        }
    }
    let (mut reached, mut next) = (BTreeSet::new(), vec!["turn"]);
    while let Some(name) = next.pop() {
        let Some(bodies) = defined.get(name).filter(|_| !NOT_FOLLOWED.contains(&name)) else {
            continue;
        };
        if reached.insert(name) {
            next.extend(bodies.iter().flat_map(|(_, body)| called(body)));
        }
    }
    for step in ["begin_turn", "resume_next_then", "end_turn", "pop_due", "put_back"] {
        assert!(reached.contains(step), "{step} is part of a turn: {reached:?}");
    }
    let places: BTreeSet<&str> =
        reached.iter().flat_map(|name| defined[name].iter().map(|(file, _)| *file)).collect();
    let sizes = (reached.len(), places.len());
    assert!(sizes.0 <= TURN_FUNCTIONS_MAX, "a turn is {} functions: {reached:?}", sizes.0);
    assert!(sizes.1 <= TURN_FILES_MAX, "a turn is in {} files: {places:?}", sizes.1);
}

#[test]
fn the_files_that_teach_say_why() {
    let files = files();
    for (name, least) in COMMENT_PERCENT_MIN {
        let file = files.iter().find(|file| file.name == name).expect("the file is there");
        let percent = 100 * file.comments / (file.comments + file.lines());
        assert!(percent >= least, "{name} is {percent} % comments");
    }
}

//! The size of the loop, and how far a reader has to go for one turn of it, and for one request. A change that makes
//! them larger has to say so here, and why.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Lines of code in `src/event_loop/`, without tests, comments and blank lines.
const CODE_LINES_MAX: usize = 920;

/// Functions of the loop that one turn may come through, and the files in which they stand.
const TURN_FUNCTIONS_MAX: usize = 20;
const TURN_FILES_MAX: usize = 4;

/// For the files in which the loop explains itself: comments in 100 lines of text, blank ones not counted.
const COMMENT_PERCENT_MIN: [(&str, usize); 8] = [
    ("mod.rs", 40),
    ("state.rs", 39),
    ("turn.rs", 40),
    ("timers.rs", 40),
    ("task.rs", 35),
    ("source.rs", 33),
    ("handle.rs", 30),
    ("wake.rs", 30),
];

/// What calls tasks, observers and destructors, and what has the name of a function of `std`: not followed.
const NOT_FOLLOWED: [&str; 9] =
    ["resume", "new", "clone", "drop", "tell", "set", "iter", "now", "cause"];

/// Functions from accepting a connection to the written answer of a request that comes whole, and the files in which
/// they stand. The turns that resume the two tasks are not counted again.
const REQUEST_FUNCTIONS_MAX: usize = 100;
const REQUEST_FILES_MAX: usize = 18;

/// Where those functions may stand: files, and directories.
const REQUEST_PLACES: [&str; 20] = [
    "server/acceptor.rs",
    "server/asking.rs",
    "server/connection",
    "server/room.rs",
    "accepting.rs",
    "lazy_timer.rs",
    "panics.rs",
    "greeting.rs",
    "http/encode.rs",
    "http/exchange.rs",
    "http/exchange/found.rs",
    "http/exchange/room.rs",
    "http/framing.rs",
    "http/grammar.rs",
    "http/head.rs",
    "http/request.rs",
    "http/response.rs",
    "event_loop/source.rs",
    "event_loop/handle.rs",
    "world/mod.rs",
];

/// What such a request does not come through: what has the name of a function of `std`, then what is refused, fails,
/// waits or ends, heads that come in parts, other answers, bodies, and what only a log or an observer asks for.
/// Callgrind over a small build without optimisation, with one request, shows what is really run: apart from constructors,
/// it is what is reached here.
const NOT_ON_THE_WAY: &str = "
    new clone drop default set iter len get take from of is_empty push append text first remove status handle wall
    resume kind describe count_if_cut back_off cannot_open wait_for_room cut pause warn call_for_a_pause
    refuse fail time_is_up end abandon serve_part flush linger close wait_to_write reason_of must_linger
    receive next_of_body wrong wrong_request wrong_in_body keep keep_request body_policy
    scan_request_line scan_method line_end parse position all state_of
    absolute is_ip_literal is_authority_with_port split_query scan_fields version line_end_behind
    begin date_line status_line header allow expect message_field codings framing expectation
    drop_payload panic_text spawn_task connection link_first task reply_framing stop_waiting
    unlink hands_bodies_on report decode_escapes log_answer
    assume_ready cancel clock since sockets_left target wake code introduce";

struct File {
    /// From `src/` on.
    name: String,
    code: String,
    comments: usize,
}

impl File {
    fn lines(&self) -> usize {
        self.code.lines().count()
    }
}

/// The loop's.
fn files() -> Vec<File> {
    files_in("event_loop")
}

/// A file of `src/`, or those of a directory.
fn files_in(place: &str) -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let place = root.join(place);
    let paths = match fs::read_dir(&place) {
        Ok(entries) => entries.map(|entry| entry.expect("an entry").path()).collect(),
        Err(_) => vec![place],
    };
    let is_code = |path: &Path| path.extension().is_some_and(|extension| extension == "rs");
    let sources = paths.into_iter().filter(|path| is_code(path) && !path.ends_with("tests.rs"));
    let file = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a source file can be read");
        let text = text.replace("#[cfg(test)]\nmod tests;", "");
        // Tests in a file of their own may be named anywhere, those in the file stand at its end.
        let text = text.replace("#[cfg(test)]\nmod tests;", "");
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        let (comments, code): (Vec<&str>, Vec<&str>) =
            lines.partition(|line| line.trim_start().starts_with("//"));
        let name = path.strip_prefix(&root).expect("it is in there").to_string_lossy().into_owned();
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
        // A length of an array in the signature has a semicolon as well.
        let mut brackets = 0;
        let body_or_end = rest.find(|c| {
            brackets += i32::from(matches!(c, '(' | '[')) - i32::from(matches!(c, ')' | ']'));
            c == '{' || (c == ';' && brackets == 0)
        });
        let (Some(name), Some(begins)) = (name, body_or_end) else { continue };
        if name.is_empty() || rest[begins..].starts_with(';') {
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

/// The functions of `files` that are reached from `roots`, and where functions of these names stand.
fn reached<'a>(
    files: &'a [File],
    roots: &[&'a str],
    is_followed: impl Fn(&str) -> bool,
) -> (BTreeSet<&'a str>, BTreeSet<&'a str>) {
    let mut defined: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for file in files {
        for (name, body) in functions(&file.code) {
            defined.entry(name).or_default().push((&file.name, body));
        }
    }
    let (mut reached, mut next) = (BTreeSet::new(), roots.to_vec());
    while let Some(name) = next.pop() {
        let is_root = roots.contains(&name);
        let Some(bodies) = defined.get(name).filter(|_| is_root || is_followed(name)) else {
            continue;
        };
        if reached.insert(name) {
            next.extend(bodies.iter().flat_map(|(_, body)| called(body)));
        }
    }
    let places =
        reached.iter().flat_map(|name| defined[name].iter().map(|(file, _)| *file)).collect();
    (reached, places)
}

#[test]
fn one_turn_is_few_functions_in_few_files() {
    let files = files();
    let (reached, places) = reached(&files, &["turn"], |name| !NOT_FOLLOWED.contains(&name));
    for step in ["begin_turn", "resume_next_then", "end_turn", "pop_due", "put_back"] {
        assert!(reached.contains(step), "{step} is part of a turn: {reached:?}");
    }
    let sizes = (reached.len(), places.len());
    assert!(sizes.0 <= TURN_FUNCTIONS_MAX, "a turn is {} functions: {reached:?}", sizes.0);
    assert!(sizes.1 <= TURN_FILES_MAX, "a turn is in {} files: {places:?}", sizes.1);
}

#[test]
fn one_request_is_not_too_many_functions() {
    let files: Vec<File> = REQUEST_PLACES.into_iter().flat_map(files_in).collect();
    let not_on_the_way: BTreeSet<&str> = NOT_ON_THE_WAY.split_whitespace().collect();
    let is_followed = |name: &str| !not_on_the_way.contains(name);
    let (reached, places) = reached(&files, &["accept_some", "resume"], is_followed);
    for step in ["accept", "open", "read", "next", "field", "ask", "call", "encode", "write_all"] {
        assert!(reached.contains(step), "{step} is part of a request: {reached:?}");
    }
    let sizes = (reached.len(), places.len());
    assert!(sizes.0 <= REQUEST_FUNCTIONS_MAX, "a request is {} functions: {reached:?}", sizes.0);
    assert!(sizes.1 <= REQUEST_FILES_MAX, "a request is in {} files: {places:?}", sizes.1);
}

#[test]
fn the_files_that_teach_say_why() {
    let files = files();
    for (name, least) in COMMENT_PERCENT_MIN {
        let name = format!("event_loop/{name}");
        let file = files.iter().find(|file| file.name == name).expect("the file is there");
        let percent = 100 * file.comments / (file.comments + file.lines());
        assert!(percent >= least, "{name} is {percent} % comments");
    }
}

//! The architecture as absences: what a module must not know. Reads the `crate::` paths of `src/`
//! outside of tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// For each module, the modules that it may use. Who is not listed may use everything.
const MAY_USE: &[(&str, &[&str])] = &[
    ("id", &[]),
    ("limits", &[]),
    ("printable", &[]),
    ("panics", &[]),
    ("locks", &[]),
    ("lazy_timer", &["id", "world", "event_loop"]),
    ("accepting", &["limits", "world"]),
    // The loop for one thing only: that it is a descriptor, which the operating system's file says of it.
    ("world", &["id", "limits", "event_loop"]),
    ("events", &["id", "panics", "world", "event_loop"]),
    ("event_loop", &["id", "limits", "panics", "locks", "world", "events"]),
    // A second root: it knows no socket, no clock and no loop.
    ("http", &["limits"]),
    (
        "server",
        &[
            "id",
            "limits",
            "panics",
            "locks",
            "lazy_timer",
            "accepting",
            "world",
            "events",
            "event_loop",
            "http",
            "coroutine",
            "signals",
        ],
    ),
    (
        "coroutine",
        &["id", "limits", "panics", "locks", "accepting", "world", "events", "event_loop"],
    ),
    (
        "client",
        &[
            "id",
            "limits",
            "printable",
            "world",
            "events",
            "event_loop",
            "lazy_timer",
            "http",
            "coroutine",
        ],
    ),
    ("signals", &["id", "limits", "world", "events", "event_loop"]),
    (
        "lab",
        &[
            "id",
            "limits",
            "panics",
            "locks",
            "world",
            "events",
            "event_loop",
            "http",
            "coroutine",
            "client",
            "server",
            "watch",
        ],
    ),
    ("watch", &["id", "limits", "printable", "panics", "locks", "world", "events", "event_loop"]),
    ("greeting", &["http", "server"]),
];

/// The modules of the binary: they stand above everything.
const BINARY: [&str; 2] = ["main", "command"];

/// A source file, as far as it is no test.
struct Source {
    path: PathBuf,
    /// The first component below `src`: `http` for `src/http/head.rs`.
    module: String,
    code: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    collect(&root, &mut paths);
    let source = |path: PathBuf| {
        let inside = path.strip_prefix(&root).expect("it was found there");
        let first = inside.iter().next().expect("a file has a name");
        let module = Path::new(first).file_stem().and_then(|stem| stem.to_str());
        let module = module.expect("our names are ASCII").to_owned();
        let text = fs::read_to_string(&path).expect("a source file can be read");
        Source { module, code: without_tests_and_comments(&text), path }
    };
    let is_test =
        |path: &Path| path.ends_with("tests.rs") || path.iter().any(|part| part == "tests");
    paths
        .into_iter()
        .filter(|path| !is_test(path.strip_prefix(&root).expect("it was found there")))
        .map(source)
        .collect()
}

fn collect(directory: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

/// Test modules are the last thing in a file here, and examples in comments may name everything.
fn without_tests_and_comments(text: &str) -> String {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.map(|line| format!("{line}\n")).collect()
}

/// The modules that `code` names in paths that begin with `crate::`.
fn used_by(code: &str) -> BTreeSet<String> {
    code.split("crate::").skip(1).flat_map(first_components).collect()
}

/// `world::Stream` is `world`; `{id::TaskId, limits}` is both.
fn first_components(path: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        text.trim().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
    };
    let Some(list) = path.strip_prefix('{') else { return vec![word(path)] };
    let (mut depth, mut words, mut begins) = (0, Vec::new(), 0);
    for (at, byte) in list.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth > 0 => depth -= 1,
            b',' | b'}' if depth == 0 => {
                words.push(word(&list[begins..at]));
                begins = at + 1;
                if byte == b'}' {
                    break;
                }
            }
            _ => {}
        }
    }
    words.into_iter().filter(|word| !word.is_empty()).collect()
}

/// Uses that the table forbids, as `file uses module`.
fn forbidden(sources: &[Source]) -> Vec<String> {
    let table: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let mut found = Vec::new();
    for source in sources {
        let Some(allowed) = table.get(source.module.as_str()) else { continue };
        for used in used_by(&source.code) {
            let is_module = table.contains_key(used.as_str()) || is_unlisted_module(&used);
            if is_module && used != source.module && !allowed.contains(&used.as_str()) {
                found.push(format!("{} uses {used}", source.path.display()));
            }
        }
    }
    found
}

/// The vocabulary of events and the loop share one level: what happens is told in the loop's words, which are
/// two, and the loop emits events.
#[test]
fn the_vocabulary_of_events_takes_two_words_from_the_loop() {
    for source in sources().iter().filter(|source| source.module == "events") {
        let uses = source.code.split("crate::event_loop::").skip(1);
        for used in uses {
            let words = first_components(used);
            let known = words.iter().all(|word| ["Cause", "Flow"].contains(&word.as_str()));
            assert!(known, "{} uses {words:?}", source.path.display());
        }
    }
}

/// Upper modules that the table does not list; nothing listed may use them.
fn is_unlisted_module(name: &str) -> bool {
    BINARY.contains(&name)
}

fn naming(sources: &[Source], word: &str) -> Vec<String> {
    let has = |source: &&Source| source.code.contains(word);
    sources.iter().filter(has).map(|source| source.path.display().to_string()).collect()
}

#[test]
fn a_module_uses_only_lower_levels() {
    let sources = sources();
    assert!(sources.len() > 30, "the sources were found: {}", sources.len());
    for (module, _) in MAY_USE {
        let mut found = sources.iter().filter(|source| source.module == *module);
        assert!(found.next().is_some(), "the table speaks of {module}, which is not there");
    }
    assert_eq!(forbidden(&sources), Vec::<String>::new());
}

#[test]
fn server_and_coroutine_meet_in_two_files() {
    let sources = sources();
    let servers = sources.iter().filter(|source| source.module == "server");
    let meeting = servers.filter(|source| used_by(&source.code).contains("coroutine"));
    let mut names: Vec<_> = meeting.filter_map(|source| source.path.file_name()).collect();
    names.sort();
    // Where a handler is awaited, and where a connection is written as one, to be compared.
    assert_eq!(names, ["coroutine.rs", "twin.rs"]);
}

#[test]
fn nobody_below_the_binary_knows_the_greeting() {
    let below: Vec<Source> =
        sources().into_iter().filter(|s| !BINARY.contains(&s.module.as_str())).collect();
    assert_eq!(naming(&below, "greeting::"), Vec::<String>::new());
}

#[test]
fn one_file_names_mio() {
    let sources = sources();
    let naming = naming(&sources, "mio::");
    assert!(naming.len() == 1 && naming[0].ends_with("src/world/os.rs"), "{naming:?}");
}

#[test]
fn the_world_knows_the_loop_as_a_descriptor_only() {
    let sources = sources();
    let worlds: Vec<Source> = sources.into_iter().filter(|s| s.module == "world").collect();
    let knowing = naming(&worlds, "event_loop");
    assert!(knowing.len() == 1 && knowing[0].ends_with("world/os.rs"), "{knowing:?}");
}

#[test]
fn the_loop_knows_the_operating_system_in_its_constructor_only() {
    let sources = sources();
    let below = sources.iter().filter(|s| ["event_loop", "events"].contains(&s.module.as_str()));
    let knowing: Vec<_> = below.filter(|source| source.code.contains("world::os")).collect();
    let path = &knowing[0].path;
    assert!(knowing.len() == 1 && path.ends_with("event_loop/mod.rs"), "{}", path.display());
}

#[test]
fn the_library_prints_nothing_and_is_safe() {
    let sources = sources();
    let library = sources.iter().filter(|s| !BINARY.contains(&s.module.as_str()));
    for source in library {
        for word in ["println!", "print!(", "eprint", "dbg!", "unsafe ", "process::exit"] {
            let has = source.code.contains(word);
            assert!(!has, "{} has `{word}`", source.path.display());
        }
    }
    let lib = sources.iter().find(|source| source.path.ends_with("src/lib.rs"));
    assert!(lib.expect("a library").code.contains("#![forbid(unsafe_code)]"));
}

#[test]
fn http_knows_no_clock_and_no_socket() {
    for source in sources().iter().filter(|source| source.module == "http") {
        for word in ["Instant", "SystemTime::now", "std::fs", "TcpStream", "log::", "thread"] {
            let has = source.code.contains(word);
            assert!(!has, "{} has `{word}`", source.path.display());
        }
    }
}

#[test]
fn a_planted_use_is_found() {
    let planted = |code: &str| {
        let code = without_tests_and_comments(code);
        let source = Source { path: "planted.rs".into(), module: "http".into(), code };
        forbidden(&[source]).len()
    };
    assert_eq!(planted("use crate::world::Time;\n"), 1);
    assert_eq!(planted("use crate::{limits::Limits, server::{Server, Service}, id};\n"), 2);
    assert_eq!(planted("fn f() { crate::event_loop::Handle::now() }\n"), 1);
    assert_eq!(planted("pub(crate) fn f() {}\nuse crate::limits::Limits;\n"), 0);
    assert_eq!(planted("// use crate::world::Time;\n#[cfg(test)]\nuse crate::world::Time;\n"), 0);
}

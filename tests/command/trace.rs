//! `serve --trace`, and what can be made of the file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::perfetto_rules;
use crate::program::{Program, command, run};

/// A server that records, greets, and ends. What it said, and its trace.
fn recorded(directory: &TempDir) -> (String, PathBuf) {
    let path = directory.path().join("loop.trace");
    let mut serve = command(&["serve", "--listen", "localhost:0", "--explain"]);
    let mut program = Program::start(serve.env("HELLOOP_TRACE", &path));
    program.wait_for("nothing is ready, no timer is set");
    program.greet();
    program.signal("TERM");
    assert_eq!(program.end().0, Some(0));
    (program.said.join("\n"), path)
}

fn helloop(arguments: &[&str], file: &Path) -> (Option<i32>, String, String) {
    run(command(arguments).arg(file))
}

#[test]
fn a_trace_tells_the_story_that_was_told() {
    let directory = tempfile::tempdir().unwrap();
    let (said, path) = recorded(&directory);
    let (code, told, error) = helloop(&["explain"], &path);
    assert_eq!((code, error.as_str()), (Some(0), ""));
    let lines = |text: &str| -> Vec<String> {
        let begins = text.find("before the first turn").expect("a story");
        // Log lines are no part of it.
        let story = text[begins..].lines().filter(|line| !line.contains(" INFO "));
        story.filter(|line| !line.starts_with("Server started")).map(str::to_owned).collect()
    };
    assert_eq!(lines(&told), lines(&said));
}

#[test]
fn a_trace_becomes_lines_of_json_and_back() {
    let directory = tempfile::tempdir().unwrap();
    let (_, path) = recorded(&directory);
    let (code, lines, error) = helloop(&["trace", "convert"], &path);
    assert_eq!((code, error.as_str()), (Some(0), ""));
    let request = r#""event":"request","#;
    assert!(lines.contains(request) && lines.contains("\"line\":\"GET /World\""), "{lines}");
    for line in lines.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
    let json = directory.path().join("loop.json");
    fs::write(&json, &lines).unwrap();
    let again = directory.path().join("again.trace");
    let (code, ..) = helloop(&["trace", "convert", "--output", again.to_str().unwrap()], &json);
    assert_eq!(code, Some(0));
    assert_eq!(helloop(&["trace", "convert"], &again).1, lines);
    assert_eq!(helloop(&["explain"], &json).1, helloop(&["explain"], &path).1);
    let alike = run(command(&["explain"]).args([&json, &path]));
    assert_eq!(alike.0, Some(0), "{alike:?}");
    assert!(alike.1.starts_with("The traces are alike: "), "{alike:?}");
}

#[test]
fn a_trace_becomes_what_perfetto_opens() {
    let directory = tempfile::tempdir().unwrap();
    let (_, path) = recorded(&directory);
    let drawn = directory.path().join("drawn.json");
    let arguments = ["trace", "perfetto", "--output", drawn.to_str().unwrap()];
    assert_eq!(helloop(&arguments, &path), (Some(0), String::new(), String::new()));
    let text = fs::read_to_string(&drawn).unwrap();
    let found = perfetto_rules::check(&text).unwrap_or_else(|broken| panic!("{broken}"));
    assert!(found["B"] > 10 && found["s"] == found["f"] && found["s"] > 3, "{found:?}");
    for text_of_it in [
        "\"name\":\"event loop\"",
        "\"name\":\"turn 1\"",
        "\"name\":\"wait\"",
        "\"name\":\"queue\"",
        "\"name\":\"service\"",
        "\"name\":\"write\"",
        "request 1 is GET /World",
    ] {
        assert!(text.contains(text_of_it), "{text_of_it} is not there");
    }
    let again = helloop(&["trace", "perfetto"], &path);
    assert_eq!(again.1, text);
}

#[test]
fn two_traces_part_somewhere() {
    let directory = tempfile::tempdir().unwrap();
    let (_, path) = recorded(&directory);
    let lines = helloop(&["trace", "convert"], &path).1;
    let other = directory.path().join("other.json");
    fs::write(&other, lines.replacen("GET /World", "GET /Moon", 1)).unwrap();
    let (code, told, _) = run(command(&["explain"]).args([&path, &other]));
    assert_eq!(code, Some(3), "{told}");
    for text in ["The traces differ in turn ", "What led there", "is GET /World", "is GET /Moon"] {
        assert!(told.contains(text), "{text:?} is not in {told}");
    }
    assert!(told.ends_with("The same event, with another line.\n"), "{told}");
}

#[test]
fn a_damaged_trace_is_read_up_to_the_damage() {
    let directory = tempfile::tempdir().unwrap();
    let (_, path) = recorded(&directory);
    let whole = helloop(&["explain"], &path).1;
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
    let (code, told, error) = helloop(&["explain"], &path);
    assert_eq!(code, Some(1));
    assert!(error.contains("loop.trace: it is cut off: what follows byte "), "{error}");
    assert!(whole.starts_with(&told) && told.len() > whole.len() / 2, "{told}");
    let mut damaged = bytes.clone();
    damaged[40] ^= 1;
    fs::write(&path, &damaged).unwrap();
    let (code, _, error) = helloop(&["trace", "convert"], &path);
    assert_eq!(code, Some(1));
    assert!(error.contains("it is damaged from byte 16 on: the checksum"), "{error}");
    let nothing = directory.path().join("nothing");
    for arguments in [&["explain"][..], &["trace", "convert"]] {
        let (code, _, error) = helloop(arguments, &nothing);
        assert_eq!(code, Some(2));
        assert!(error.contains("cannot read ") && error.contains("nothing"), "{error}");
    }
    fs::write(&nothing, "lunch\n").unwrap();
    let (code, _, error) = helloop(&["explain"], &nothing);
    assert_eq!(code, Some(1));
    assert!(error.contains("nothing, line 1: it is no object of JSON"), "{error}");
}

/// A story, a comparison, and what is complained about: none of them sends to a terminal what stands
/// in a trace, or in the name of one.
#[test]
fn what_a_trace_says_is_no_order_to_a_terminal() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, lines: &str| {
        let path = directory.path().join(name);
        fs::write(&path, lines).unwrap();
        path
    };
    let evil = r"\u001b]0;title\u0007\u001b[2J\r\n\u009b31m\u202etxt";
    let word = |name: &str| format!(r#"{{"at":1,"event":"{name}","task":"1","kind":"{evil}""#);
    let lines = [
        word("spawned") + "}",
        word("resumed") + r#","cause":[]}"#,
        word("stall") + r#","took_ns":1,"waiting":0}"#,
        word("panicked") + "}",
        format!(r#"{{"at":1,"event":"state","task":"1","from":"{evil}","to":"{evil}"}}"#),
        format!(r#"{{"at":1,"event":"ending","task":"1","why":"{evil}"}}"#),
        format!(r#"{{"at":1,"event":"request","task":"1","number":1,"line":"{evil}"}}"#),
        format!(
            r#"{{"at":1,"event":"blamed","task":"1","place":"{evil}","longest":"1","waited_ns":1}}"#
        ),
        word("finished") + "}",
    ];
    let one = file("\u{1b}[31mone", &(lines.join("\n") + "\n"));
    let two = file("\u{1b}[31mtwo", &(lines[..5].join("\n") + "\n"));
    let bad = file("\u{1b}[31mbad", &format!("{}\n{{\"event\":\"{evil}\",\"at\":1}}\n", lines[0]));
    let nothing = directory.path().join("\u{1b}[31mnothing");
    for (files, code, says) in [
        (vec![&one], 0, r"its connection: \u{1b}]0;title\u{7}\u{1b}[2J\r\n\u{9b}31m\u{202e}txt"),
        (vec![&one, &two], 3, r"Then, in "),
        (vec![&bad], 1, r"there is no event "),
        (vec![&nothing], 2, r"\u{1b}[31mnothing: "),
    ] {
        let (ended, told, said) = run(command(&["explain"]).args(&files));
        let all = told + &said;
        assert_eq!(ended, Some(code), "{all}");
        assert!(all.contains(says), "{says} is not in {all}");
        let obeyed = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!all.contains(obeyed), "{}", all.escape_debug());
    }
}

#[test]
fn a_trace_comes_from_standard_input_too() {
    let directory = tempfile::tempdir().unwrap();
    let (_, path) = recorded(&directory);
    let mut child = command(&["explain", "-"])
        .stdin(fs::File::open(&path).unwrap())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = std::io::read_to_string(child.stdout.take().unwrap()).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(output, helloop(&["explain"], &path).1);
}

#[test]
fn a_fetch_is_recorded_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fetch.trace");
    let program = Program::start(&mut command(&["serve", "--listen", "localhost:0"]));
    let fetch = ["fetch", "--no-progress", "--trace", path.to_str().unwrap()];
    let (code, _, said) = run(command(&fetch).arg(format!("{}World", program.url)));
    assert_eq!(code, Some(0), "{said}");
    let told = helloop(&["explain"], &path).1;
    for text in ["(coroutine) is spawned", "read 1", "all of it", "(coroutine) is gone"] {
        assert!(told.contains(text), "{text:?} is not in {told}");
    }
    let nowhere = ["fetch", "--trace", "/no/such/directory/trace", &program.url];
    let (code, _, said) = run(&mut command(&nowhere));
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("cannot write the trace /no/such/directory/trace: "), "{said}");
}

#[test]
fn a_trace_that_cannot_be_written_ends_the_server_at_once() {
    let mut serve: Command = command(&["serve", "--listen", "localhost:0", "--trace"]);
    let (code, _, said) = run(serve.arg("/no/such/directory/loop.trace"));
    assert_eq!(code, Some(1));
    assert!(said.contains("cannot write the trace /no/such/directory/loop.trace: "), "{said}");
}

#[test]
fn a_file_is_not_written_over_while_it_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let (_, path) = recorded(&directory);
    let bytes = fs::read(&path).unwrap();
    let other = |name: &str| directory.path().join(name);
    std::os::unix::fs::symlink(&path, other("symbolic")).unwrap();
    fs::hard_link(&path, other("hard")).unwrap();
    let indirect = directory.path().join(".").join("loop.trace");
    let appending = || fs::File::options().append(true).open(&path).unwrap();
    let (file, dash) = (path.as_os_str(), std::ffi::OsStr::new("-"));
    let refused = |what: &str, command: &mut Command| {
        let output = command.stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{what}: {said}");
        assert!(said.contains(" is read, and "), "{what}: {said}");
        assert_eq!(fs::read(&path).unwrap(), bytes, "{what}");
    };
    for to in ["convert", "perfetto"] {
        for output in [&path, &indirect, &other("symbolic"), &other("hard")] {
            let what = format!("{to} to {}", output.display());
            refused(&what, command(&["trace", to, "-o"]).arg(output).arg(file));
            let input = fs::File::open(&path).unwrap();
            refused(&what, command(&["trace", to, "-o"]).arg(output).arg(dash).stdin(input));
        }
        refused(to, command(&["trace", to]).arg(file).stdout(appending()));
    }
    refused("explain", command(&["explain"]).arg(file).stdout(appending()));
    // A trace of a fetch would replace what the fetch reads.
    for reads in ["-i", "--cacert"] {
        let mut fetch = command(&["fetch", "--trace"]);
        refused(reads, fetch.arg(other("hard")).arg(reads).arg(file).arg("http://127.0.0.1:1/"));
    }
    let mut fetch = command(&["fetch", "-", "--trace"]);
    refused("standard input", fetch.arg(file).stdin(fs::File::open(&path).unwrap()));
    let again = other("again.json");
    let (code, ..) = helloop(&["trace", "convert", "-o", again.to_str().unwrap()], &path);
    assert_eq!((code, fs::read(&path).unwrap()), (Some(0), bytes));
}

#[test]
fn standard_input_is_one_trace() {
    let (code, _, said) = run(&mut command(&["explain", "-", "-"]));
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("can be read only once"), "{said}");
}

#[test]
fn a_pipe_that_nobody_reads_yet_does_not_keep_a_server_from_listening() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut serve = command(&["serve", "--listen", "localhost:0", "--trace"]);
    let mut program = Program::start(serve.arg(&pipe));
    program.greet();
    let reader = std::thread::spawn(move || helloop(&["explain"], &pipe));
    program.greet();
    program.signal("TERM");
    assert_eq!(program.end().0, Some(0));
    let (code, told, error) = reader.join().unwrap();
    assert_eq!((code, error.as_str()), (Some(0), ""));
    assert_eq!(told.matches("request 1 is GET /World").count(), 2, "{told}");
}

#[test]
fn a_full_disk_is_a_warning_and_the_server_goes_on() {
    if !Path::new("/dev/full").exists() {
        return;
    }
    // The header fits into no such file either, so the start says it.
    let mut serve: Command = command(&["serve", "--listen", "localhost:0", "--trace"]);
    let (code, _, said) = run(serve.arg("/dev/full"));
    assert_eq!(code, Some(1));
    assert!(said.contains("cannot write the trace /dev/full: "), "{said}");
}

#[test]
fn a_signal_asks_who_is_alive() {
    let mut program = Program::start(&mut command(&["serve", "--listen", "127.0.0.1:0"]));
    let _idle = program.connect();
    program.greet();
    program.signal("USR1");
    program.wait_for("Alive, in turn ");
    program.wait_for("the next SIGUSR1 shows them");
    program.greet();
    program.signal("USR1");
    program.wait_for("The last events:");
    program.wait_for("is GET /World");
    program.signal("TERM");
    assert_eq!(program.end().0, Some(0));
    let said = program.said.join("\n");
    for text in ["(acceptor (", "(drainer (", "(connection from 127.0.0.1:", "(at work): "] {
        assert!(said.contains(text), "{text:?} is not in {said}");
    }
    assert!(said.contains("waits for readable or a timer in "), "{said}");
}

//! Logs for those who run many servers: an access log in a file, and records as JSON.

use std::fs;
use std::path::Path;

use super::access_log::costs_lines_and_no_answer;
use crate::program::{Program, command, get_from, run};

fn serve(file: &Path, flags: &[&str]) -> Program {
    let file = file.to_str().unwrap();
    let always = ["serve", "--listen", "localhost:0", "--access-log-file", file];
    Program::start(&mut command(&[&always, flags].concat()))
}

fn lines_of(path: &Path) -> usize {
    fs::read_to_string(path).unwrap().lines().count()
}

#[test]
fn a_hangup_opens_the_file_anew_and_ends_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (log, moved) = (directory.path().join("log"), directory.path().join("log.1"));
    fs::write(&log, "from before\n").unwrap();
    let mut program = serve(&log, &[]);
    program.greet();
    for round in 1..=3 {
        // What was written until now is in this file or the one before; what comes now is not.
        fs::rename(&log, &moved).unwrap();
        program.signal("HUP");
        program.wait_for("is open anew");
        program.greet();
        program.greet();
        assert!(log.exists(), "round {round}");
    }
    program.signal("TERM");
    assert_eq!(program.end().0, Some(0));
    let last = fs::read_to_string(&log).unwrap();
    assert_eq!(last.lines().count(), 2, "{last}");
    assert!(last.lines().all(|line| line.ends_with("\"GET /World HTTP/1.1\" 200 14 \"-\" \"-\"")));
}

#[test]
fn what_was_in_the_file_stays() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    fs::write(&log, "from before\n").unwrap();
    let mut program = serve(&log, &["--access-log=json"]);
    program.greet();
    program.signal("TERM");
    assert_eq!(program.end().0, Some(0));
    let text = fs::read_to_string(&log).unwrap();
    let (before, line) = text.split_once('\n').unwrap();
    assert_eq!(before, "from before");
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["target"], "/World");
}

#[test]
fn a_file_that_cannot_be_opened_anew_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("below/log");
    fs::create_dir(directory.path().join("below")).unwrap();
    let mut program = serve(&log, &[]);
    let moved = directory.path().join("moved");
    fs::rename(directory.path().join("below"), &moved).unwrap();
    program.signal("HUP");
    program.wait_for("cannot open the access log");
    program.greet();
    program.signal("TERM");
    assert_eq!(program.end().0, Some(0));
    assert_eq!(lines_of(&moved.join("log")), 1);
}

#[test]
fn a_full_disk_costs_lines_and_no_answer() {
    if !Path::new("/dev/full").exists() {
        return;
    }
    costs_lines_and_no_answer(serve(Path::new("/dev/full"), &["--loops=2"]));
}

#[test]
fn a_file_that_cannot_be_opened_is_named() {
    let flags = ["serve", "--listen=localhost:0", "--access-log-file=/nowhere/log"];
    let (code, _, said) = run(&mut command(&flags));
    assert_eq!(code, Some(1));
    assert!(said.contains("cannot open the access log /nowhere/log: No such file"), "{said}");
}

#[test]
fn some_paths_are_not_worth_a_line() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let mut program = serve(&log, &["--access-log-exclude", "/quiet*,/live"]);
    for target in ["/quiet", "/quieter?x", "/live", "/alive", "/live/no"] {
        get_from(program.port, target);
    }
    program.signal("TERM");
    assert_eq!(program.end().0, Some(0));
    let text = fs::read_to_string(&log).unwrap();
    assert!(text.lines().count() == 2 && !text.contains("quiet"), "{text}");
}

#[test]
fn everything_on_standard_error_can_be_json() {
    let flags = ["serve", "--listen=localhost:0", "--log-format=json", "--run-for=10ms"];
    let (code, _, said) = run(&mut command(&flags));
    assert_eq!(code, Some(0));
    let records: Vec<serde_json::Value> =
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let message = |n: usize| records[n]["message"].as_str().unwrap();
    assert!(message(0).starts_with("Server started at http://localhost:"), "{said}");
    assert!(message(1).starts_with("the time to run (10ms) is over: draining"), "{said}");
    assert_eq!(records[1]["level"], "INFO");
    assert_eq!(records[1]["target"], "helloop::command::run");
    assert!(records[1]["time"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn a_complaint_is_a_record_too() {
    let first = Program::start(&mut command(&["serve", "--listen=localhost:0"]));
    let address = format!("localhost:{}", first.port);
    let flags = ["serve", "--listen", &address, "--log-format=json"];
    let (code, _, said) = run(&mut command(&flags));
    assert_eq!(code, Some(3));
    let record: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert!(record["message"].as_str().unwrap().contains("in use by another program"), "{said}");
}

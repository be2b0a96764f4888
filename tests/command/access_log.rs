//! The access log on standard output.

use std::fs::OpenOptions;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use crate::program::{Program, command};

const HOSTILE: &[u8] = b"GET /a%0Ab\"\\ HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\
    Referer: \"\\\r\nUser-Agent: \x9b2J \xe2\x80\xa8 \t\"forged\r\n\r\n";

fn serve(format: &str, stdout: Stdio) -> Program {
    let flags = ["serve", "--listen", "localhost:0", "--access-log", format];
    Program::start(command(&flags).stdout(stdout))
}

/// The lines of a log in which three requests are: a good one, a hostile one, and one of which the
/// head cannot be read.
fn log_of_three(format: &str) -> Vec<String> {
    let mut program = serve(format, Stdio::piped());
    program.greet();
    assert!(program.ask(HOSTILE).starts_with("HTTP/1.1 400 "));
    assert!(program.ask(b"\x00\x01\x02 nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
    program.signal("TERM");
    let (code, log) = program.end();
    assert_eq!(code, Some(0));
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~' | b'\n');
    assert!(log.bytes().all(is_plain), "{log}");
    let lines: Vec<String> = log.lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 3, "{log}");
    lines
}

#[test]
fn common_is_one_line_an_answer() {
    let lines = log_of_three("common");
    assert!(lines[0].starts_with("127.0.0.1 - - ["), "{lines:?}");
    assert!(lines[0].ends_with(" +0000] \"GET /World HTTP/1.1\" 200 14"), "{lines:?}");
    assert!(lines[1].contains("\"GET /a%0Ab\\x22\\x5c HTTP/1.1\" 400 "), "{lines:?}");
    assert!(lines[2].contains("] \"-\" 400 "), "{lines:?}");
}

#[test]
fn combined_escapes_what_a_peer_says_of_itself() {
    let lines = log_of_three("combined");
    assert!(lines[0].ends_with(" 200 14 \"-\" \"-\""), "{lines:?}");
    let agent = "\"\\x22\\x5c\" \"\\x9b2J \\xe2\\x80\\xa8 \\x09\\x22forged\"";
    assert!(lines[1].ends_with(agent), "{lines:?}");
}

#[test]
fn json_is_one_object_an_answer() {
    let lines = log_of_three("json");
    let objects: Vec<serde_json::Value> =
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(objects[0]["target"], "/World");
    assert_eq!(objects[0]["status"], 200);
    assert_eq!(objects[0]["bytes"], 14);
    assert!(objects[0]["service_us"].is_u64() && objects[0]["referer"].is_null());
    assert!(objects[0]["time"].as_str().unwrap().ends_with('Z'));
    assert_eq!(objects[1]["referer"], "\"\\");
    assert_eq!(objects[1]["user_agent"], "\u{fffd}2J \u{2028} \t\"forged");
    assert!(objects[2]["method"].is_null());
}

#[test]
fn a_sample_has_all_errors_and_few_others() {
    let flags =
        ["serve", "--listen=localhost:0", "--access-log=json", "--access-log-sample=1000000"];
    let mut program = Program::start(command(&flags).stdout(Stdio::piped()));
    for _ in 0..20 {
        program.greet();
        program.ask(b"GET /a/b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    }
    program.signal("TERM");
    let (_, log) = program.end();
    let lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let (errors, others): (Vec<_>, Vec<_>) = lines.partition(|line| line["status"] == 404);
    assert!(errors.len() == 20 && errors.iter().all(|line| line["weight"] == 1), "{log}");
    // One in a million.
    assert!(others.len() <= 2 && others.iter().all(|line| line["weight"] == 1_000_000), "{log}");
}

/// A server whose access log goes to a full disk.
pub(super) fn costs_lines_and_no_answer(mut program: Program) {
    for _ in 0..3 {
        program.greet();
    }
    program.signal("TERM");
    assert_eq!(program.end().0, Some(0));
    let said = program.said.join("\n");
    assert_eq!(said.matches("cannot write the access log").count(), 1, "{said}");
    assert!(said.contains("lines missing from the access log: 3"), "{said}");
}

#[test]
fn a_full_disk_costs_lines_and_no_answer() {
    let Ok(full) = OpenOptions::new().write(true).open("/dev/full") else { return };
    costs_lines_and_no_answer(serve("common", Stdio::from(full)));
}

#[test]
fn a_reader_that_has_left_costs_lines_and_no_answer() {
    // Not a pipe: another test's child could hold its reading end between its fork and its exec.
    let (stdout, reader) = UnixStream::pair().unwrap();
    let mut program = serve("common", Stdio::from(OwnedFd::from(stdout)));
    reader.shutdown(Shutdown::Both).unwrap();
    program.greet();
    program.wait_for("cannot write the access log: Broken pipe");
    program.greet();
    program.signal("TERM");
    assert_eq!(program.end().0, Some(0));
}

//! How the server ends, and what its exit code says about it.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::program::{Program, command};

const ANYWHERE: [&str; 3] = ["serve", "--listen", "localhost:0"];

fn serve(flags: &[&str]) -> Program {
    Program::start(&mut command(&[&ANYWHERE, flags].concat()))
}

/// A server that narrates, with a connection on which half a head has arrived.
fn serve_half_a_head(flags: &[&str]) -> (Program, std::net::TcpStream) {
    let mut program = serve(&[&["--explain"], flags].concat());
    let mut stream = program.connect();
    stream.write_all(b"GET /World HT").unwrap();
    program.wait_for("goes from idle to receiving head");
    (program, stream)
}

#[test]
fn a_signal_drains_and_that_is_a_success() {
    for signal in ["TERM", "INT"] {
        let mut program = serve(&[]);
        assert_eq!(program.url, format!("http://localhost:{}/", program.port));
        program.greet();
        program.signal(signal);
        assert_eq!(program.end().0, Some(0));
        let why = format!("SIG{signal}: draining");
        assert!(program.said.join("\n").contains(&why), "{:?}", program.said);
    }
}

#[test]
fn a_real_client_is_greeted() {
    let program = serve(&[]);
    let url = format!("{}J%C3%BCrgen", program.url);
    match Command::new("curl").args(["--silent", "--noproxy", "*", &url]).output() {
        Ok(output) => assert_eq!(String::from_utf8(output.stdout).unwrap(), "Hello, Jürgen!\n"),
        Err(error) => eprintln!("without curl: {error}"),
    }
}

#[test]
fn a_request_under_way_is_answered_before_the_end() {
    let (mut program, mut stream) = serve_half_a_head(&[]);
    program.signal("TERM");
    program.wait_for("goes from serving to draining");
    stream.write_all(b"TP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let answer = std::io::read_to_string(stream).unwrap();
    assert!(answer.contains("Connection: close\r\n"), "{answer}");
    assert!(answer.ends_with("Hello, World!\n"), "{answer}");
    assert_eq!(program.end().0, Some(0));
}

#[test]
fn the_time_to_run_is_limited() {
    let mut program = serve(&["--run-for", "50ms"]);
    assert_eq!(program.end().0, Some(0));
    let why = "the time to run (50ms) is over: draining";
    assert!(program.said.join("\n").contains(why), "{:?}", program.said);
}

#[test]
fn no_time_is_0s() {
    let flags = ["--run-for", "0s", "--drain-timeout", "0s"];
    let mut program = serve(&flags);
    assert_eq!(program.end().0, Some(0));
    let why = "the time to run (0s) is over: draining for at most 0s";
    assert!(program.said.join("\n").contains(why), "{:?}", program.said);
}

#[test]
fn a_drain_that_takes_too_long_cuts_and_counts() {
    let (mut program, _stream) = serve_half_a_head(&["--drain-timeout", "50ms"]);
    program.signal("TERM");
    assert_eq!(program.end().0, Some(4));
    let last = program.said.last().unwrap();
    assert_eq!(last, "helloop: the drain took longer than 50ms: 1 busy connection was cut");
}

#[test]
fn an_interrupt_in_a_drain_stops_at_once() {
    let (mut program, _stream) = serve_half_a_head(&["--drain-timeout", "1h"]);
    program.signal("TERM");
    program.wait_for("goes from serving to draining");
    program.signal("INT");
    assert_eq!(program.end().0, Some(5));
    let last = program.said.last().unwrap();
    assert_eq!(last, "helloop: SIGINT ended the drain: 1 busy connection was cut");
}

#[test]
fn a_taken_port_is_named() {
    let first = serve(&[]);
    let port = format!("localhost:{}", first.port);
    let (code, _, said) = crate::program::run(&mut command(&["serve", "--listen", &port]));
    assert_eq!(code, Some(3));
    assert!(said.contains(&format!("127.0.0.1:{}: the port is in use", first.port)), "{said}");
    assert!(said.contains("listen on another port"), "{said}");
}

#[test]
fn closed_outputs_disturb_nobody() {
    let flags = ["--explain", "-vv", "--access-log", "common", "--run-for", "50ms"];
    let mut child = command(&[&ANYWHERE[..], &flags].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

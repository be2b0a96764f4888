//! The programs that need nobody: they are their own clients.

use crate::examples::example;
use crate::program::{Program, run};

/// Runs it to its end, and gives what it printed.
#[track_caller]
fn lines(name: &str) -> Vec<String> {
    let (code, output, complaints) = run(&mut example(name, &[]));
    assert_eq!((code, complaints.as_str()), (Some(0), ""), "{output}");
    output.lines().map(str::to_owned).collect()
}

#[test]
fn embed_answers_itself_and_drains() {
    let lines = lines("embed");
    assert_eq!(lines[0], "HTTP/1.1 200 OK");
    let [.., body, report] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!(body, "ok");
    assert!(report.starts_with("Report {") && report.contains("requests: 1"), "{report}");
}

#[test]
fn foreign_loop_answers_itself_and_drains() {
    let lines = lines("foreign_loop");
    assert_eq!(lines[0], "HTTP/1.1 200 OK");
    let [.., body, report] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!(body, "Hello, host!");
    assert!(report.starts_with("Report {") && report.contains("requests: 1"), "{report}");
}

#[test]
fn ticker_ticks_until_its_time_is_over() {
    let lines = lines("ticker");
    assert_eq!(lines.len(), 5, "{lines:?}");
    assert!(lines[0].starts_with("tick at ") && lines[0].ends_with(": spawned"), "{lines:?}");
    for tick in &lines[1..4] {
        assert!(tick.starts_with("tick at ") && tick.ends_with(": timer"), "{tick}");
    }
    assert!(lines[4].starts_with("Report {"), "{lines:?}");
}

/// What a container, a service manager and a terminal send.
#[test]
fn hello_drains_on_every_signal_that_ends_programs() {
    for signal in ["TERM", "INT", "QUIT", "HUP"] {
        let mut program = Program::start_on_stdout(&mut example("hello", &[]));
        let answer = program.ask(b"GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        assert!(answer.ends_with("\r\n\r\nYou asked for /x.\n"), "{answer}");
        program.signal(signal);
        assert_eq!(program.end().0, Some(0), "SIG{signal}");
        assert_eq!(program.said.last().unwrap(), "1 answered");
    }
}

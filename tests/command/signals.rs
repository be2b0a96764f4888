//! What signals do to a server: the same in the full command and in the bare one.

use std::io::Write;
use std::net::TcpStream;

use crate::program::{Program, command, command_of};

/// Signals that drain.
const DRAINING: [&str; 4] = ["TERM", "INT", "QUIT", "HUP"];

fn serve() -> Program {
    Program::start(command(&["serve"]).env("HELLOOP_LISTEN", "localhost:0"))
}

/// A server, and a connection on which half a head has arrived.
fn serve_half_a_head() -> (Program, TcpStream) {
    let program = serve();
    let mut stream = program.connect();
    stream.write_all(b"GET /World HT").unwrap();
    // A later peer is answered: so the half request has been looked at.
    program.greet();
    (program, stream)
}

/// Sends the other half, and checks the answer.
#[track_caller]
fn finish(mut stream: TcpStream) {
    stream.write_all(b"TP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let answer = std::io::read_to_string(stream).unwrap();
    assert!(answer.contains("Connection: close\r\n"), "{answer}");
    assert!(answer.ends_with("Hello, World!\n"), "{answer}");
}

#[test]
fn each_of_them_drains_and_says_so() {
    for signal in DRAINING {
        let (mut program, stream) = serve_half_a_head();
        program.signal(signal);
        let line = program.wait_for(&format!("SIG{signal}: draining for at most 25s"));
        let (at, rest) = line.split_at(24);
        assert!(at.ends_with('Z') && at.as_bytes()[10] == b'T', "{line}");
        assert!(rest.starts_with(" INFO  helloop::command::run: "), "{line}");
        finish(stream);
        assert_eq!(program.end().0, Some(0), "SIG{signal}");
        let last = program.said.last().unwrap();
        assert!(last.ends_with("requests answered: 2, connections: 2"), "{last}");
    }
}

/// timeout(1) sends it to the process, and then to the group of the process.
#[test]
fn a_signal_that_is_repeated_changes_nothing() {
    for signal in DRAINING.into_iter().filter(|signal| *signal != "INT") {
        let (mut program, stream) = serve_half_a_head();
        program.signal("TERM");
        program.wait_for("SIGTERM: draining");
        program.signal(signal);
        program.wait_for(&format!("SIG{signal}, and it drains already"));
        finish(stream);
        assert_eq!(program.end().0, Some(0), "SIG{signal}");
    }
}

#[test]
fn a_second_interrupt_ends_it_at_once() {
    let (mut program, _stream) = serve_half_a_head();
    program.signal("INT");
    program.wait_for("SIGINT: draining");
    program.signal("INT");
    assert_eq!(program.end().0, Some(5));
    let last = program.said.last().unwrap();
    assert_eq!(last, "helloop: SIGINT ended the drain: 1 busy connection was cut");
}

#[test]
fn signals_of_the_user_end_nothing() {
    let mut program = serve();
    // The full command starts a successor when SIGUSR2 comes.
    let second = if cfg!(feature = "cli") { "USR1" } else { "USR2" };
    for signal in ["USR1", second, second, "USR1"] {
        program.signal(signal);
    }
    program.greet();
    program.signal("TERM");
    assert_eq!(program.end().0, Some(0));
}

/// What nohup(1) does to it.
#[test]
fn a_hangup_that_is_ignored_stays_so() {
    let mut shell = command_of("sh".as_ref(), &["-c", "trap '' HUP; exec \"$0\" serve"]);
    shell.arg(env!("CARGO_BIN_EXE_helloop")).env("HELLOOP_LISTEN", "localhost:0");
    let mut program = Program::start(&mut shell);
    program.signal("HUP");
    program.greet();
    program.signal("TERM");
    assert_eq!(program.end().0, Some(0));
    assert!(!program.said.join("\n").contains("SIGHUP"), "{:?}", program.said);
}

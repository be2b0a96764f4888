//! Several event loops in one process.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Stdio;

use socket2::{Domain, Socket, Type};

use crate::program::{Program, command, run};

/// So many connections that no loop is left out: the kernel would have to choose the same loop for
/// all of them, at two to the power of 63 to one.
const CROWD: usize = 64;

const HALF_A_HEAD: &[u8] = b"GET /World HT";
const THE_OTHER_HALF: &[u8] = b"TP/1.1\r\nHost: h\r\n\r\n";

fn serve(flags: &[&str]) -> Program {
    let two_loops = ["serve", "--listen", "localhost:0", "--loops", "2", "-v"];
    Program::start(&mut command(&[&two_loops, flags].concat()))
}

/// Connections on each of which half a head was sent.
fn half_heads(program: &Program) -> Vec<TcpStream> {
    let connect = |_| {
        let mut stream = program.connect();
        stream.write_all(HALF_A_HEAD).unwrap();
        stream
    };
    (0..CROWD).map(connect).collect()
}

/// The number behind `what` in the line of what it said that contains `whose`.
#[track_caller]
fn count(program: &Program, whose: &str, what: &str) -> usize {
    let line = program.said.iter().find(|line| line.contains(whose)).unwrap();
    let digits = line.split(what).nth(1).unwrap().split(',').next().unwrap();
    digits.parse().unwrap()
}

#[test]
fn all_loops_greet_on_one_port_and_their_work_is_added_up() {
    let mut program = serve(&[]);
    (0..CROWD).for_each(|_| program.greet());
    program.signal("TERM");
    assert_eq!(program.end().0, Some(0));
    let shares = ["loop 1: ", "loop 2: "].map(|whose| count(&program, whose, "connections: "));
    assert!(shares.iter().all(|&share| share > 0), "{shares:?}");
    assert_eq!(shares.iter().sum::<usize>(), CROWD);
    assert_eq!(count(&program, "run: requests answered", "answered: "), CROWD);
    let announced = program.said.iter().filter(|line| line.starts_with("Server started at"));
    assert_eq!(announced.count(), 1);
}

#[test]
fn every_loop_answers_what_is_under_way_before_the_end() {
    let mut program = serve(&[]);
    let crowd = half_heads(&program);
    program.signal("TERM");
    // Each of the two: who has not heard of it yet has no reason to close.
    program.wait_for("serving -> draining");
    program.wait_for("serving -> draining");
    for mut stream in crowd {
        stream.write_all(THE_OTHER_HALF).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("Connection: close\r\n"), "{answer}");
        assert!(answer.ends_with("Hello, World!\n"), "{answer}");
    }
    assert_eq!(program.end().0, Some(0));
}

#[test]
fn connections_that_are_cut_are_counted_over_all_loops() {
    let mut program = serve(&["--drain-timeout", "50ms"]);
    let _crowd = half_heads(&program);
    program.signal("TERM");
    assert_eq!(program.end().0, Some(4));
    let expected = "helloop: the drain took longer than 50ms: 64 busy connections were cut";
    assert_eq!(program.said.last().unwrap(), expected);
}

#[test]
fn an_interrupt_in_a_drain_stops_all_loops() {
    let mut program = serve(&["--drain-timeout", "1h"]);
    let _crowd = half_heads(&program);
    program.signal("TERM");
    program.wait_for("SIGTERM: draining");
    program.signal("INT");
    assert_eq!(program.end().0, Some(5));
    let expected = "helloop: SIGINT ended the drain: 64 busy connections were cut";
    assert_eq!(program.said.last().unwrap(), expected);
}

#[test]
fn the_time_to_run_is_that_of_all_loops() {
    let mut program = serve(&["--run-for", "50ms"]);
    assert_eq!(program.end().0, Some(0));
}

#[test]
fn who_starts_it_twice_is_told() {
    let first = serve(&[]);
    let port = format!("localhost:{}", first.port);
    for loops in ["1", "2"] {
        let (code, _, said) = run(&mut command(&["serve", "-l", &port, "--loops", loops]));
        assert_eq!(code, Some(3), "{said}");
        let expected = format!("127.0.0.1:{}: the port is in use by another program", first.port);
        assert!(said.contains(&expected), "{said}");
    }
}

/// True if this process may listen where `program` does, if it asks for that.
fn can_be_joined(program: &Program) -> bool {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, program.port)).into()).is_ok()
}

#[test]
fn one_loop_shares_its_port_with_nobody() {
    let one = Program::start(&mut command(&["serve", "-l", "localhost:0", "--loops", "1"]));
    assert!(!can_be_joined(&one));
    assert!(can_be_joined(&serve(&[])), "or the line above says nothing");
}

#[test]
#[cfg(target_os = "linux")]
fn each_loop_but_the_first_has_a_thread() {
    let threads = |program: &Program| {
        std::fs::read_dir(format!("/proc/{}/task", program.id())).unwrap().count()
    };
    let one = Program::start(&mut command(&["serve", "-l", "localhost:0"]));
    // The other thread writes to standard error.
    assert_eq!((threads(&one), threads(&serve(&[]))), (2, 3));
}

#[test]
fn one_access_log_has_the_lines_of_all_loops() {
    let mut command = command(&["serve", "-l", "localhost:0", "--access-log", "common"]);
    let mut program = Program::start(command.env("HELLOOP_LOOPS", "3").stdout(Stdio::piped()));
    (0..CROWD).for_each(|_| program.greet());
    program.signal("TERM");
    let (code, log) = program.end();
    assert_eq!((code, log.lines().count()), (Some(0), CROWD));
    for line in log.lines() {
        assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
        assert!(line.ends_with("] \"GET /World HTTP/1.1\" 200 14"), "{line}");
    }
}

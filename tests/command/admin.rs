//! The second server: whether it lives, whether it is ready, and its figures.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpStream;
use std::process::Stdio;

use crate::program::{Program, command, get_from};

/// A server and where its second one is.
fn serve(flags: &[&str]) -> (Program, u16) {
    let always = ["serve", "--listen", "localhost:0", "--admin", "127.0.0.1:0"];
    let mut typed = command(&[&always, flags].concat());
    let mut program = Program::start(typed.stdout(Stdio::piped()));
    let line = program.wait_for("Admin at http://127.0.0.1:");
    let port = line.trim_end_matches('/').rsplit_once(':').unwrap().1.parse().unwrap();
    (program, port)
}

/// The samples of `/metrics`. Checks that the page has the form that Prometheus reads.
#[track_caller]
fn metrics(port: u16) -> BTreeMap<String, f64> {
    let answer = get_from(port, "/metrics");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
    let mut samples = BTreeMap::new();
    let mut family = String::new();
    for line in body.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            family = name.to_owned();
            continue;
        }
        if line.starts_with("# HELP ") {
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with(&family), "{line} is not of {family}");
        assert!(samples.insert(name.to_owned(), value.parse().unwrap()).is_none(), "{line} again");
    }
    samples
}

#[track_caller]
fn assert_figures(samples: &BTreeMap<String, f64>, expected: &[(&str, f64)]) {
    for (name, value) in expected {
        let found = samples.get(*name).copied();
        assert_eq!(found, Some(*value), "{name} in {samples:#?}");
    }
}

#[test]
fn it_says_what_it_has() {
    let (program, port) = serve(&[]);
    assert!(get_from(port, "/").contains("/metrics  "));
    assert!(get_from(port, "/live").ends_with("\r\n\r\nalive\n"));
    assert!(get_from(port, "/ready").ends_with("\r\n\r\nready\n"));
    let version = get_from(port, "/version");
    assert!(version.contains(concat!("\r\n\r\nhelloop ", env!("CARGO_PKG_VERSION"), "\n")));
    assert!(version.contains("\nfeatures: cli, client, "), "{version}");
    assert!(get_from(port, "/World").starts_with("HTTP/1.1 404 "));
    program.greet();
}

#[test]
fn what_was_answered_is_counted_and_the_second_server_is_not() {
    let (mut program, port) = serve(&["--access-log", "common"]);
    for _ in 0..3 {
        program.greet();
    }
    program.ask(b"GET /a/b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    program.ask(b"nonsense\r\n\r\n");
    let _kept = kept(&program);
    metrics(port);
    let samples = metrics(port);
    assert_figures(
        &samples,
        &[
            ("helloop_requests_total{status=\"2xx\"}", 4.0),
            ("helloop_requests_total{status=\"4xx\"}", 2.0),
            ("helloop_requests_total{status=\"5xx\"}", 0.0),
            ("helloop_connections_accepted_total", 6.0),
            ("helloop_connections_open", 1.0),
            ("helloop_connections_idle", 1.0),
            ("helloop_connections_ended_total{reason=\"the request asked to close\"}", 4.0),
            (
                "helloop_connections_ended_total{reason=\"request line: not `method SP target SP \
                 HTTP/1.1`\"}",
                1.0,
            ),
            ("helloop_accept_backoffs_total", 0.0),
            ("helloop_draining", 0.0),
            ("helloop_loop_panics_total{loop=\"1\"}", 0.0),
        ],
    );
    let utilisation = samples["helloop_loop_utilisation{loop=\"1\"}"];
    assert!((0.0..=1.0).contains(&utilisation), "{utilisation}");
    assert!(samples["helloop_received_bytes_total"] > 200.0, "{samples:#?}");
    let turns = samples["helloop_loop_turns_total{loop=\"1\"}"];
    let buckets = samples["helloop_loop_turn_seconds_bucket{loop=\"1\",le=\"+Inf\"}"];
    assert!(turns > 6.0 && buckets >= turns - 1.0, "{samples:#?}");
    program.signal("TERM");
    let (code, log) = program.end();
    assert_eq!((code, log.lines().count()), (Some(0), 6), "{log}");
}

/// A connection on which one request was answered, and which is kept.
fn kept(program: &Program) -> TcpStream {
    let mut stream = program.connect();
    stream.write_all(b"GET /World HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"Hello, World!\n") {
        let mut byte = [0];
        std::io::Read::read_exact(&mut stream, &mut byte).unwrap();
        answer.push(byte[0]);
    }
    stream
}

#[test]
fn several_loops_are_added_up() {
    let (program, port) = serve(&["--loops", "2"]);
    // The kernel chooses the loop of each.
    for _ in 0..20 {
        program.greet();
    }
    let _kept: Vec<TcpStream> = (0..5).map(|_| kept(&program)).collect();
    let samples = metrics(port);
    let expected = [
        ("helloop_requests_total{status=\"2xx\"}", 25.0),
        ("helloop_connections_accepted_total", 25.0),
        ("helloop_connections_idle", 5.0),
    ];
    assert_figures(&samples, &expected);
    assert!(samples["helloop_loop_turns_total{loop=\"2\"}"] > 0.0, "{samples:#?}");
}

#[test]
fn while_it_drains_it_lives_and_is_not_ready() {
    let (mut program, port) = serve(&["--drain-delay", "1h"]);
    program.signal("TERM");
    program.wait_for("not ready any more");
    assert!(get_from(port, "/live").starts_with("HTTP/1.1 200 OK\r\n"));
    let ready = get_from(port, "/ready");
    assert!(ready.starts_with("HTTP/1.1 503 ") && ready.ends_with("\r\n\r\ndraining\n"), "{ready}");
    assert_figures(&metrics(port), &[("helloop_draining", 1.0)]);
    program.signal("INT");
    assert_eq!(program.end().0, Some(5));
}

#[test]
fn the_second_server_holds_no_drain_up() {
    let (mut program, port) = serve(&[]);
    let mut open = TcpStream::connect(("127.0.0.1", port)).unwrap();
    open.write_all(b"GET /live HTTP/1.1\r\nHo").unwrap();
    get_from(port, "/live");
    program.signal("TERM");
    assert_eq!(program.end().0, Some(0));
}

#[test]
fn a_taken_port_is_named() {
    let (_program, port) = serve(&[]);
    let address = format!("127.0.0.1:{port}");
    let flags = ["serve", "--listen", "localhost:0", "--admin", &address];
    let (code, _, said) = crate::program::run(&mut command(&flags));
    assert!(code == Some(3) && said.contains(&address) && said.contains("in use"), "{said}");
    let (code, _, said) = crate::program::run(&mut command(&["serve", "--admin", "9090"]));
    assert!(code == Some(2) && said.contains("`9090` is not an address"), "{said}");
}

//! What is answered in the place of the greeting, and what an end that is announced looks like from outside.

use std::process::Stdio;

use crate::program::{Program, command};

fn serve(flags: &[&str]) -> Program {
    Program::start(&mut command(&[&["serve", "--listen", "localhost:0"], flags].concat()))
}

fn get(program: &Program, target: &str) -> String {
    let request = format!("GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    program.ask(request.as_bytes())
}

#[test]
fn text_fields_and_status_are_the_operator_s() {
    let flags = [
        "--text",
        r#"{"hello": "{name}"}\n"#,
        "--header=Content-Type: application/json",
        "--header=X-A: b",
        "--status=201",
    ];
    // On the threads of other loops, too.
    let program = serve(&[&flags[..], &["--loops=2"]].concat());
    for _ in 0..8 {
        let answer = get(&program, "/World");
        assert!(answer.starts_with("HTTP/1.1 201 Created\r\n"), "{answer}");
        assert!(answer.contains("\r\nContent-Type: application/json\r\n"), "{answer}");
        assert!(answer.contains("\r\nX-A: b\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\n{\"hello\": \"World\"}\n"), "{answer}");
    }
    assert!(get(&program, "/a/b").starts_with("HTTP/1.1 404 "));
}

#[test]
fn they_can_be_set_by_variables() {
    let mut typed = command(&["serve", "--listen", "localhost:0"]);
    let program = Program::start(
        typed
            .env("HELLOOP_TEXT", "ok")
            .env("HELLOOP_HEADER", "X-A: b\nX-C: d")
            .env("HELLOOP_STATUS", "418"),
    );
    let answer = get(&program, "/a/b");
    assert!(answer.starts_with("HTTP/1.1 418 ") && answer.ends_with("\r\n\r\nok"), "{answer}");
    assert!(answer.contains("\r\nX-A: b\r\nX-C: d\r\n"), "{answer}");
}

#[test]
fn an_announced_end_fails_readiness_and_answers_everybody() {
    let flags = [
        "serve",
        "--listen=localhost:0",
        "--health-path=/healthz",
        "--drain-delay=1h",
        "--access-log=common",
    ];
    let mut program = Program::start(command(&flags).stdout(Stdio::piped()));
    assert!(get(&program, "/healthz").starts_with("HTTP/1.1 200 OK\r\n"));
    program.signal("TERM");
    program.wait_for("SIGTERM: not ready any more; draining in 3600s, for at most 25s");
    let answer = get(&program, "/healthz");
    assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{answer}");
    let kept = program.ask(b"GET /World HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(kept.contains("\r\nConnection: close\r\n"), "{kept}");
    assert!(kept.ends_with("Hello, World!\n"), "{kept}");
    program.signal("TERM");
    program.wait_for("SIGTERM, and it drains already");
    program.greet();
    program.signal("INT");
    let (code, log) = program.end();
    assert_eq!(code, Some(5));
    assert_eq!(log.lines().count(), 2, "questions about health are not logged: {log}");
}

#[test]
fn a_delay_ends_by_itself() {
    let mut program = serve(&["--drain-delay=50ms"]);
    program.greet();
    program.signal("TERM");
    assert_eq!(program.end().0, Some(0));
}

//! `--explain`, read while a client asks.

use crate::program::{Program, command};

fn explained(command: &mut std::process::Command) -> String {
    let mut program = Program::start(command);
    // Before that, a connection would be accepted by the acceptor's first resume.
    program.wait_for("nothing is ready, no timer is set");
    program.greet();
    program.signal("TERM");
    assert_eq!(program.end().0, Some(0));
    program.said.join("\n")
}

const EXPLAIN: [&str; 4] = ["serve", "--listen", "localhost:0", "--explain"];

#[test]
fn a_greeting_is_told_turn_by_turn_and_phase_by_phase() {
    let said = explained(&mut command(&EXPLAIN));
    let mut rest = said.as_str();
    for text in [
        "before the first turn\n",
        "(acceptor) is spawned",
        "\nturn 1\n",
        " tasks ready: do not wait",
        "4 resume   task 1 (acceptor) is resumed: spawned",
        "\nturn 2\n",
        "1 timeout  nothing is ready, no timer is set: wait for ever",
        "2 wait     the world reports 1 source, after ",
        "3 queue    source 1 is readable",
        "task 1 is queued: readable",
        "4 resume   task 1 (acceptor) is resumed: readable",
        "  source 1 accepts a connection",
        "request 1 is GET /World",
        "request 1 is answered 200 with 14 bytes",
        "the request asked to close",
        "goes from serving to draining",
    ] {
        let Some(at) = rest.find(text) else { panic!("{text:?} is missing, or too early: {said}") };
        rest = &rest[at + text.len()..];
    }
}

#[test]
fn colours_are_for_terminals_and_for_who_insists() {
    let escape = "\u{1b}[";
    assert!(!explained(&mut command(&EXPLAIN)).contains(escape));
    assert!(explained(command(&EXPLAIN).env("CLICOLOR_FORCE", "1")).contains(escape));
    let plain = explained(command(&EXPLAIN).env("NO_COLOR", "1").env("CLICOLOR_FORCE", "0"));
    assert!(!plain.contains(escape));
}

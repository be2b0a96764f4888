//! `helloop drill` held against mistakes that were planted: each is named, and a server without one passes.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

/// The server, and its mistakes.
mod planted;

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::program::{command, run};
use planted::{Mistake, typed};

/// What a drill has found.
struct Found {
    code: Option<i32>,
    report: Value,
    /// On standard error.
    said: String,
}

/// One restart of a server with this mistake.
fn drill(mistake: Mistake, flags: &[&str]) -> Found {
    let server = typed(mistake);
    let mut arguments = vec!["drill", "--json", "--clients=1", "--pause=50ms"];
    arguments.extend(["--restart=kill -HUP {pid}", "--slow-path=/big/{id}", "--access-log=-"]);
    if !flags.iter().any(|flag| flag.starts_with("--rounds")) {
        arguments.push("--rounds=1");
    }
    arguments.extend(flags);
    arguments.push("--");
    arguments.extend(server.iter().map(String::as_str));
    let (code, output, said) = run(&mut command(&arguments));
    let report = serde_json::from_str(&output).unwrap_or_else(|e| panic!("{e}: {output}{said}"));
    Found { code, report, said }
}

impl Found {
    /// How often this kind of loss was found.
    fn count(&self, kind: &str) -> u64 {
        self.report["kinds"][kind].as_u64().unwrap_or(0)
    }

    /// The stories of this kind.
    fn stories(&self, kind: &str) -> Vec<&str> {
        let stories = self.report["stories"].as_array().unwrap().iter();
        let of_kind = stories.filter(|story| story["kind"] == kind);
        of_kind.map(|story| story["text"].as_str().unwrap()).collect()
    }

    #[track_caller]
    fn is(&self, code: i32, what: bool) {
        assert!(self.code == Some(code) && what, "{:?}: {:#}{}", self.code, self.report, self.said);
    }
}

/// A server with this mistake loses requests, and is told to lose them in this way.
#[track_caller]
fn finds(mistake: Mistake, kind: &str) -> Found {
    let found = drill(mistake, &[]);
    found.is(1, found.count(kind) > 0 && !found.stories(kind).is_empty());
    found
}

/// The drill of a server with this mistake is not carried out, for this reason.
#[track_caller]
fn gives_up(mistake: Mistake, flags: &[&str], trouble: &str, text: &str) -> Found {
    let found = drill(mistake, flags);
    let told = &found.report["trouble"];
    found.is(
        3,
        told["kind"] == trouble && told["text"].as_str().is_some_and(|it| it.contains(text)),
    );
    found
}

#[test]
fn a_server_without_a_mistake_passes() {
    let found = drill(Mistake::None, &["--rounds=3", "--idle-timeout=100ms"]);
    let no_loss = found.report["kinds"].as_object().unwrap().is_empty();
    found.is(0, no_loss && found.report["restarts"] == 3 && found.report["trouble"].is_null());
    for habit in ["keep-alive", "one-each", "pipelined", "post", "waking", "idle", "slow-reader"] {
        let tally = &found.report["habits"][habit];
        let number = |name: &str| tally[name].as_u64().unwrap();
        found.is(0, number("answered") > 0 && number("lost") + number("doubled") == 0);
        found.is(0, number("requests") == number("answered") + number("repeated"));
    }
}

/// For people, without --json.
#[test]
fn the_report_is_a_table_and_its_stories() {
    let server = typed(Mistake::AnswersAnError);
    let mut arguments =
        vec!["drill", "--rounds=1", "--pause=0s", "--restart=kill -HUP {pid}", "--"];
    arguments.extend(server.iter().map(String::as_str));
    let (code, output, said) = run(&mut command(&arguments));
    assert_eq!(code, Some(1), "{output}{said}");
    for text in [
        "1 of 1 restarts, by `kill -HUP {pid}`\n",
        "  habit         requests  answered  repeated      lost   doubled\n",
        " x wrong-status: the answer had another status than before the first restart\n",
        ": round 1, ",
        "answered 503 instead of 200, ",
        " lost, 0 doubled of ",
    ] {
        assert!(output.contains(text), "{text:?} is not in: {output}");
    }
    assert!(said.starts_with("round 1 of 1: "), "{said}");
}

/// Whoever has seen enough gets the report of what was seen, and nothing runs on.
#[test]
fn an_interrupted_drill_leaves_nothing_running() {
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let (typed, flag) = (typed(Mistake::None), format!("--port={port}"));
    let mut arguments = vec!["drill", "--restart=kill -HUP {pid}", "--rounds=1000", &flag, "--"];
    arguments.extend(typed.iter().map(String::as_str));
    let mut child = command(&arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut news = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(news.next().unwrap().unwrap().starts_with("round 1 of 1000: "));
    let kill = Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status();
    assert!(kill.unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let report = String::from_utf8(output.stdout).unwrap();
    assert!(
        report.contains(" of 1000 restarts") && report.contains("0 lost, 0 doubled of "),
        "{report}"
    );
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "the server is still there");
}

#[test]
fn a_listener_that_is_closed_first() {
    let found = finds(Mistake::ClosesTheListenerFirst, "refused");
    found.is(1, found.report["longest_gap_ms"].as_f64().unwrap() > 0.0);
}

#[test]
fn an_accept_queue_that_is_dropped() {
    finds(Mistake::DropsTheAcceptQueue, "not-accepted");
}

#[test]
fn idle_connections_that_are_closed_at_once() {
    let found = finds(Mistake::ClosesIdleConnectionsAtOnce, "crossed");
    let stories = found.stories("crossed");
    found.is(1, stories.iter().all(|it| it.contains("POST") && it.contains("was not processed")));
}

#[test]
fn a_post_that_is_processed_and_not_answered() {
    let found = finds(Mistake::SwallowsPosts, "crossed");
    found.is(1, found.stories("crossed").iter().all(|it| it.contains("it was processed")));
}

#[test]
fn a_reset_that_destroys_an_answer() {
    finds(Mistake::ResetsWithUnreadInput, "cut-by-reset");
}

#[test]
fn an_answer_that_is_cut() {
    let found = finds(Mistake::CutsBodies, "truncated");
    found.is(
        1,
        found.stories("truncated").iter().any(|it| it.contains("bytes of the body had come")),
    );
}

#[test]
fn a_slow_reader_that_is_not_waited_for() {
    let found = finds(Mistake::ExitsBeforeFlushing, "truncated");
    found.is(1, found.report["habits"]["slow-reader"]["lost"].as_u64().unwrap() > 0);
}

#[test]
fn a_request_that_is_answered_twice() {
    let found = finds(Mistake::AnswersTwice, "answered-twice");
    found.is(1, found.report["total"]["doubled"].as_u64().unwrap() > 0);
}

#[test]
fn pipelined_requests_that_are_forgotten() {
    let found = drill(Mistake::IgnoresTheRest, &["--answer-timeout=3s"]);
    found.is(1, found.count("no-answer") > 0);
    found.is(1, found.report["habits"]["pipelined"]["lost"].as_u64().unwrap() > 0);
}

/// It loses nothing by itself, but a request that is on its way would be lost.
#[test]
fn a_close_that_is_not_announced() {
    let found = drill(Mistake::ClosesUnannounced, &[]);
    found.is(0, found.report["closed_unannounced"].as_u64().unwrap() > 0);
    let strict = drill(Mistake::ClosesUnannounced, &["--strict"]);
    strict.is(1, strict.report["total"]["repeated"].as_u64().unwrap() > 0);
}

#[test]
fn a_server_that_says_close_and_goes_on() {
    let found = finds(Mistake::SaysCloseAndGoesOn, "answered-after-close");
    found.is(1, found.report["habits"]["pipelined"]["doubled"].as_u64().unwrap() > 0);
}

#[test]
fn answers_that_are_wrong() {
    finds(Mistake::AnswersOthers, "another-answer");
    let found = finds(Mistake::AnswersAnError, "wrong-status");
    found.is(1, found.stories("wrong-status")[0].contains("answered 503 instead of 200"));
    finds(Mistake::AnswersNonsense, "not-http");
}

#[test]
fn a_post_that_is_processed_twice() {
    finds(Mistake::ProcessesTwice, "processed-twice");
}

#[test]
fn a_server_that_is_the_same_as_before() {
    let flags = ["--start-timeout=4s"];
    gives_up(Mistake::IgnoresTheSignal, &flags, "not-restarted", "the same processes listen");
}

#[test]
fn a_server_that_never_comes_back() {
    let flags = ["--start-timeout=4s"];
    let text = "never came back: nobody listens on port";
    let found = gives_up(Mistake::NeverComesBack, &flags, "never-came-back", text);
    found.is(3, found.count("refused") > 0);
}

#[test]
fn a_server_that_comes_back_elsewhere() {
    let flags = ["--start-timeout=4s"];
    gives_up(Mistake::ComesBackElsewhere, &flags, "never-came-back", "after 4s, but on [");
}

#[test]
fn a_server_that_dies() {
    gives_up(Mistake::Dies, &["--rounds=2"], "ended", "with exit code 9");
}

/// As [`gives_up`], for anything but the server with the mistakes.
#[track_caller]
fn refuses(arguments: &[&str], code: i32, texts: &[&str]) {
    let (found, output, said) = run(&mut command(arguments));
    let all = format!("{output}{said}");
    let has_all = texts.iter().all(|text| all.contains(text));
    assert!(found == Some(code) && has_all, "{found:?}, {texts:?}: {all}");
}

#[test]
fn what_cannot_be_carried_out_is_told() {
    let sleeps = ["drill", "--start-timeout=100ms", "--", "sleep", "60", "{port}"];
    refuses(&sleeps, 3, &["never came up", "it said nothing"]);
    let fails = ["drill", "--", "sh", "-c", "echo no disk is left for {port}; exit 7"];
    refuses(&fails, 3, &["ended by itself, with exit code 7", "no disk is left"]);
    let server = typed(Mistake::None);
    let mut typed = vec!["drill", "--restart=echo no such unit; exit 5", "--pause=0s", "--"];
    typed.extend(server.iter().map(String::as_str));
    refuses(&typed, 3, &["--restart failed, with exit code 5", "no such unit"]);
}

#[test]
fn mistakes_in_what_is_typed_are_explained() {
    let refuses = |arguments: &[&str], texts: &[&str]| {
        let arguments = [&["drill"], arguments].concat();
        refuses(&arguments, 2, texts);
    };
    refuses(
        &["--", "no-such-program", "{port}"],
        &["cannot run `no-such-program`", "without a shell"],
    );
    refuses(&["--", "true"], &["SERVER has no {port}", "--port"]);
    refuses(&["true", "{port}"], &["true", "--"]);
    refuses(&[], &["SERVER"]);
    refuses(&["--port=80", "--behind=nginx", "--", "true"], &["--port", "--behind has two"]);
    refuses(&["--path=api", "--", "true", "{port}"], &["--path is `api`", "/api/{id}"]);
    refuses(&["--path=/api", "--", "true", "{port}"], &["--path is `/api`", "without {id}"]);
    refuses(&["--pause=5", "--", "true", "{port}"], &["--pause", "for example 5s"]);
    refuses(&["--rounds=0", "--", "true", "{port}"], &["--rounds", "1..=1000"]);
    refuses(&["--signal=kill", "--", "true", "{port}"], &["--signal", "term, quit"]);
    let both = ["--signal=quit", "--restart=true", "--", "true", "{port}"];
    refuses(&both, &["--signal", "--restart"]);
    refuses(&["--behind=envoy", "--", "true", "{port}"], &["haproxy", "nginx"]);
}

//! The shipped cases, canned answers, and a server that does much wrong.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use helloop::greeting::Greeting;
use helloop::server::{Server, Service};

use super::answers::{Answer, take_apart};
use super::cases::{Seen, Then, parse};
use super::*;
use crate::processes::Processes;

#[path = "../../../../examples/echo.rs"]
#[allow(dead_code, reason = "main is for its own program")]
mod echo;

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn shipped() -> Vec<Case> {
    read_all(&here().join("cases")).unwrap()
}

fn helloop() -> SocketAddr {
    serve(|| Greeting)
}

fn serve<S: Service + 'static>(service: impl FnOnce() -> S + Send + 'static) -> SocketAddr {
    let (send, receive) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let server = Server::builder().bind("127.0.0.1:0").unwrap();
        send.send(server.local_addrs()[0]).unwrap();
        server.serve(service()).unwrap();
    });
    receive.recv().unwrap()
}

/// Answers whatever has an empty line in it with 200, and believes neither lengths nor options.
fn believer() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut bytes = Vec::new();
                let mut buffer = [0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut buffer) {
                    bytes.extend_from_slice(&buffer[..read]);
                    while let Some(end) = memchr::memmem::find(&bytes, b"\r\n\r\n") {
                        bytes.drain(..end + 4);
                        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
                        if stream.write_all(answer).is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    address
}

fn broken(address: SocketAddr) -> Vec<Violation> {
    hold_all(&shipped(), address, 4).unwrap()
}

#[test]
fn there_are_enough_cases_and_each_has_a_line() {
    let cases = shipped();
    assert!(cases.len() >= 60, "{}", cases.len());
    for case in &cases {
        let line = reproduce::line(case, 80);
        assert!(line.ends_with("| nc -N 127.0.0.1 80") && !line.contains('\n'), "{line}");
    }
}

#[test]
fn helloop_keeps_every_must() {
    let broken = broken(helloop());
    let must: Vec<&Violation> = broken.iter().filter(|v| v.level == Level::Must).collect();
    assert!(must.is_empty(), "{must:#?}");
    for violation in broken {
        println!("{}: {}, {}", violation.case, violation.seen, violation.line);
    }
}

#[test]
fn a_server_that_believes_everything_is_found_out() {
    let broken = broken(believer());
    let names: Vec<&str> = broken.iter().map(|violation| violation.case.as_str()).collect();
    for wanted in [
        "host-missing",
        "lengths-that-differ",
        "head-has-no-content",
        "request-within-a-body",
        "close",
        "nothing-after-close",
        "date-of-an-answer",
        "http-1-0-closes",
    ] {
        assert!(names.contains(&wanted), "{wanted} is not in {names:?}");
    }
    // What it does right is not held against it.
    for right in ["two-in-one-packet", "kept-without-saying-so", "slow-head", "end-within-cr-lf"] {
        assert!(!names.contains(&right), "{right} is in {names:?}");
    }
    let body = broken.iter().find(|v| v.case == "request-within-a-body").unwrap();
    assert_eq!(body.seen, "200 200");
}

fn one(more: &str) -> anyhow::Result<Case> {
    let text = format!("[[case]]\nname = 'a'\nasks = 'b'\nlevel = 'MUST'\n{more}");
    Ok(parse(&text, &Default::default())?.remove(0))
}

const GOOD: &str =
    "clause = 'RFC 9112 3'\nsend = ['a']\naccept = ['400 2xx, closed', '200, any']\n";

#[test]
fn the_page_of_public_controls_is_what_the_echo_does() {
    let page = hold_controls(&here().join("controls"), serve(echo::echo)).unwrap();
    let kept = std::fs::read_to_string(here().join("CONTROLS.md")).unwrap();
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.contains("passes |") || line.contains("s** |"))
        .map(|line| line.split(" | ").collect())
        .collect();
    assert_eq!(rows.len(), 215 + 33);
    for row in &rows {
        let (verdict, why) = (row[4], row[5].trim_matches([' ', '|']));
        assert_eq!(verdict == "passes", why.is_empty(), "{row:?}");
    }
    let page_of_docs = std::fs::read_to_string(here().join("../../docs/compare.md")).unwrap();
    let passes = rows.iter().take(215).filter(|row| row[4] == "passes").count();
    assert!(page_of_docs.contains(&format!("({passes} of 215, and all 33)")), "{passes}");
    for (new, old) in page.lines().zip(kept.lines()) {
        assert_eq!(new, old, "CONTROLS.md says how to print it anew");
    }
    assert_eq!(page, kept);
}

#[test]
fn the_public_controls_find_a_believer_out() {
    let page = hold_controls(&here().join("controls"), believer()).unwrap();
    for found in ["| SMUG-DUPLICATE-CL |", "| COMP-POST-CL-BODY |", "| Multiple Host headers |"] {
        let row = page.lines().find(|line| line.starts_with(found)).unwrap();
        assert!(row.contains("**fails**"), "{row}");
    }
}

#[test]
fn canned_answers_are_judged() {
    let case = one(&format!("{GOOD}fields = ['2xx: date', '400: !age']")).unwrap();
    let judge = |answers: &[Answer], then| {
        let seen = Seen { answers: answers.to_vec(), then, nonsense: None };
        case.judge(&seen)
    };
    let (good, bad) = (Answer::canned(200, &["date"]), Answer::canned(400, &["date"]));
    assert_eq!(judge(&[bad.clone(), good.clone()], Then::Closed), Ok(()));
    assert_eq!(judge(std::slice::from_ref(&good), Then::Any), Ok(()));
    let reason = judge(&[bad.clone(), good.clone()], Then::Kept).unwrap_err();
    assert_eq!(reason, "400 200, and the next request was answered");
    assert_eq!(judge(&[bad], Then::Closed).unwrap_err(), "400, closed");
    assert_eq!(judge(&[], Then::Silent).unwrap_err(), "no answer, then silence");
    let reason = judge(&[Answer::canned(200, &[])], Then::Any).unwrap_err();
    assert_eq!(reason, "200 without date");
    let aged = [Answer::canned(400, &["age"]), good.clone()];
    assert_eq!(judge(&aged, Then::Closed).unwrap_err(), "400 with age");
    let received = take_apart(b"nonsense", &[], false);
    let seen = Seen { answers: vec![good], then: Then::Any, nonsense: received.nonsense };
    assert!(case.judge(&seen).unwrap_err().starts_with("200; no answer"));
}

#[test]
fn mistakes_in_cases_are_told() {
    let told = |text: &str| format!("{:#}", one(text).unwrap_err());
    assert!(one(GOOD).is_ok());
    assert!(told(&GOOD.replace("2xx, closed", "2xx, gone")).contains("is no outcome"));
    assert!(told(&GOOD.replace("400 2xx", "4?? 2xx")).contains("is no outcome"));
    assert!(told(&GOOD.replace("RFC 9112 3", "9112")).contains("is no clause"));
    assert!(told(&GOOD.replace("['a']", "['\\q']")).contains("followed by none of"));
    assert!(told(&format!("{GOOD}fields = ['date']")).contains("no rule about a field"));
    assert!(told(&format!("{GOOD}colour = 1")).contains("colour"));
}

#[test]
fn the_line_sends_what_the_case_sends() {
    let case = one("clause = 'RFC 9112 3'\naccept = ['none, any']\n\
         send = ['a%\\x27\\\\\\r\\n\\x00\\xff', { times = 3, text = 'b' }, \
         { times = 2, text = 'c\\n' }, { wait = 1 }, 'd', { end = true }]")
    .unwrap();
    let line = reproduce::line(&case, 1);
    let (commands, _) = line.split_once(" | nc").unwrap();
    let output = std::process::Command::new("sh").args(["-c", commands]).output().unwrap();
    assert_eq!(output.stdout, b"a%'\\\r\n\0\xffbbbc\nc\nd", "{line}");
}

#[test]
fn helloop_stays_calm_beside_odd_clients() {
    let address = helloop();
    let slow = beside_slow(address).unwrap();
    assert_eq!((slow.unanswered, slow.beside), (0, 1));
    let grown = never_read(address, &Processes::own()).unwrap();
    // The other tests of this process allocate, too: what counts is that it is not what was asked.
    assert!(grown < f64::from(64 << 20), "{grown}");
}

#[test]
fn a_server_that_serves_one_client_at_a_time_leaves_others_waiting() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let mut bytes = Vec::new();
            let mut buffer = [0; 100];
            while let Ok(read @ 1..) = stream.read(&mut buffer) {
                bytes.extend_from_slice(&buffer[..read]);
                if bytes.ends_with(b"\r\n\r\n") {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
                    break;
                }
            }
        }
    });
    assert!(beside_slow(address).unwrap().unanswered > 0);
}

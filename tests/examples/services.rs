//! The programs that serve until they are told to end, each with a client that somebody else has written where curl
//! is there.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use crate::examples::example;
use crate::program::Program;

fn request(method: &str, target: &str, fields: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
    )
}

#[test]
fn the_json_service_has_state_queries_and_cookies() {
    let program = Program::start_on_stdout(&mut example("json_service", &["localhost:0"]));
    let ask = |method: &str, target: &str, body: &str| {
        let answer = program.ask(request(method, target, "", body).as_bytes());
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].to_owned(), body.to_owned())
    };
    let says = |code: &str, body: &str| (code.to_owned(), body.to_owned());
    assert_eq!(ask("GET", "/tasks", ""), says("200", "[]"));
    let created = ask("POST", "/tasks", "{\"title\": \"caf\u{e9} au lait\"}");
    assert_eq!(created, says("201", "{\"number\":1,\"title\":\"caf\u{e9} au lait\"}"));
    assert_eq!(ask("POST", "/tasks", "{\"title\":\"tea\"}").0, "201");
    let tea = "{\"number\":2,\"title\":\"tea\"}";
    assert_eq!(ask("GET", "/tasks?contains=tea", ""), says("200", &format!("[{tea}]")));
    assert_eq!(ask("GET", "/tasks?contains=%C3%A9+au", "").1.matches("number").count(), 1);
    assert_eq!(ask("GET", "/tasks/2", ""), says("200", tea));
    assert_eq!(ask("DELETE", "/tasks/1", ""), says("204", ""));
    assert_eq!(ask("GET", "/tasks/1", ""), says("404", "{\"error\":\"no such task\"}"));
    assert_eq!(ask("GET", "/nowhere", ""), says("404", "{\"nothing\":\"/nowhere\"}"));
    assert_eq!(ask("PUT", "/tasks", "").0, "405");
    assert_eq!(ask("POST", "/tasks", "{\"name\":1}").0, "422");
    let (code, error) = ask("POST", "/tasks", "{\"title\":");
    assert_eq!(code, "400");
    assert!(error.contains("EOF while parsing"), "{error}");
    let long = format!("{{\"title\":\"{}\"}}", "x".repeat(1024));
    assert_eq!(ask("POST", "/tasks", &long).0, "413");

    let visit = |cookie: &str| program.ask(request("GET", "/visits", cookie, "").as_bytes());
    let first = visit("");
    assert!(first.contains("Set-Cookie: visits=1; HttpOnly; Path=/\r\n"), "{first}");
    assert!(visit("Cookie: a=b; visits=1\r\n").ends_with("{\"visits\":2}"));
}

#[test]
fn echo_says_back_bodies_and_fields() {
    let program = Program::start_on_stdout(&mut example("echo", &["localhost:0"]));
    let ask = |bytes: &[u8]| {
        let answer = program.ask(bytes);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].to_owned(), body.to_owned())
    };
    let says = |code: &str, body: &str| (code.to_owned(), body.to_owned());
    assert_eq!(ask(request("POST", "/", "", "hello").as_bytes()), says("200", "hello"));
    let chunks =
        b"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
        5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nA: v\r\n\r\n";
    assert_eq!(ask(chunks), says("200", "hello!"));
    let fields = request("GET", "/echo?a", "A:  v \r\na: w\r\nB:\r\n", "");
    let seen = "Host: h\nConnection: close\nA: v\na: w\nB: \nContent-Length: 0\n";
    assert_eq!(ask(fields.as_bytes()), says("200", seen));
    assert_eq!(ask(request("GET", "/", "", "").as_bytes()), says("200", "OK\n"));
    let long = request("POST", "/", "", &"x".repeat(64 * 1024 + 1));
    assert_eq!(ask(long.as_bytes()).0, "413");
}

#[test]
fn events_end_in_order_when_the_server_drains() {
    let mut program = Program::start_on_stdout(&mut example("events", &["localhost:0"]));
    let mut client = program.connect();
    client.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let mut answer = BufReader::new(client);
    let (mut line, mut text) = (String::new(), String::new());
    while !text.contains("id: 2\n") {
        line.clear();
        assert!(answer.read_line(&mut line).unwrap() > 0, "{text}");
        text += &line;
    }
    assert!(text.contains("Content-Type: text/event-stream\r\n"));
    // Another client goes away in the middle: nothing is left of it.
    drop(program.connect().write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
    program.signal("TERM");
    answer.read_to_string(&mut text).unwrap();
    assert!(
        text.ends_with("event: bye\nretry: 1000\ndata: the server ends\n\n\r\n0\r\n\r\n"),
        "{text}"
    );
    assert_eq!(program.end().0, Some(0));
    assert!(program.said.last().unwrap().ends_with(" 0 cut"), "{:?}", program.said);
}

/// While processes take the socket over, one after the other, every connection is answered.
#[test]
fn a_socket_is_taken_over_without_a_refusal() {
    let mut program = Program::start(&mut example("takeover", &["127.0.0.1:0"]));
    let address = ("127.0.0.1", program.port);
    let ask = move || {
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(request("GET", "/", "", "").as_bytes()).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        let (_, process) = answer.split_once("This is process ").unwrap();
        process.trim_end_matches(".\n").parse::<u32>().unwrap()
    };
    let old = program.id();
    assert_eq!(ask(), old);
    // Somebody asks all the time.
    let (sees, seen) = std::sync::mpsc::channel();
    let asks = std::thread::spawn(move || while sees.send(ask()).is_ok() {});
    program.signal("USR2");
    let line = program.wait_for(" takes over");
    let new: u32 = line.split(' ').nth(1).unwrap().parse().unwrap();
    let last = program.wait_for(" is done: ");
    assert!(last.starts_with(&format!("process {old} is done: ")), "{last}");
    // The old one has ended, so from some moment on it is the new one that answers.
    let mut processes = seen.iter();
    assert!(processes.any(|process| process == new));
    assert!(processes.take(20).all(|process| process == new));
    drop(seen);
    asks.join().unwrap();
    let ended = std::process::Command::new("kill").args(["-s", "TERM", &new.to_string()]).status();
    assert!(ended.unwrap().success());
    program.wait_for(&format!("process {new} is done: "));
    assert_eq!(program.end().0, Some(0));
}

//! Behind balancers: who is believed to speak for a client, and what a balancer is told.

use std::io::Read;
use std::net::TcpStream;
use std::process::Stdio;

use crate::program::{Program, command};

/// The clients in the access log of a server with these flags, for requests with these fields.
fn clients(flags: &[&str], fields: &[&str]) -> Vec<Option<String>> {
    let always = ["serve", "--listen", "127.0.0.1:0", "--access-log", "json"];
    let mut program = Program::start(command(&[&always, flags].concat()).stdout(Stdio::piped()));
    for fields in fields {
        let request = format!("GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{fields}\r\n");
        program.ask(request.as_bytes());
    }
    program.signal("TERM");
    let (_, log) = program.end();
    let line = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
    let client = |line: serde_json::Value| line["client"].as_str().map(str::to_owned);
    log.lines().map(|text| client(line(text))).collect()
}

#[test]
fn a_trusted_proxy_says_who_its_client_is() {
    let fields = [
        "",
        "X-Forwarded-For: 192.0.2.1\r\n",
        // What a client has made up stands before what the first trusted proxy has added.
        "X-Forwarded-For: 203.0.113.9, 192.0.2.1, 10.0.0.7\r\n",
        "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: 192.0.2.1,10.0.0.7:80\r\n",
        "X-Forwarded-For: 192.0.2.1, unknown\r\n",
        "X-Forwarded-For: 10.0.0.7\r\n",
        "Forwarded: for=192.0.2.1\r\n",
    ];
    let found = clients(&["--trusted-proxy", "127.0.0.1,10.0.0.0/8"], &fields);
    let one = Some("192.0.2.1");
    let expected = [None, one, one, one, None, Some("10.0.0.7"), None];
    assert_eq!(found, expected.map(|client| client.map(str::to_owned)));
}

#[test]
fn nobody_else_is_believed() {
    let fields = ["X-Forwarded-For: 192.0.2.1\r\n"];
    assert_eq!(clients(&[], &fields), [None]);
    assert_eq!(clients(&["--trusted-proxy", "10.0.0.0/8"], &fields), [None]);
}

#[test]
fn the_field_of_rfc_7239_is_understood_where_it_is_asked_for() {
    let flags = ["--trusted-proxy=127.0.0.0/8", "--forwarded-in=forwarded"];
    let fields = [
        "Forwarded: for=203.0.113.9, for=\"[2001:db8::1]:4711\";proto=http;by=127.0.0.1\r\n",
        "Forwarded: proto=https;For=192.0.2.1\r\n",
        "Forwarded: proto=https\r\n",
        "X-Forwarded-For: 192.0.2.1\r\n",
    ];
    let found = clients(&flags, &fields);
    let expected = [Some("2001:db8::1"), Some("192.0.2.1"), None, None];
    assert_eq!(found, expected.map(|client| client.map(str::to_owned)));
}

/// What these bytes are answered by a server with the PROXY protocol, and what it says and logs then.
fn introduced(flags: &[&str], sent: &[&[u8]]) -> (Vec<String>, String, Vec<String>) {
    let always = ["serve", "--listen=127.0.0.1:0", "--access-log=common"];
    let mut program = Program::start(command(&[&always, flags].concat()).stdout(Stdio::piped()));
    let answers = sent.iter().map(|bytes| program.ask(bytes)).collect();
    program.signal("TERM");
    let (code, log) = program.end();
    assert_eq!(code, Some(0));
    (answers, log, std::mem::take(&mut program.said))
}

const REQUEST: &[u8] = b"GET /World HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
const INTRODUCTION: &[u8] = b"PROXY TCP4 192.0.2.1 192.0.2.2 50000 443\r\n";

#[test]
fn a_trusted_proxy_must_introduce_its_client() {
    let introduced_request = [INTRODUCTION, REQUEST].concat();
    for connections in ["state-machine", "coroutine"] {
        let flags =
            ["--trusted-proxy=127.0.0.1", "--proxy-protocol=v1", "--connections", connections];
        let (answers, log, said) = introduced(&flags, &[&introduced_request, REQUEST]);
        assert!(answers[0].starts_with("HTTP/1.1 200 "), "{answers:?}");
        assert_eq!(answers[1], "", "no answer, for it is no client of HTTP");
        assert!(log.starts_with("192.0.2.1 - - [") && log.lines().count() == 1, "{log}");
        let closed = said.iter().find(|line| line.contains("is closed before its first request"));
        assert!(
            closed.is_some_and(|line| line.contains("no header of the PROXY protocol")),
            "{said:?}"
        );
    }
}

#[test]
fn everybody_else_is_served_as_who_it_is() {
    let introduced_request = [INTRODUCTION, REQUEST].concat();
    let flags = ["--trusted-proxy=10.0.0.0/8", "--proxy-protocol=v1,v2"];
    let (answers, log, _) = introduced(&flags, &[&introduced_request, REQUEST]);
    assert!(answers[0].starts_with("HTTP/1.1 400 ") && answers[1].starts_with("HTTP/1.1 200 "));
    assert!(log.lines().all(|line| line.starts_with("127.0.0.1 - - [")), "{log}");
}

#[test]
fn a_proxy_behind_a_proxy_is_believed_as_far_as_it_is_trusted() {
    let fields = "X-Forwarded-For: 203.0.113.9, 198.51.100.3\r\n\r\n";
    let request = String::from_utf8(REQUEST.to_vec()).unwrap().replace("\r\n\r\n", "\r\n") + fields;
    let request = [INTRODUCTION, request.as_bytes()].concat();
    for (trusted, client) in
        [("127.0.0.1,192.0.2.0/24", "198.51.100.3"), ("127.0.0.1", "192.0.2.1")]
    {
        let flags = ["--trusted-proxy", trusted, "--proxy-protocol=v1"];
        let (_, log, _) = introduced(&flags, &[&request]);
        assert!(log.starts_with(&format!("{client} - - [")), "{log}");
    }
}

#[test]
fn a_balancer_is_told_the_weight_and_of_the_drain() {
    let flags = ["serve", "--listen=127.0.0.1:0", "--agent=127.0.0.1:0", "--drain-delay=1h"];
    let mut program = Program::start(&mut command(&flags));
    let line = program.wait_for("Agent at 127.0.0.1:");
    let port: u16 = line.rsplit_once(':').unwrap().1.parse().unwrap();
    let ask = || {
        let mut said = String::new();
        TcpStream::connect(("127.0.0.1", port)).unwrap().read_to_string(&mut said).unwrap();
        said
    };
    let said = ask();
    let weight = said.strip_prefix("ready up ").and_then(|rest| rest.strip_suffix("%\n"));
    let weight: u32 = weight.unwrap_or_else(|| panic!("{said:?}")).parse().unwrap();
    assert!((1..=100).contains(&weight), "{said}");
    program.signal("TERM");
    program.wait_for("not ready any more");
    assert_eq!(ask(), "drain\n");
}

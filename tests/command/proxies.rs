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
